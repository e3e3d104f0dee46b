"""The proof that goes with a regression: before and after, since when, in which version, and which traces moved it."""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from monitor.alerts.alert import EXAMPLES, RATIONALE_CHARS
from monitor.ledger.rows import TracedVerdict
from monitor.series.watched import WatchedScorer
from monitor.stats.confidence import WindowSums, hajek, interval
from monitor.stats.series import Alarm

SLICES: Final = 3
LOOKED_AT: Final = 5_000
"""The most verdicts that a proof is made from, the newest first."""


Before = Callable[[Collection[str]], Mapping[str, str]]
"""Inputs digests -> of each the trace that passed before, where there is one."""

_NONE_OF_THEIR_OWN: Final[Mapping[str, float]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slice:
    """The verdicts of one value of a segment key: their rate, and how far they are below its reference in all."""

    segment: str
    reference: float
    sums: WindowSums
    missing: float


def proof_of(
    scorer: WatchedScorer,
    reference: float,
    alarm: Alarm,
    verdicts: Sequence[TracedVerdict],
    before: Before,
    *,
    own: Mapping[str, float] = _NONE_OF_THEIR_OWN,
) -> dict[str, Any]:
    """What a person needs to believe it, as JSON.

    Args:
        scorer: whose series it is.
        reference: what the series was held against.
        alarm: when and since when.
        verdicts: of the series since the onset, the newest first.
        before: finds good answers to the same inputs.
        own: segment -> what its own series is held against, of those that are a part of this series. A slice that was
            always worse than the whole explains no fall, so each is measured against its own past where that is known.
    """
    sums = _sums(scorer, verdicts)
    low, high = interval(sums) if sums.n else (None, None)
    whole = _missing(scorer, reference, verdicts)
    return {
        "before": reference,
        "after": hajek(sums),
        "interval": [low, high],
        "verdicts": sums.n,
        "since_ms": alarm.onset_ms,
        "found_ms": alarm.at_ms,
        "first_version": _first_version(scorer, reference, verdicts),
        "explained_by": [
            {
                "segment": each.segment,
                "before": each.reference,
                "pass_rate": hajek(each.sums),
                "verdicts": each.sums.n,
                "share": _share(each.missing, whole),
            }
            for each in _slices(scorer, reference, verdicts, whole, own)
        ],
        "examples": _examples(scorer, reference, verdicts, before),
    }


def measure_of(scorer: WatchedScorer, verdict: TracedVerdict) -> float:
    """What is bet on, 0 to 1."""
    graded = verdict.value if scorer.measure == "value" else None
    return float(verdict.label == "pass") if graded is None else graded


def _weight(scorer: WatchedScorer, verdict: TracedVerdict) -> float:
    return min(1.0, scorer.smallest_probability / verdict.probability)


def _moved(scorer: WatchedScorer, reference: float, verdict: TracedVerdict) -> float:
    return _weight(scorer, verdict) * (reference - measure_of(scorer, verdict))


def _missing(scorer: WatchedScorer, reference: float, verdicts: Sequence[TracedVerdict]) -> float:
    return sum(_moved(scorer, reference, each) for each in verdicts)


def _share(part: float, whole: float) -> float:
    """At most all of it: what others gained meanwhile, or a reference of its own, makes a part exceed the whole."""
    return min(1.0, part / whole) if whole > 0 else 0.0


def _sums(scorer: WatchedScorer, verdicts: Sequence[TracedVerdict]) -> WindowSums:
    sums = WindowSums()
    for each in sorted(verdicts, key=lambda verdict: verdict.trace_id):
        sums = sums.seen(_weight(scorer, each), measure_of(scorer, each))
    return sums


def _first_version(scorer: WatchedScorer, reference: float, verdicts: Sequence[TracedVerdict]) -> str | None:
    """Of the versions that are worse than the reference the one that was first seen, None where versions tell nothing.

    A version that runs on through the fall, as the one before it did, is not worse by itself: the one with the larger
    part of what is missing is named.
    """
    by_version: defaultdict[str, list[TracedVerdict]] = defaultdict(list)
    for each in verdicts:
        if each.app_version is not None:
            by_version[each.app_version].append(each)
    missing = {version: _missing(scorer, reference, found) for version, found in by_version.items()}
    guilty = [version for version, amount in missing.items() if amount >= 0.5 * max(missing.values()) > 0]
    return min(guilty, key=lambda version: (by_version[version][-1].event_time_ms, version), default=None)


def _slices(
    scorer: WatchedScorer,
    reference: float,
    verdicts: Sequence[TracedVerdict],
    whole: float,
    own: Mapping[str, float],
) -> list[_Slice]:
    """The segments with the most of what is missing, and less of the traffic than of the loss."""
    by_segment: defaultdict[str, list[TracedVerdict]] = defaultdict(list)
    for each in verdicts:
        for segment in each.segment_names:
            by_segment[segment].append(each)
    slices = [
        _Slice(
            segment=segment,
            reference=own.get(segment, reference),
            sums=_sums(scorer, found),
            missing=_missing(scorer, own.get(segment, reference), found),
        )
        for segment, found in by_segment.items()
    ]
    telling = [
        each
        for each in slices
        if each.missing > 0 and _share(each.missing, whole) > len(by_segment[each.segment]) / len(verdicts)
    ]
    return sorted(telling, key=lambda each: (-each.missing, each.segment))[:SLICES]


def _examples(
    scorer: WatchedScorer, reference: float, verdicts: Sequence[TracedVerdict], before: Before
) -> list[dict[str, Any]]:
    """The traces that moved the number most, of equal ones the newest."""
    moved = [each for each in verdicts if _moved(scorer, reference, each) > 0]
    most = sorted(moved, key=lambda each: (-_moved(scorer, reference, each), -each.event_time_ms, each.trace_id))[
        :EXAMPLES
    ]
    good = before([each.inputs_digest for each in most if each.inputs_digest is not None])
    return [
        {
            "trace_id": each.trace_id,
            "rationale": (each.rationale or "")[:RATIONALE_CHARS],
            "value": measure_of(scorer, each),
            "weight": _weight(scorer, each),
            "good": _trace(None if each.inputs_digest is None else good.get(each.inputs_digest)),
        }
        for each in most
    ]


def _trace(trace_id: str | None) -> dict[str, str] | None:
    return None if trace_id is None else {"trace_id": trace_id}
