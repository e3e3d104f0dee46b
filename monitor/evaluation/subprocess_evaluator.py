"""The real evaluator: candidates answer in processes of their own, and MLflow judges in another."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from time import monotonic
from typing import Any

from monitor.evaluation.answers import Answer
from monitor.evaluation.candidate import Candidate, FunctionCandidate
from monitor.evaluation.child import Child, ChildTimeout
from monitor.evaluation.errors import (
    TOO_LONG,
    CandidateUnavailable,
    EvaluationCancelled,
    EvaluationError,
    EvaluatorFailed,
)
from monitor.evaluation.evaluator import (
    EvaluationProgress,
    EvaluationRequest,
    EvaluationResult,
    ModelUsage,
    Progress,
    VersionRun,
    no_progress,
)
from monitor.evaluation.evaluator_task import EvaluatorTask
from monitor.evaluation.http_candidate import HttpCandidate
from monitor.evaluation.row_order import batches
from monitor.evaluation.settings import VersionSettings
from monitor.settings import MlflowSettings
from scorers.settings import JudgeSettings

_ROW_WORKERS = 4
# Seconds for the evaluator's process to close its runs when there is nothing more to do.
_GRACE_S = 10.0


def evaluator_environment(judge: JudgeSettings, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of the evaluator's process: the daemon's, with MLflow's pools sized for its threads.

    A key that the task brings over the pipe is left out: whoever may list processes can read their environments.
    """
    row_workers = min(_ROW_WORKERS, judge.concurrency)
    brought = {"OPENAI_API_KEY"} if judge.api_key is not None else set()
    return {
        **{name: value for name, value in environment.items() if name not in brought},
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "50",
        "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": "40",
        "MLFLOW_GENAI_EVAL_MAX_WORKERS": str(row_workers),
        "MLFLOW_GENAI_EVAL_MAX_SCORER_WORKERS": str(max(1, judge.concurrency // row_workers)),
        "MLFLOW_GENAI_EVAL_ENABLE_SCORER_TRACING": "false",
    }


class SubprocessEvaluator:
    """Evaluates one request at a time in child processes; `cancel` ends them from any thread."""

    def __init__(
        self,
        *,
        tracking_uri: str,
        experiment: str,
        timeout: timedelta = timedelta(hours=2),
        mlflow: MlflowSettings | None = None,
    ) -> None:
        self._mlflow = mlflow
        self._tracking_uri = tracking_uri
        self._experiment = experiment
        self._timeout = timeout
        self._one_at_a_time = threading.Lock()
        self._lock = threading.Lock()
        self._live: list[Callable[[], object]] = []
        self._cancelled = False

    def evaluate(self, request: EvaluationRequest, progress: Progress = no_progress) -> EvaluationResult:
        """Run every version over the rows, judge, compare. Blocks; a second call waits for the first.

        Raises:
            CandidateUnavailable: the baseline cannot be run.
            EvaluatorFailed: the evaluator's process failed, or all took longer than the timeout.
            EvaluationCancelled: `cancel` was called.
        """
        with self._one_at_a_time:
            self._cancelled = False
            try:
                return _Evaluation(self, request, progress).run()
            finally:
                with self._lock:
                    self._live.clear()

    def cancel(self) -> None:
        """End the children of the evaluation that runs; nothing happens when none does."""
        with self._lock:
            self._cancelled = True
            for close in self._live:
                close()

    @property
    def cancelled(self) -> bool:
        """Whether the evaluation that runs was told to stop."""
        return self._cancelled

    def start_child(self, request: EvaluationRequest) -> Child:
        """The evaluator's process, with its task on the way."""
        with self._lock:
            self._raise_if_cancelled()
            child = Child("monitor.evaluation.mlflow_evaluator", evaluator_environment(request.judge, os.environ))
            self._live.append(child.stop)
        task = EvaluatorTask.of(request, self._tracking_uri, self._experiment, self._mlflow)
        child.send({"task": task.to_dict()})
        return child

    def start_candidate(self, version: str, settings: VersionSettings) -> Candidate:
        """A version, ready to be asked; a function's process begins to import."""
        with self._lock:
            self._raise_if_cancelled()
            candidate: Candidate
            if settings.function is not None:
                candidate = FunctionCandidate(version, settings)
            else:
                candidate = HttpCandidate(version, settings)
            self._live.append(candidate.close)
        return candidate

    def deadline(self) -> float:
        """When an evaluation that starts now must have ended, on the monotonic clock."""
        return monotonic() + self._timeout.total_seconds()

    def _raise_if_cancelled(self) -> None:
        if self._cancelled:
            raise EvaluationCancelled("the evaluation was stopped")


class _Evaluation:
    """One evaluation on its way: the parent's side of the evaluator's process."""

    def __init__(self, evaluator: SubprocessEvaluator, request: EvaluationRequest, progress: Progress) -> None:
        self._evaluator = evaluator
        self._request = request
        self._progress = progress
        self._child = evaluator.start_child(request)
        self._deadline = evaluator.deadline()
        self._messages = self._child.messages(self._deadline)
        self._spent: dict[str, ModelUsage] = {}
        self._kept: deque[dict[str, Any]] = deque()
        self._candidates: dict[str, Candidate] = {}
        self._run_ids: dict[str, str] = {}
        self._answered = dict.fromkeys(request.versions, 0)
        self._unavailable: dict[str, str] = {}

    def run(self) -> EvaluationResult:
        request = self._request
        self._progress(EvaluationProgress(stage="starting"))
        order = sorted(request.versions, key=lambda version: version != request.baseline)
        try:
            self._candidate(order[0])
            self._run_ids = self._wait_for("frozen")
            if request.stops_early:
                self._run_until_settled(order)
            else:
                self._answer_in_turn(order, list(range(len(request.rows))), keep=False)
            asked = [version for version in order if version not in self._unavailable]
            for version in asked:
                self._child.send({"finish": version})
            runs = {version: VersionRun(**self._wait_for("run")) for version in asked}
            self._child.send({"compare": True})
            comparisons = self._wait_for("comparisons")
        except EvaluationError as error:
            # What came meanwhile tells what it cost.
            for message in self._child.waiting():
                self._shown(message)
            error.usage = self._spent
            raise
        finally:
            for version in list(self._candidates):
                self._close(version)
            self._child.close(_GRACE_S)
        self._progress(EvaluationProgress(stage="finished"))
        return EvaluationResult(
            id=request.id, runs=runs, comparisons=comparisons, unavailable=self._unavailable, usage=self._spent
        )

    def _run_until_settled(self, order: list[str]) -> None:
        """Batch by batch, each judged before the next, with the candidates that are not settled yet."""
        request = self._request
        live = order
        rows = batches(request.rows, request.digest, request.batch_rows)
        for number, batch in enumerate(rows, start=1):
            live = self._answer_in_turn(live, batch, keep=True)
            for _ in live:
                self._wait_for("judged")
            if number < len(rows):
                self._child.send({"look": [version for version in live if version != request.baseline]})
                settled = self._wait_for("settled")
                for version in settled:
                    self._close(version)
                live = [version for version in live if version not in settled]
            if live == [request.baseline]:
                return

    def _answer_in_turn(self, versions: list[str], rows: list[int], *, keep: bool) -> list[str]:
        """Have the versions answer these rows, each while the one before is judged; returns those that did.

        Args:
            versions: the baseline is the first.
            rows: indices of the request's rows.
            keep: whether the versions are asked again.
        """
        asked = []
        for version, following in zip(versions, [*versions[1:], None], strict=True):
            if following is not None:
                # The next one imports while this one answers.
                self._candidate(following)
            answers = self._answers(version, rows)
            if answers is not None:
                # It is judged while the next version answers.
                self._child.send({"version": version, "answers": [answer.to_dict() for answer in answers]})
                asked.append(version)
            if answers is None or not keep:
                self._close(version)
        return asked

    def _candidate(self, version: str) -> Candidate:
        if version not in self._candidates:
            settings = self._request.versions[version]
            self._candidates[version] = self._evaluator.start_candidate(version, settings)
        return self._candidates[version]

    def _close(self, version: str) -> None:
        candidate = self._candidates.pop(version, None)
        if candidate is not None:
            candidate.close()

    def _answers(self, version: str, indices: list[int]) -> list[Answer] | None:
        """The version's answers to these rows; None if it cannot be run, which the evaluator's process is told."""
        rows = self._request.rows
        answers: list[Answer] = []
        before = self._answered[version]
        self._progress(EvaluationProgress(stage="answered", version=version, done=before, total=len(rows)))
        try:
            asked = [rows[index] for index in indices]
            for answer in self._candidate(version).answer(asked, self._run_ids[version], self._deadline):
                answers.append(replace(answer, row=indices[answer.row]))
                done = self._answered[version] = before + len(answers)
                self._progress(EvaluationProgress(stage="answered", version=version, done=done, total=len(rows)))
                self._kept.extend(message for message in self._child.waiting() if not self._shown(message))
        except CandidateUnavailable as error:
            if self._evaluator.cancelled:
                raise EvaluationCancelled("the evaluation was stopped") from error
            if version == self._request.baseline:
                raise
            self._unavailable[version] = error.cause
            self._child.send({"version": version, "unavailable": error.cause})
            return None
        return answers

    def _wait_for(self, key: str) -> Any:
        for message in self._received():
            if key in message:
                return message[key]
            if "error" in message:
                raise EvaluatorFailed(message["error"])
            self._shown(message)
        if self._evaluator.cancelled:
            raise EvaluationCancelled("the evaluation was stopped")
        raise EvaluatorFailed(f"the evaluator's process ended: {self._child.last_words()[-1500:]}")

    def _shown(self, message: Mapping[str, Any]) -> bool:
        """Whether the message was about progress, which is passed on, or about what was spent, which is noted."""
        if "spent" in message:
            self._spent = {model: ModelUsage(**used) for model, used in message["spent"].items()}
        if "scored" not in message:
            return "spent" in message
        version, done, total = message["scored"], message["done"], message["total"]
        self._progress(EvaluationProgress(stage="scored", version=version, done=done, total=total))
        return True

    def _received(self) -> Iterator[dict[str, Any]]:
        while self._kept:
            yield self._kept.popleft()
        # Not a for loop: that would close the iterator between two waits.
        try:
            while (message := next(self._messages, None)) is not None:
                yield message
        except ChildTimeout:
            raise EvaluatorFailed(TOO_LONG) from None
