"""The scripted judge's verdicts on prompts as MLflow writes them, and on made-up e-mails."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.demo.scripted_grounding import missing_facts, unsupported
from monitor.demo.scripted_judge import answer, judge
from monitor.demo.scripted_rules import Exchange, guideline_findings

NAME = "The greeting must name the contact's first name. A general greeting such as 'Hello' is not enough."
STEP = "The e-mail must end with a specific next step that has a date or time."
TONE = "The e-mail must keep a professional tone."
FOLLOW = "The e-mail must follow the user's instructions in the request."


def _passes(guideline, response, request=""):
    return not guideline_findings(guideline, Exchange(request=request, response=response))


@pytest.mark.parametrize(
    ("greeting", "expected"),
    [
        ("Hi Zoë,", True),
        ("Dear Bob Martinez,", True),
        ("Hello,", False),
        ("Hi team,", False),
        ("Dear Sir or Madam,", False),
        ("Dear Nordwind,", False),
        ("", False),
    ],
)
def test_a_greeting_passes_when_it_names_a_person(greeting, expected):
    """A first name passes; a general form of address, the company's name and no greeting at all do not."""
    assert _passes(NAME, f"{greeting}\n\nThe parcel is here.", "Write to Nordwind") is expected


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        ("Could we talk on Friday at 9:00?", True),
        ("I will send it by 2026-12-01.", True),
        ("Let's speak soon.", False),
        ("We met yesterday and will stay in touch.", False),
        ("I am writing after the demo on Monday.", False),
    ],
)
def test_a_next_step_needs_a_time_ahead_at_the_end(ending, expected):
    """A proposal or promise with a time passes; a vague one and a time that is past do not."""
    assert _passes(STEP, f"Hi Eve,\n\nAll is well.\n\n{ending}\n\nBest regards,\nTom") is expected


def test_a_next_step_that_is_not_at_the_end_fails():
    """The time must stand in the last sentences."""
    mail = "Hi Eve,\n\nCould we talk on Friday? One. Two. Three. Four.\n\nRegards,\nTom"
    assert not _passes(STEP, mail)


def test_rude_words_and_shouting_fail_the_tone():
    """A courteous text passes, an insult and a shout fail."""
    assert _passes(TONE, "Thank you, we look into the API and the SSO.")
    assert not _passes(TONE, "Stop wasting our time.")
    assert not _passes(TONE, "BUY THIS RIGHT NOW PLEASE")


def test_a_length_named_in_the_guideline_is_the_bound():
    """The guideline's own number beats the default of 110 words."""
    text = "word " * 30
    assert _passes("The e-mail is short.", text)
    assert not _passes("Use at most 20 words.", text)
    assert not _passes("The e-mail is short.", "word " * 111)


def test_each_ask_of_the_request_is_checked():
    """An unmet topic fails the instructions and is named in the finding."""
    request = "Write about every colour, shipping date and refund policy."
    findings = guideline_findings(FOLLOW, Exchange(request=request, response="Our colours and the shipping date."))
    assert findings == ["The request asks to cover the refund policy; the response does not."]


def test_unknown_guidelines_are_decided_by_their_words():
    """A quoted text, a forbidden text and a topic each decide a guideline of no known kind."""
    assert _passes("The response contains 'case number'.", "Your case number is 7.")
    assert not _passes("The response contains 'case number'.", "It is 7.")
    assert not _passes("Never say 'guarantee'.", "We guarantee it.")
    assert not _passes("The response must not mention competitors' products.", "Competitors' products are worse.")
    assert not _passes("The response explains the warranty.", "The sky is blue.")


def test_an_empty_answer_meets_no_guideline():
    """Nothing said is nothing met."""
    assert not _passes(TONE, "  ")


DOCUMENTS = "Support tickets: #7 login: open. Contact: Eve Stone. Latest meeting: visit on Monday."


@pytest.mark.parametrize(
    ("sentence", "supported"),
    [
        ("Ticket #7 (login) is open.", True),
        ("Thank you for the visit on Monday.", True),
        ("Would Friday at 9:00 suit you?", True),
        ("You will have an update by end of day tomorrow.", False),
        ("Ticket #8 is open.", False),
        ("Ticket #7 is resolved.", False),
        ("Your contact is now Peter Flint.", False),
        ("All rivals bought the golden plan.", False),
    ],
)
def test_statements_need_their_document(sentence, supported):
    """Facts of the documents, courtesies and questions pass; inventions, promises and contradictions do not."""
    assert (unsupported(f"Hi Eve,\n\n{sentence}", DOCUMENTS) == []) is supported


def test_facts_must_agree_in_their_numbers():
    """A fact with another number is missing though its words are there."""
    assert missing_facts("The fee is 20 euro.", "The fee is 30 euro.") == ["The fee is 20 euro."]
    assert missing_facts("The fee is 30 euro.", "We said that the fee is 30 euro.") == []


@pytest.mark.parametrize(
    ("result", "good", "bad"),
    [
        ({"type": "string"}, "yes", "no"),
        ({"type": "boolean"}, True, False),
        ({"type": "integer"}, 5, 1),
        ({"type": "string", "enum": ["bad", "good"]}, "good", "bad"),
        ({"type": "string", "enum": ["A", "B"]}, "A", "B"),
    ],
)
def test_the_verdict_has_the_type_of_the_schema(result, good, bad):
    """Strings, booleans, scales and categories each get a value that the schema allows."""
    schema = {"properties": {"result": result, "rationale": {"type": "string"}}}
    task = "You are an expert judge.\n\nYour task: Rate from 1 to 5 how polite {{ outputs }} is.."
    polite = json.loads(answer(task, 'outputs: {"text": "Thank you kindly."}', schema))
    rude = json.loads(answer(task, 'outputs: {"text": "Shut up."}', schema))
    assert (polite["result"], rude["result"]) == (good, bad)
    assert "shut up" in rude["rationale"]


@given(st.text(max_size=400))
def test_no_prompt_breaks_the_judge(text):
    """Whatever it reads, the judge answers with a rationale."""
    for prompt in (text, f"<guideline>{text}</guideline></guidelines>{text}", f"<claim>{text}</claim><document>{text}"):
        assert judge(prompt, text).rationale.startswith("Let's think step by step")
