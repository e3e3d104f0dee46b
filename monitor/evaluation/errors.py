"""What an evaluation can fail with."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from monitor.errors import MonitorError

if TYPE_CHECKING:
    # The command line imports these errors for `--help` as well.
    from collections.abc import Mapping

    from monitor.evaluation.evaluator import ModelUsage


class EvaluationError(MonitorError):
    """An evaluation or a comparison that could not be made; `usage` is what judging had asked of each model by then."""

    usage: Mapping[str, ModelUsage] = MappingProxyType({})


TOO_LONG: Final = "the evaluation took longer than its timeout"


class CandidateUnavailable(EvaluationError):
    """A version that cannot answer any row: its function cannot be imported, or its endpoint cannot be reached."""

    def __init__(self, version: str, cause: str) -> None:
        super().__init__(f"version {version!r} cannot be run: {cause}")
        self.version = version
        self.cause = cause


class EvaluatorFailed(EvaluationError):
    """The evaluator's process reported an error, died, or took too long."""


class EvaluationCancelled(EvaluationError):
    """Somebody stopped the evaluation; its children are gone."""


class RunNotFound(EvaluationError):
    """There is no such MLflow run, or it holds no evaluated traces."""


class NoPairedRows(EvaluationError):
    """Two runs without a single row in common: there is nothing to compare."""
