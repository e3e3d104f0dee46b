"""One trace's whole story, as a value: what the ledger says of it, and what the settings would say. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from monitor.ledger.label_rows import LABELS, LabelRow
from monitor.ledger.rows import DecisionRow, MemberRow, PositionRow, TraceRow, VerdictRow
from monitor.sampling import Condition, SamplingSettings, TraceFacts, decide, matches, uniform, unruled_rate

_DATASET = "dataset:"

Standing = Literal["scored", "member", "left_out", "parked", "due", "undecided", "drawn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the configuration says now: sampling, and subject (a scorer, or `dataset:NAME`) -> its own rate."""

    sampling: SamplingSettings
    rates: Mapping[str, float | None]
    with_content: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the ledger says.

    Attributes:
        trace_id: the MLflow id.
        trace: as it was taken in; None where the ledger does not have it (any more).
        decisions: on the trace.
        verdicts: on the trace.
        members: `dataset:NAME` -> the row that the trace's inputs have in the dataset.
        factors: scorer -> the budget's factor in the minute of the trace, where there was one.
        positions: of every partition.
        labels: that people gave the trace.
    """

    trace_id: str
    trace: TraceRow | None = None
    decisions: Sequence[DecisionRow] = ()
    verdicts: Sequence[VerdictRow] = ()
    members: Mapping[str, MemberRow | None]
    factors: Mapping[str, float]
    positions: Sequence[PositionRow]
    labels: Sequence[LabelRow] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The event that owns the trace. `watermark` is the next offset of its partition that is not done."""

    topic: str
    partition: int
    offset: int
    event_time_ms: int
    name: str
    app_version: str | None
    status: str
    watermark: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WouldBe:
    """What sampling says by today's settings, under a condition: `rule:N` applies, or `rate`: no rule does."""

    when: str
    probability: float
    kept: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictStory:
    """A verdict. `rationale` and `error` quote customers and models: they are None unless content is asked for."""

    label: str
    value: float | None
    version: str
    judged_at_ms: int
    duration_s: float
    published: bool
    rationale: str | None
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectStory:
    """A scorer, or a dataset: the decision and what came of it; `would_be` where no decision is in the ledger."""

    subject: str
    configured: bool
    standing: Standing
    words: str
    kept: bool | None = None
    probability: float | None = None
    reason: str | None = None
    budget_factor: float | None = None
    would_be: tuple[WouldBe, ...] = ()
    verdict: VerdictStory | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermark:
    """How far a partition is done, and how many of its events retention deleted unread."""

    topic: str
    partition: int
    next_offset: int
    lost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """The whole of it. `uniform` is the trace's number: a rate above it keeps the trace."""

    asked_for: str
    trace_id: str
    source_id: str | None
    known: bool
    uniform: float
    origin: Origin | None
    subjects: tuple[SubjectStory, ...]
    watermarks: tuple[Watermark, ...]
    notes: tuple[str, ...]


def story_of(asked_for: str, evidence: Evidence, asked: Asked) -> Story:
    """Put the evidence together."""
    origin = _origin(evidence)
    subjects = [*asked.rates, *sorted(_subjects_of(evidence) - asked.rates.keys())]
    return Story(
        asked_for=asked_for,
        trace_id=evidence.trace_id,
        source_id=evidence.trace.source_id if evidence.trace else None,
        known=origin is not None,
        uniform=uniform(evidence.trace_id),
        origin=origin,
        subjects=tuple(_subject(subject, evidence, asked, origin) for subject in subjects),
        watermarks=tuple(
            Watermark(topic=each.topic, partition=each.partition, next_offset=each.next_offset, lost=each.lost)
            for each in evidence.positions
        ),
        notes=tuple(_notes(evidence, origin, budgeted=asked.sampling.judge_calls_per_hour is not None)),
    )


def would_be(
    trace_id: str,
    trace: TraceRow | None,
    sampling: SamplingSettings,
    own_rate: float | None,
    factor: float = 1.0,
) -> tuple[WouldBe, ...]:
    """What sampling would decide now, for every rule that may apply as far as the ledger can tell, in their order.

    The ledger knows name, status and app version, and neither the duration nor the tags.
    """
    found: list[WouldBe] = []
    for number, rule in enumerate(sampling.rules, start=1):
        applies = _may_apply(rule.when, trace)
        if applies is not False:
            found.append(_would_be(trace_id, rule.rate, f"rule:{number}", sampling, factor))
        if applies:
            return tuple(found)
    rate, reason = unruled_rate(sampling, own_rate)
    return (*found, _would_be(trace_id, rate, reason, sampling, factor))


def _would_be(trace_id: str, rate: float, reason: str, sampling: SamplingSettings, factor: float) -> WouldBe:
    decided = decide(trace_id, rate, reason, min_rate=sampling.min_rate, factor=factor)
    return WouldBe(when=reason, probability=decided.probability, kept=decided.kept)


def _may_apply(condition: Condition, trace: TraceRow | None) -> bool | None:
    """None where it hangs on what the ledger does not keep."""
    knowable = condition.model_copy(update={"longer_than": None, "shorter_than": None, "tags": dict[str, str]()})
    if trace is None:
        return True if condition == Condition() else None
    facts = TraceFacts(
        trace_id=trace.trace_id,
        name=trace.name,
        status=trace.status,
        duration_ms=None,
        app_version=trace.app_version,
        tags={},
        evaluation=False,
    )
    if not matches(knowable, facts):
        return False
    return True if knowable == condition else None


def _origin(evidence: Evidence) -> Origin | None:
    """From the trace's row, or from a verdict that has outlived it."""
    source = evidence.trace or next(iter(evidence.verdicts), None)
    if source is None:
        return None
    watermarks = {(each.topic, each.partition): each.next_offset for each in evidence.positions}
    return Origin(
        topic=source.topic,
        partition=source.partition,
        offset=source.offset,
        event_time_ms=source.event_time_ms,
        name=evidence.trace.name if evidence.trace else "",
        app_version=source.app_version,
        status=evidence.trace.status if evidence.trace else "",
        watermark=watermarks.get((source.topic, source.partition)),
    )


def _subjects_of(evidence: Evidence) -> set[str]:
    return {each.subject for each in evidence.decisions} | {each.scorer for each in evidence.verdicts}


def _subject(subject: str, evidence: Evidence, asked: Asked, origin: Origin | None) -> SubjectStory:
    decision = next((each for each in evidence.decisions if each.subject == subject), None)
    verdict = next((each for each in evidence.verdicts if each.scorer == subject), None)
    decided = decision or verdict
    if decided is None:
        return _undecided(subject, evidence, asked)
    configured = subject in asked.rates or subject == LABELS
    standing, words = _scored(verdict) if verdict else ("due", "")
    if verdict is None and decision is not None:
        standing, words = _unscored(subject, evidence, decision, origin)
        if standing in ("due", "parked") and not configured:
            words = "owed, and the scorer is not configured any more"
    return SubjectStory(
        subject=subject,
        configured=configured,
        standing=standing,
        words=words,
        kept=decision is None or decision.kept,
        probability=decided.probability,
        reason=decided.reason,
        budget_factor=evidence.factors.get(subject),
        verdict=None if verdict is None else _verdict(verdict, with_content=asked.with_content),
    )


def _undecided(subject: str, evidence: Evidence, asked: Asked) -> SubjectStory:
    factor = evidence.factors.get(subject)
    return SubjectStory(
        subject=subject,
        configured=True,
        standing="undecided",
        words="was not configured when the trace came" if evidence.trace else "no decision is in the ledger",
        budget_factor=factor,
        would_be=would_be(evidence.trace_id, evidence.trace, asked.sampling, asked.rates[subject], factor or 1.0),
    )


def _scored(verdict: VerdictRow) -> tuple[Standing, str]:
    return "scored", "published in MLflow" if verdict.published else "not published in MLflow yet"


def _unscored(subject: str, evidence: Evidence, decision: DecisionRow, origin: Origin | None) -> tuple[Standing, str]:
    if decision.state == "scored":
        return "scored", "scored; the verdict is older than the ledger's memory"
    if subject == LABELS:
        return "drawn", f"drawn for people to label; labels so far: {len(evidence.labels)}"
    if not decision.kept:
        return "left_out", f"left out of the sample ({decision.reason})"
    if subject.startswith(_DATASET):
        return "member", _membership(evidence, evidence.members.get(subject))
    if decision.state == "parked":
        return "parked", "parked: the judge budget or the spend limit was used up; owed since the trace came"
    return "due", _waiting(origin)


def _waiting(origin: Origin | None) -> str:
    if origin is None or origin.watermark is None:
        return "due: in hand, or waiting"
    place = f"{origin.topic}[{origin.partition}]"
    if origin.offset >= origin.watermark:
        return f"due: in hand, or waiting; the watermark of {place} stands at {origin.watermark}"
    return f"due, although the watermark of {place} has passed it ({origin.watermark}): nobody works on it"


def _membership(evidence: Evidence, row: MemberRow | None) -> str:
    if row is None:
        return "chosen for the dataset, and not offered to it yet"
    if row.trace_id != evidence.trace_id:
        return f"the same inputs are in the dataset by {row.trace_id}"
    if row.state == "evicted":
        return "was in the dataset, and made way for other rows (dataset.max_rows, quotas)"
    shown = "in MLflow too" if row.record_id else "not in MLflow's dataset yet"
    return f"in the dataset{' for good (golden)' if row.golden else ''}, {shown}"


def _verdict(row: VerdictRow, *, with_content: bool) -> VerdictStory:
    return VerdictStory(
        label=row.label,
        value=row.value,
        version=row.scorer_version,
        judged_at_ms=row.judged_at_ms,
        duration_s=row.duration_s,
        published=row.published,
        rationale=row.rationale if with_content else None,
        error=row.error if with_content else None,
    )


def _notes(evidence: Evidence, origin: Origin | None, *, budgeted: bool) -> list[str]:
    if origin is None:
        scaled = "The budget of its minute may have lowered the probabilities of judges, down to sampling.min_rate."
        return [
            *([scaled] if budgeted else []),
            "The ledger does not know this trace. One of these is so:",
            "- its event is not polled yet: its offset is at or beyond the watermark of its partition",
            "- sampling left it out for every scorer and the dataset: no row is kept of such a trace",
            "- it came from an evaluation, or is another application's (source.where)",
            "- it was no trace event: look in the dead-letter topic; its letters are counted, and not kept here",
            "- it is older than the ledger's memory, or retention deleted it from the stream unread",
            "- the id is another one: take the application's own id, or MLflow's",
        ]
    notes = [f"A person said of {each.scorer}: {each.label}, by way of {each.origin}." for each in evidence.labels]
    notes.append("Events with the same id at other positions count as duplicates; their positions are not kept.")
    if evidence.trace is None:
        notes.append("The trace's own row is older than the ledger's memory; its verdicts are not.")
    return notes
