"""The process in which a function answers rows, one at a time: forked, bounded in memory, expendable."""

import ctypes
import importlib
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from monitor.evaluation.answers import Answer, Failure
from monitor.evaluation.mlflow_capture import TraceCapture

MAX_TRACE_CHARS = 32 * 1024 * 1024
_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Have the kernel kill this process when the one that started it is gone (Linux; elsewhere nothing)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def serve(connection: Connection, function_path: str, memory_bytes: int) -> None:
    """Import the function, say so, then answer rows until the connection closes.

    Sends {"ready": True}, or {"cause": str} when the import failed; then one {"answer", "retire"} for each {"row",
    "inputs"}. `retire` asks for a fresh process, as this one has met its memory limit.
    """
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_parent()
    capture = TraceCapture()
    try:
        function = _load(function_path)
    except BaseException as error:  # noqa: BLE001 - the module is the application's
        connection.send({"cause": f"{function_path}: {_words(error)}"})
        return
    _bound_memory(memory_bytes)
    connection.send({"ready": True})
    while True:
        try:
            request = connection.recv()
        except EOFError:
            return
        answer = _answer(capture, function, request["row"], request["inputs"])
        connection.send(
            {"answer": answer.to_dict(), "retire": answer.failure is not None and answer.failure.kind == "memory"}
        )


def _load(path: str) -> Callable[..., Any]:
    module_name, _, attribute = path.partition(":")
    found = getattr(importlib.import_module(module_name), attribute)
    if not callable(found):
        raise TypeError(f"{path} is a {type(found).__name__}, not a function")
    return found  # type: ignore[no-any-return]


def _bound_memory(memory_bytes: int) -> None:
    # The process that the kernel should take first when the machine itself runs out.
    score = Path("/proc/self/oom_score_adj")
    status = Path("/proc/self/status")
    if score.exists():
        score.write_text("1000")
    if status.exists():
        data_kib = next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmData"))
        limit = data_kib * 1024 + memory_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _answer(capture: TraceCapture, function: Callable[..., Any], row: int, inputs: dict[str, Any]) -> Answer:
    started_ms = time.time_ns() // 1_000_000
    start = time.perf_counter()
    trace_id, trace_json, raised = capture.call(function, inputs)
    duration_ms = (time.perf_counter() - start) * 1000
    failure = None
    if isinstance(raised, MemoryError):
        failure = Failure(kind="memory", message="the application ran into its memory limit")
    elif raised is not None:
        failure = Failure(kind="raised", message=_words(raised))
    elif len(trace_json) > MAX_TRACE_CHARS:
        failure = Failure(
            kind="invalid", message=f"the trace has {len(trace_json)} characters, {MAX_TRACE_CHARS} may be"
        )
    too_large = len(trace_json) > MAX_TRACE_CHARS
    return Answer(
        row=row,
        started_ms=started_ms,
        duration_ms=duration_ms,
        trace_id=trace_id,
        trace_json=None if too_large else trace_json,
        failure=failure,
    )


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:2000]
