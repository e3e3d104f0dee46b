"""One re-evaluation: the dataset's rows, every version, the comparisons, and what of it the ledger keeps."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from monitor.clock import Clock
from monitor.dataset.records import Row, content_digest
from monitor.errors import MonitorError
from monitor.evaluation.errors import EvaluationError
from monitor.evaluation.evaluator import (
    EvaluationRequest,
    EvaluationResult,
    EvaluationRow,
    Evaluator,
    ModelUsage,
    Progress,
    no_progress,
)
from monitor.evaluation.settings import EvaluationSettings
from monitor.ledger.ledger import Ledger
from monitor.ledger.rows import EvaluationRow as LedgerRow
from monitor.ledger.rows import LeaseToken, MemberRow
from monitor.spend.spending import Spending, Usage
from scorers.settings import JudgeSettings, ScorerSettings


class NothingToEvaluate(MonitorError):
    """The dataset has no rows yet."""


class UnknownCandidate(MonitorError):
    """No version has that name, or it is the baseline itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reevaluation:
    """Runs evaluations of one dataset. `scorers` are those of production, of which `judges` may ask a model."""

    ledger: Ledger
    evaluator: Evaluator
    settings: EvaluationSettings
    scorers: tuple[ScorerSettings, ...]
    judges: frozenset[str]
    judge: JudgeSettings
    dataset: str
    clock: Clock
    spending: Spending

    def run(
        self, candidate: str | None = None, progress: Progress = no_progress, token: LeaseToken | None = None
    ) -> EvaluationResult:
        """Evaluate the baseline and every candidate, or the one named, on the dataset's rows of now.

        With a token the result is kept only if the lease still holds when it is written.

        Raises:
            NothingToEvaluate: the dataset has no rows.
            UnknownCandidate: no candidate has that name.
            SpendExhausted: the day's spend leaves no room for it; nothing was begun.
            EvaluationError: the evaluation failed; the ledger keeps the reason.
            LedgerUnavailable: the ledger does not answer.
            LeaseLost: another replica has taken over meanwhile.
        """
        request = self._request(self.ledger.members.active(self.dataset), candidate)
        # Rows that an early stop leaves out are given back when it is settled.
        judgements = len(request.rows) * len(request.versions) * request.repeats
        reserved = self.spending.reserve_evaluation(self.judges, judgements)
        # None where nobody knows: then all that was set aside stays spent.
        usage: Mapping[str, ModelUsage] | None = {}
        try:
            self._begin(request, token)
            usage = None
            result = self.evaluator.evaluate(request, progress)
            usage = result.usage
            self.ledger.evaluations.finish(
                request.id,
                {version: _run(result, version) for version in result.runs},
                result.comparisons,
                finished_at_ms=self.clock.now_ms(),
                token=token,
            )
        except Exception as error:
            usage = error.usage if isinstance(error, EvaluationError) else usage
            # Without the lease as well: the row is this run's own, and nobody else would end it.
            self.ledger.evaluations.fail(request.id, str(error), finished_at_ms=self.clock.now_ms())
            raise
        finally:
            if usage is not None:
                self.spending.settle_evaluation(reserved, {model: _usage(used) for model, used in usage.items()})
        return result

    def _begin(self, request: EvaluationRequest, token: LeaseToken | None) -> None:
        self.ledger.evaluations.begin(
            LedgerRow(
                id=request.id,
                dataset=request.dataset,
                digest=request.digest,
                rows=[asdict(row) for row in request.rows],
                started_at_ms=self.clock.now_ms(),
            ),
            token,
        )

    def _request(self, members: Sequence[MemberRow], candidate: str | None) -> EvaluationRequest:
        if not members:
            raise NothingToEvaluate(f"the dataset {self.dataset!r} has no rows yet: nothing to evaluate")
        rows = tuple(_row(member) for member in members)
        return EvaluationRequest(
            id=uuid.uuid4().hex,
            dataset=self.dataset,
            digest=content_digest(_dataset_row(member) for member in members),
            rows=rows,
            baseline=self.settings.baseline,
            versions={name: self.settings.versions[name] for name in self._versions(candidate)},
            scorers=self.scorers,
            judge=self.judge,
            margin=self.settings.margin,
            repeats=self.settings.repeats,
            early_stop=self.settings.early_stop,
            batch_rows=self.settings.batch_rows,
        )

    def _versions(self, candidate: str | None) -> Iterable[str]:
        candidates = self.settings.candidates
        if candidate is not None and candidate not in candidates:
            raise UnknownCandidate(f"--candidate {candidate}: the candidates are {', '.join(candidates) or 'none'}")
        return [self.settings.baseline, *(candidates if candidate is None else [candidate])]


def _usage(used: ModelUsage) -> Usage:
    return Usage(
        calls=used.calls,
        unmetered=used.unmetered,
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
    )


def _row(member: MemberRow) -> EvaluationRow:
    return EvaluationRow(
        inputs=member.inputs,
        expectations=dict(member.expectations),
        tags={"tracewatch.source_trace": member.trace_id},
        # Not MLflow's id: it is known only after a reconciliation, and runs before and after it have to pair.
        record_id=member.inputs_digest[:32],
    )


def _dataset_row(member: MemberRow) -> Row:
    return Row(
        record_id=member.record_id or "",
        inputs=member.inputs,
        expectations=member.expectations,
        trace_id=member.trace_id,
        tags=member.tags,
    )


def _run(result: EvaluationResult, version: str) -> Mapping[str, object]:
    run = result.runs[version]
    return {"run_id": run.run_id, "overall": run.overall, "metrics": dict(run.metrics)}
