"""What the scripted writer makes of prompts."""

from hypothesis import given
from hypothesis import strategies as st

from monitor.demo.scripted_reading import letter, times
from monitor.demo.scripted_writer import write

FACTS = (
    "- Latest meeting: site visit last Friday. Nora asked for prices.\n"
    "- Support tickets: #9 printer: open.\n- Contact: Nora Hale. Account manager: Ian Webb."
)
LONG = "Customer: Nordwind\n\nCustomer information:\n{facts}\n\nInstructions: {wish}\n"
SHORT = (
    "Instructions: {wish}\n\nCustomer: Nordwind\n\nCustomer information:\n{facts}\n\n"
    "Be short. End with a specific next step with a date."
)


def test_the_letter_takes_its_people_from_the_prompt():
    """Greeting and sign-off name whom the prompt names; without a contact the greeting is a general one."""
    mail = write(LONG.format(facts=FACTS, wish="Say hello."))
    assert mail.startswith("Hi Nora,")
    assert mail.endswith("Ian Webb")
    assert write(LONG.format(facts="- nothing is known", wish="Say hello.")).startswith("Hello,")


def test_a_wish_for_brevity_makes_the_letter_shorter():
    """The same facts give a long letter without and a short one with the wish."""
    wish = "Tell them the state of their tickets."
    assert letter(write(SHORT.format(facts=FACTS, wish=wish))).words < 40
    assert letter(write(LONG.format(facts=FACTS, wish=wish))).words > 80


def test_a_wish_for_a_dated_step_turns_an_open_ticket_into_a_promise():
    """The promise comes from the prompt's wish and the open ticket together."""
    promise = "You will have a detailed update by end of day tomorrow."
    wish = "Tell them the state of their tickets."
    assert promise in write(SHORT.format(facts=FACTS, wish=wish))
    assert promise not in write(LONG.format(facts=FACTS, wish=wish))
    assert promise not in write(SHORT.format(facts=FACTS.replace("open", "resolved"), wish=wish))


def test_a_call_that_is_asked_for_is_offered_at_its_time():
    """The time of the instructions stands in the letter."""
    assert times(write(LONG.format(facts=FACTS, wish="Propose a call next Tuesday at 10:00."))) == ["tuesday", "10:00"]


def test_a_prompt_that_is_no_letter_gets_its_own_best_lines():
    """Another application's question is answered from its prompt."""
    prompt = "The warranty lasts three years.\nWe open at nine.\nHow long is the warranty?"
    assert write(prompt) == "The warranty lasts three years."


@given(st.text(max_size=300))
def test_no_prompt_breaks_the_writer(text):
    """Whatever it reads, the writer writes something."""
    assert write(text)
    assert write(LONG.format(facts=f"- {text}", wish=text or "Hi"))
