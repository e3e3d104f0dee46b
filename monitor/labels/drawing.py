"""Which traces people are asked to label: a random draw among those that a judge judges. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mlflow.entities import Trace

from monitor.ledger.label_rows import LABELS
from monitor.ledger.rows import DecisionRow
from monitor.sampling import uniform

LABEL_TAG: Final = "tracewatch.label"
"""The tag by which people find the drawn traces in MLflow."""

WANTED: Final = "wanted"
_PERSON: Final = b"tracewatch/label"


def draw(trace_id: str, rate: float) -> DecisionRow | None:
    """The decision to have a trace labelled that a judge judges; None if it is not drawn.

    Drawn by a number of its own, so that whatever kept the trace says nothing about the draw.
    """
    if uniform(trace_id, person=_PERSON) >= rate:
        return None
    return DecisionRow(subject=LABELS, kept=True, probability=rate, reason=LABELS, state="drawn")


def tagged(trace: Trace, *, drawn: bool) -> Trace:
    """The trace with the tag if it is drawn; a tag that it came with means nothing here."""
    tags = {key: value for key, value in trace.info.tags.items() if key != LABEL_TAG}
    if drawn:
        tags[LABEL_TAG] = WANTED
    return Trace(info=replace(trace.info, tags=tags), data=trace.data)
