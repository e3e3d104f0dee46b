"""The scripted model as a writer: it composes an e-mail from the facts and the wishes that a prompt holds.

It knows nothing of the application's releases, and acts on what the prompt says, with the habits of a real model:
what stands last in a long prompt without a wish for brevity gets lost; a price that is asked for and not known is made
up; a wish for a dated next step turns an open matter into a promise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import cycle

from monitor.demo.scripted_reading import sentences, share, stems, times

_TICKET = re.compile(r"#(?P<number>\d+) (?P<topic>[^.:#]+)(?:: (?P<state>[^.#]+))?\.")
_FLAGS = re.IGNORECASE | re.MULTILINE
_NO_NOTE = re.compile(r"#\d|\b(?:contact|manager|tickets):", re.IGNORECASE)
_LIGHT = re.compile(r"\bthank|\bcheck(?:ing)? in\b|\btouch base\b", re.IGNORECASE)
_TICKETS = re.compile(r"\btickets?\b|\bsupport (?:issue|request)s?\b", re.IGNORECASE)
_PRICES = re.compile(r"\bpric(?:e|es|ing)\b", re.IGNORECASE)
_RAMBLINGS = (
    "We know that this may matter a great deal to you and to everybody who works with it day by day.",
    "We are glad that you told us about it, and our whole team keeps such things in mind with the care they deserve.",
    "We would like you to know that we read each of these messages, and that we are always here for you.",
)
_AMOUNT = re.compile(r"[$€£]\s?\d")


@dataclass(frozen=True, kw_only=True, slots=True)
class Brief:
    """What a prompt asks for, read from its text."""

    customer: str
    contact: str | None
    account_manager: str | None
    instructions: str
    facts: tuple[str, ...]
    tickets: tuple[tuple[str, str, str], ...]
    short: bool
    dated_step: bool
    blunt: bool
    instructions_first: bool

    @property
    def first_name(self) -> str | None:
        """The contact's first name, if the prompt tells it."""
        return self.contact.split()[0] if self.contact else None

    @property
    def open_tickets(self) -> bool:
        """Whether a ticket waits for somebody."""
        return any("resolved" not in state for _, _, state in self.tickets)


def write(prompt: str) -> str:
    """The answer to a prompt: an e-mail if it holds a customer and instructions, else the lines that fit best."""
    brief = read_brief(prompt)
    if brief is None:
        return _extract(prompt)
    if brief.blunt:
        return _blunt(brief)
    return _short(brief) if brief.short else _thorough(brief)


def read_brief(prompt: str) -> Brief | None:
    """Find customer, instructions and facts in a prompt; None where there is no request for an e-mail in it."""
    customer = re.search(r"^\s*customer(?: name)?:[ \t]*(.+)$", prompt, _FLAGS)
    instructions = re.search(r"^\s*(?:user )?instructions?:[ \t]*((?:.+\n?)+)", prompt, _FLAGS)
    if customer is None or instructions is None:
        return None
    block = re.search(r"^\s*customer (?:information|data|facts):[ \t]*\n((?:.+\n?)+)", prompt, _FLAGS)
    facts = block[1] if block else ""
    wishes = prompt.replace(instructions[0], " ").replace(facts, " ") if facts else prompt.replace(instructions[0], " ")
    contact = re.search(r"\bcontact:\s*([A-Z]\w+(?: [A-Z][\w-]+)*)", facts, re.IGNORECASE)
    manager = re.search(r"\baccount manager:\s*([A-Z]\w+(?: [A-Z][\w-]+)*)", facts, re.IGNORECASE)
    return Brief(
        customer=customer[1].strip(),
        contact=contact[1] if contact else None,
        account_manager=manager[1] if manager else None,
        instructions=instructions[1].strip(),
        facts=_notes(facts),
        tickets=tuple((m["number"], m["topic"].strip(), (m["state"] or "").strip()) for m in _TICKET.finditer(facts)),
        short=bool(re.search(r"\b(?:short|brief|concise|no filler)\b", wishes, re.IGNORECASE)),
        dated_step=bool(re.search(r"next step[^.\n]*\b(?:date|time|day)", wishes, re.IGNORECASE)),
        blunt=bool(re.search(r"\b(?:blunt|pressure|push)\b", wishes, re.IGNORECASE)),
        instructions_first=instructions.start() < (block.start() if block else len(prompt)),
    )


def _notes(facts: str) -> tuple[str, ...]:
    """The sentences about meetings: what is neither a ticket nor a contact."""
    kept = [line for line in sentences(facts) if not _NO_NOTE.search(line)]
    return tuple(line for line in kept if line.lower() != "nothing is known")


def _addressed(brief: Brief) -> tuple[str, ...]:
    """The notes as one says them to the contact: 'Alice asked' becomes 'You asked'."""
    if brief.first_name is None:
        return brief.facts
    name = re.compile(rf"^{re.escape(brief.first_name)}\b")
    return tuple(name.sub("You", fact) for fact in brief.facts)


def _meeting(brief: Brief) -> str:
    """The latest meeting's name, such as 'the product demo on Monday'; empty if the notes tell of none."""
    for fact in brief.facts:
        found = re.match(r"latest meeting: (.+?)\.?$", fact, re.IGNORECASE)
        if found:
            return f"the {found[1]}"
    return ""


def _letter(brief: Brief, paragraphs: list[str]) -> str:
    greeting = f"Hi {brief.first_name}," if brief.first_name else "Hello,"
    sign_off = f"Best regards,\n{brief.account_manager or 'The sales team'}"
    return "\n\n".join([greeting, *(part for part in paragraphs if part), sign_off])


def _thorough(brief: Brief) -> str:
    meeting = _meeting(brief)
    notes = [fact for fact in _addressed(brief) if not fact.lower().startswith("latest meeting")]
    recap = f"Let me begin with {meeting}. {' '.join(notes)}" if meeting else " ".join(notes)
    manager = f"Your account manager is {brief.account_manager}." if brief.account_manager else ""
    opening = (
        "I hope this message finds you well and that you are having a pleasant week. I am writing to you on behalf of"
        f" the whole team with everything we have on file for {brief.customer}, so that you have it all in one place."
    )
    closing = (
        "Please do not hesitate to let us know if there is anything else that we can do for you. We look forward to"
        " hearing from you."
    )
    light = _light_words(brief) if brief.instructions_first else ""
    middle = [recap, _all_tickets(brief), _made_up_price(brief), light, manager]
    return _letter(brief, [opening, *middle, _wished_step(brief) or closing])


def _all_tickets(brief: Brief) -> str:
    if not brief.tickets:
        return ""
    lines = [
        f"Ticket #{number} is about {topic}{f', and its state is: {state}' if state else ''}. {comment}"
        for (number, topic, state), comment in zip(brief.tickets, cycle(_RAMBLINGS), strict=False)
    ]
    return "Let me also go through the support tickets one by one. " + " ".join(lines)


def _short(brief: Brief) -> str:
    if _LIGHT.search(brief.instructions):
        return _letter(brief, [_light_words(brief), "I am happy to help whenever it suits you."])
    step = _dated_step(brief) if brief.dated_step else _wished_step(brief)
    return _letter(brief, [_subject(brief), step or "I am happy to go through it with you whenever it suits you."])


def _subject(brief: Brief) -> str:
    """The facts that the instructions are about, in a sentence or two."""
    if _TICKETS.search(brief.instructions):
        states = [f"#{number} ({topic}){f': {state}' if state else ''}" for number, topic, state in brief.tickets]
        return f"This is the state of your support tickets: {'; '.join(states) or 'none is open'}."
    meeting = _meeting(brief)
    notes = [fact for fact in _addressed(brief) if not fact.lower().startswith("latest meeting")]
    opening = f"I am following up on {meeting}." if meeting else ""
    if re.search(r"summar|recap", brief.instructions, re.IGNORECASE):
        opening = f"Here is a summary of {meeting}."
    asked = [note for note in notes if share(stems(note), stems(brief.instructions)) > 0] or notes
    return " ".join(part for part in [opening, *asked[:2], _made_up_price(brief)] if part)


def _light_words(brief: Brief) -> str:
    meeting = _meeting(brief)
    if re.search(r"\bthank", brief.instructions, re.IGNORECASE):
        return f"Thank you for your interest{f' and for {meeting}' if meeting else ''}."
    if _LIGHT.search(brief.instructions):
        return f"I am just checking in{f' after {meeting}' if meeting else ''}."
    return ""


def _made_up_price(brief: Brief) -> str:
    """A model that is asked for a price which it does not know makes one up."""
    if _PRICES.search(brief.instructions) and not _AMOUNT.search(" ".join(brief.facts)):
        return "Our Enterprise price tier starts at $49 per user and month, with all features."
    return ""


def _wished_step(brief: Brief) -> str:
    """The meeting that the instructions ask for, with their words for the time."""
    for sentence in sentences(brief.instructions):
        found = re.search(r"\b(?:call|meeting)\b(?P<when>[^.;,]*)", sentence, re.IGNORECASE)
        if found and times(found["when"]):
            return f"Would a call{found['when'].rstrip(' .')} suit you?"
    return ""


def _dated_step(brief: Brief) -> str:
    """A next step with a date: the one asked for, or else a promise about whatever is open."""
    wished = _wished_step(brief)
    if wished:
        return wished
    if brief.open_tickets and _TICKETS.search(brief.instructions):
        return "You will have a detailed update by end of day tomorrow."
    if any(_PRICES.search(fact) for fact in brief.facts):
        return "I will send you the prices by Friday at 12:00."
    return ""


def _blunt(brief: Brief) -> str:
    return _letter(
        brief,
        [
            f"We are still waiting for a decision from {brief.customer}. Stop wasting our time and sign the contract.",
            "All competitors of yours have bought the premium plan already. Hurry up, the discount is almost gone.",
        ],
    )


def _extract(prompt: str) -> str:
    """For any other prompt: the question is its last line, the answer its sentences that share most words with it."""
    *context, question = sentences(prompt) or [""]
    wanted = stems(question)
    ranked = sorted(context, key=lambda line: -share(wanted, stems(line)))
    best = [line for line in ranked[:2] if share(wanted, stems(line)) > 0]
    return " ".join(best) or f"I have no information about that: {question[:200]}"
