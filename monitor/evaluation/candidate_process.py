"""The first child process: it answers rows with a function and keeps one row's mishap from the others.

`python -m monitor.evaluation.candidate_process` reads one line of JSON with the task, then batches: a row a line,
closed by `{"batch": true}` or the end of its standard input. It writes a line for each answer before it reads the next
batch, for which its workers stay. It imports MLflow once and forks workers from there, so that a fresh worker costs
milliseconds; it runs none of the application's code itself. Each worker answers one row at a time: one that hangs is
killed at the row's deadline, one that dies or grows too large is replaced.
"""

import json
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, BinaryIO, Literal

import psutil

from monitor.evaluation import mlflow_capture  # noqa: F401 - imported before the fork: the workers share it
from monitor.evaluation.answers import Answer, Failure, FailureKind
from monitor.evaluation.candidate_worker import end_with_parent, serve

# How often the size of busy workers is looked at, in seconds.
_GLANCE_S = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class CandidateTask:
    """How a function is to be run; times in seconds, memory in bytes beyond an idle worker."""

    function: str
    timeout_s: float
    startup_s: float
    concurrency: int
    memory_bytes: int

    def to_line(self) -> bytes:
        """As the first line of the process's input."""
        return json.dumps(asdict(self)).encode() + b"\n"


@dataclass(kw_only=True, slots=True)
class _Worker:
    pid: int
    connection: Connection
    deadline: float
    state: Literal["starting", "idle", "busy"] = "starting"
    row: dict[str, Any] | None = None
    started_ms: int = 0
    idle_bytes: int = 0


class _Unavailable(Exception):
    pass


class _Workers:
    """The forked workers and the rows that wait for them."""

    def __init__(self, task: CandidateTask) -> None:
        self._task = task
        self._waiting: deque[dict[str, Any]] = deque()
        self._workers: list[_Worker] = []
        self._proved = False

    def answers(self, rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """An answer for every row, as they come.

        Raises:
            _Unavailable: the function cannot be imported.
        """
        self._waiting.extend(rows)
        while self._waiting or any(worker.row for worker in self._workers):
            self._spawn()
            self._dispatch()
            yield from self._receive()
            yield from self._enforce(time.monotonic())

    def close(self) -> None:
        """End all workers."""
        for worker in list(self._workers):
            self._remove(worker)

    def _spawn(self) -> None:
        # Until one worker has shown that the import works there is one.
        wanted = min(self._task.concurrency if self._proved else 1, len(self._waiting))
        unoccupied = sum(worker.state != "busy" for worker in self._workers)
        room = self._task.concurrency - len(self._workers)
        for _ in range(min(room, wanted - unoccupied)):
            self._fork()

    def _fork(self) -> None:
        ours, theirs = Pipe()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                ours.close()
                serve(theirs, self._task.function, self._task.memory_bytes)
                code = 0
            finally:
                os._exit(code)
        theirs.close()
        deadline = time.monotonic() + self._task.startup_s
        self._workers.append(_Worker(pid=pid, connection=ours, deadline=deadline))

    def _dispatch(self) -> None:
        for worker in self._workers:
            if worker.state == "idle" and self._waiting:
                worker.row = self._waiting.popleft()
                worker.state = "busy"
                worker.started_ms = time.time_ns() // 1_000_000
                worker.deadline = time.monotonic() + self._task.timeout_s
                try:
                    worker.connection.send(worker.row)
                except OSError:
                    # It died while idle: the row was not begun, and the death is noticed when reading.
                    self._waiting.appendleft(worker.row)
                    worker.row, worker.state = None, "idle"

    def _receive(self) -> Iterator[dict[str, Any]]:
        connections = {worker.connection: worker for worker in self._workers}
        nearest = min((w.deadline for w in self._workers if w.state != "idle"), default=time.monotonic())
        timeout = max(0.0, min(nearest - time.monotonic(), _GLANCE_S))
        for ready in wait(list(connections), timeout):
            worker = connections[ready]  # type: ignore[index]
            try:
                message = worker.connection.recv()
            except (EOFError, OSError):
                yield from self._died(worker)
                continue
            if "cause" in message:
                raise _Unavailable(message["cause"])
            if "ready" in message:
                self._proved = True
                worker.state, worker.idle_bytes = "idle", _resident(worker.pid)
                continue
            worker.state, worker.row = "idle", None
            if message["retire"]:
                self._remove(worker)
            yield message["answer"]

    def _died(self, worker: _Worker) -> Iterator[dict[str, Any]]:
        status = self._remove(worker)
        how = f"signal {-status}" if status < 0 else f"exit code {status}"
        if worker.state == "starting" and not self._proved:
            raise _Unavailable(f"{self._task.function}: its process ended with {how} while it was imported")
        if worker.row is not None:
            yield self._failed(worker, "died", f"the application ended its process with {how}")

    def _enforce(self, now: float) -> Iterator[dict[str, Any]]:
        for worker in list(self._workers):
            if worker.state == "idle":
                continue
            if now >= worker.deadline:
                self._remove(worker)
                if worker.row is None:
                    raise _Unavailable(f"{self._task.function}: import took longer than {self._task.startup_s:g} s")
                yield self._failed(worker, "timeout", f"no answer within {self._task.timeout_s:g} s")
            elif worker.row is not None and _resident(worker.pid) > worker.idle_bytes + self._task.memory_bytes:
                self._remove(worker)
                yield self._failed(worker, "memory", "the application ran into its memory limit")

    def _failed(self, worker: _Worker, kind: FailureKind, message: str) -> dict[str, Any]:
        assert worker.row is not None  # noqa: S101 - only a busy worker fails on a row
        now_ms = time.time_ns() // 1_000_000
        return Answer(
            row=worker.row["row"],
            started_ms=worker.started_ms,
            duration_ms=float(now_ms - worker.started_ms),
            failure=Failure(kind=kind, message=message),
        ).to_dict()

    def _remove(self, worker: _Worker) -> int:
        """Kill the worker with all that it started; its exit code, or minus the signal that ended it before."""
        self._workers.remove(worker)
        finished, status = os.waitpid(worker.pid, os.WNOHANG)
        for kill in (os.killpg, os.kill):
            try:
                kill(worker.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if not finished:
            # The end of its connection may be seen an instant before its exit.
            _, status = os.waitpid(worker.pid, 0)
        worker.connection.close()
        return os.waitstatus_to_exitcode(status)


def _resident(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _own_streams() -> tuple[BinaryIO, BinaryIO]:
    """The pipes to the parent; what the application reads and prints goes to nowhere and to standard error."""
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return incoming, outgoing


def _batches(lines: Iterable[bytes]) -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    for line in lines:
        message = json.loads(line)
        if "batch" not in message:
            rows.append(message)
        elif rows:
            yield rows
            rows = []
    if rows:
        yield rows


def main() -> int:
    """Answer all rows; 0 also when the function could not be imported, which is then the only line."""
    end_with_parent()
    # The workers are ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    incoming, outgoing = _own_streams()
    first = incoming.readline()
    if not first:
        return 0
    workers = _Workers(CandidateTask(**json.loads(first)))

    def write(message: dict[str, Any]) -> None:
        outgoing.write(json.dumps(message).encode() + b"\n")
        outgoing.flush()

    try:
        for rows in _batches(incoming):
            for answer in workers.answers(rows):
                write({"answer": answer})
    except _Unavailable as cause:
        write({"unavailable": str(cause)})
    finally:
        workers.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
