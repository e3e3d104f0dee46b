"""What a receiver is told of an alert. Pure: the same alert gives the same message, whenever it is sent."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from monitor.alerts.kinds import DEFAULT_SEVERITY
from monitor.alerts.receivers import Content
from monitor.delivery.examples import Example, TraceText, examples_of
from monitor.delivery.examples import lines_of as example_lines
from monitor.delivery.foreign_text import defused
from monitor.delivery.links import Places
from monitor.delivery.proof import lines_of, proof_of, time_of
from monitor.ledger.rows import AlertRow, Transition
from monitor.metrics import bounded

LONGEST_TEXT: Final = 6_000
TEST_KIND: Final = "page_test"
"""The kind of an alert that tests the way to the receivers."""

_WHAT = {
    "production_regression": "{scorer} has regressed in production ({segment})",
    "candidate_regression": "a candidate has regressed on {scorer} ({segment})",
    "unknown": "too little is known of {scorer} ({segment})",
    "scorer_failing": "the scorer {scorer} fails ({segment})",
    "judge_moved": "the judge of {scorer} has moved ({segment})",
    "spend_exhausted": "the day's spend is used up ({segment})",
    "dataset_stale": "the evaluation dataset is stale",
    "consumer_lag": "the daemon lags behind the stream",
    "dead_letters": "many events are no trace events",
    "lost_to_retention": "events were deleted before they were read",
    "accounting_mismatch": "events are not accounted for by {scorer}",
    "evaluation_overdue": "an evaluation is overdue",
    TEST_KIND: "this is a test: nothing is wrong",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who tells, and where its links lead. `redact` takes out of a text what may not leave the house."""

    app: str
    labels: Mapping[str, str] = field(default_factory=dict)
    places: Places
    redact: Callable[[str], str] = str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message. `id` is the same however often it is sent; `text` is plain text and nowhere a template.

    Attributes:
        id: of the alert and the transition; a reminder's has a number as well.
        transition: that the alert fired, that it is worth a page now, or that it is over.
        summary: what is wrong, in one line, whether or not it still is.
        title: the same with the state before it.
        text: proof, examples and links for people.
        labels: those of the alert in Alertmanager and Prometheus.
        proof: numbers, as JSON.
        examples: the traces that moved the number, as far as the receiver may see them.
        links: `runbook`, `dashboard`, `run`, as far as they are known.
        formerly: the severity that the receiver was told before, if that is another one.
    """

    id: str
    transition: Transition
    alert: AlertRow
    summary: str
    title: str
    text: str
    labels: Mapping[str, str]
    proof: Mapping[str, Any]
    examples: tuple[Example, ...]
    links: Mapping[str, str]
    formerly: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether the alert has ended, which may be so before it could be told that it fired."""
        return self.alert.resolved_ms is not None


def message_of(
    alert: AlertRow,
    transition: Transition,
    content: Content,
    sender: Sender,
    *,
    texts: Mapping[str, TraceText] | None = None,
    reminder: int = 0,
    formerly: str | None = None,
) -> Message:
    """What a receiver with this `content` is told.

    Args:
        alert: as the ledger has it; any of its details may be missing.
        transition: what happened to it.
        content: how much the receiver may see.
        sender: who tells.
        texts: of the examples' traces, already redacted; used where `content` is `redacted`.
        reminder: how often it was told already, for those who are reminded.
        formerly: the severity that the receiver was told before, if that is another one.
    """
    summary = f"{sender.app}: {_what(alert)}"
    proof = proof_of(alert.details)
    examples = examples_of(alert.details, content, sender.places, texts or {}, sender.redact)
    links = _links(alert, content, sender)
    return Message(
        id=f"{alert.id}.{transition}" + (f".{reminder}" if reminder else ""),
        transition=transition,
        alert=alert,
        summary=summary,
        title=f"[{_state(alert, transition)}] {summary}",
        text=_text(alert, proof, examples, links),
        labels=_labels(alert, sender),
        proof=proof,
        examples=examples,
        links=links,
        formerly=formerly,
    )


def alert_name(kind: str) -> str:
    """The alert's name in Prometheus and Alertmanager: `TracewatchProductionRegression`."""
    if kind == "unknown":
        # By itself it would say nothing among the alerts of others.
        return "TracewatchQualityUnknown"
    return "Tracewatch" + "".join(word.capitalize() for word in kind.split("_"))


def _what(alert: AlertRow) -> str:
    scorer, segment = defused(alert.scorer), defused(alert.segment)
    if alert.kind in _WHAT:
        return _WHAT[alert.kind].format(scorer=scorer, segment=segment)
    return " ".join(word for word in (f"{defused(alert.kind).replace('_', ' ')}:", scorer, segment) if word)


def _state(alert: AlertRow, transition: Transition) -> str:
    if transition == "resolved":
        return "RESOLVED"
    return f"FIRED, OVER, {alert.severity}" if alert.resolved_ms is not None else f"FIRING, {alert.severity}"


def _labels(alert: AlertRow, sender: Sender) -> dict[str, str]:
    own = {
        "alertname": alert_name(alert.kind),
        "app": sender.app,
        "kind": alert.kind,
        "scorer": alert.scorer,
        "segment": alert.segment,
        "severity": alert.severity,
    }
    return {name: bounded(value) for name, value in {**sender.labels, **own}.items() if value}


def _links(alert: AlertRow, content: Content, sender: Sender) -> dict[str, str]:
    run_id = alert.details.get("run_id")
    links = {
        "runbook": sender.places.runbook(alert.kind) if alert.kind in DEFAULT_SEVERITY else None,
        "dashboard": sender.places.board(sender.app, alert.kind, alert.scorer, alert.segment),
        "run": sender.places.run(run_id) if isinstance(run_id, str) and content != "none" else None,
    }
    return {name: url for name, url in links.items() if url is not None}


def _text(alert: AlertRow, proof: Mapping[str, Any], examples: tuple[Example, ...], links: Mapping[str, str]) -> str:
    lines = lines_of(proof)
    lines += [f"fired: {time_of(alert.fired_ms)}"] if alert.fired_ms is not None else []
    lines += [f"over: {time_of(alert.resolved_ms)}"] if alert.resolved_ms is not None else []
    lines += [f"{name}: {url}" for name, url in links.items()]
    lines.append(f"alert: {alert.id}")
    lines += ["", "examples:"] if examples else []
    for number, example in enumerate(examples, start=1):
        lines += example_lines(example, number)
    text = "\n".join(lines)
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 3]}..."
