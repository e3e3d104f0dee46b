"""The two kinds of versions, seen from the daemon: a function in a child process, and a URL."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from math import inf
from pathlib import Path
from time import monotonic
from typing import Protocol

from monitor.evaluation.answers import Answer
from monitor.evaluation.candidate_process import CandidateTask
from monitor.evaluation.child import Child, ChildTimeout
from monitor.evaluation.errors import TOO_LONG, CandidateUnavailable, EvaluationCancelled, EvaluatorFailed
from monitor.evaluation.evaluator import EvaluationRow
from monitor.evaluation.settings import VersionSettings

# What any program needs to run; everything else is withheld unless the configuration names it.
_ALWAYS = (
    "PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV",
    "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "XDG_CACHE_HOME",
)  # fmt: skip


# Seconds for a process to end its workers when all rows are answered.
_GRACE_S = 2.0


class Candidate(Protocol):
    """A version that answers rows. It is started when it is made, and ended by `close`."""

    def answer(self, rows: Sequence[EvaluationRow], run_id: str, deadline: float = inf) -> Iterator[Answer]:
        """One answer for each row, as they come; may be called again for further rows when all have come.

        `deadline` is on the monotonic clock.

        Raises:
            CandidateUnavailable: it cannot answer any row.
            EvaluatorFailed: the deadline came first.
        """
        ...

    def close(self) -> None:
        """End all that it started; may be called from another thread, and twice."""
        ...


def candidate_environment(names: Sequence[str], environment: Mapping[str, str], scratch: Path) -> dict[str, str]:
    """The scrubbed environment of a candidate's process.

    Args:
        names: the variables that the configuration lets through.
        environment: the parent's own.
        scratch: a folder for what MLflow might write.
    """
    kept = {name: environment[name] for name in (*_ALWAYS, *names) if name in environment}
    return {
        "MLFLOW_TRACKING_URI": f"sqlite:///{scratch / 'mlflow.db'}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false",
        # An application that seeds the random numbers must not make the same trace id twice.
        "MLFLOW_TRACE_USE_ISOLATED_RANDOM_ID_GENERATOR": "true",
        "PYTHONUNBUFFERED": "1",
        **kept,
    }


class FunctionCandidate:
    """A function, answered by `candidate_process`, which starts importing at once."""

    def __init__(self, version: str, settings: VersionSettings, environment: Mapping[str, str] | None = None) -> None:
        if settings.function is None:
            raise ValueError(f"version {version!r} has no function")
        self._version = version
        self._settings = settings
        self._closed = False
        self._task_sent = False
        self._answered_all = False
        self._scratch = tempfile.TemporaryDirectory(prefix="tracewatch-candidate-")
        scrubbed = candidate_environment(
            settings.environment, os.environ if environment is None else environment, Path(self._scratch.name)
        )
        self._child = Child("monitor.evaluation.candidate_process", scrubbed)

    def answer(
        self,
        rows: Sequence[EvaluationRow],
        run_id: str,  # noqa: ARG002 - has no header
        deadline: float = inf,
    ) -> Iterator[Answer]:
        """One answer for each row, as they come; again for further rows, with the same process and its workers.

        Raises:
            CandidateUnavailable: the function cannot be imported, or its process failed.
            EvaluationCancelled: it was closed meanwhile.
        """
        task = self._task()
        self._answered_all = not rows
        if not rows:
            return
        self._ask(task, rows)
        answered = 0
        patience = task.startup_s * 2 + task.timeout_s * (len(rows) + 1)
        try:
            for message in self._child.messages(min(monotonic() + patience, deadline)):
                if "unavailable" in message:
                    raise CandidateUnavailable(self._version, message["unavailable"])
                answered += 1
                yield Answer.from_dict(message["answer"])
                if answered == len(rows):
                    break
        except ChildTimeout:
            if monotonic() >= deadline:
                raise EvaluatorFailed(TOO_LONG) from None
            raise CandidateUnavailable(self._version, f"its process was silent for {patience:g} s") from None
        if answered < len(rows):
            if self._closed:
                raise EvaluationCancelled("the evaluation was stopped")
            cause = f"its process ended after {answered} of {len(rows)} rows: {self._child.last_words()[-500:]}"
            raise CandidateUnavailable(self._version, cause)
        self._answered_all = True

    def _ask(self, task: CandidateTask, rows: Sequence[EvaluationRow]) -> None:
        if not self._task_sent:
            self._child.send_line(task.to_line())
            self._task_sent = True
        for index, row in enumerate(rows):
            self._child.send({"row": index, "inputs": row.inputs})
        self._child.send({"batch": True})

    def _task(self) -> CandidateTask:
        settings = self._settings
        return CandidateTask(
            function=settings.function or "",
            timeout_s=settings.timeout.total_seconds(),
            startup_s=settings.startup_timeout.total_seconds(),
            concurrency=settings.concurrency,
            memory_bytes=int(settings.memory),
        )

    def close(self) -> None:
        """End the process, its workers and all that they have started."""
        self._closed = True
        self._child.close(_GRACE_S if self._answered_all else 0.0)
        self._scratch.cleanup()
