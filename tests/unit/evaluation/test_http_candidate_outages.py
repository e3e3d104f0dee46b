"""A version behind a URL that nobody can reach, and one that takes longer than the evaluation may."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from monitor.evaluation.errors import TOO_LONG, CandidateUnavailable, EvaluatorFailed
from monitor.evaluation.evaluator import EvaluationRow
from monitor.evaluation.http_candidate import HttpCandidate
from monitor.evaluation.settings import VersionSettings

ROWS = [EvaluationRow(inputs={"question": str(number)}) for number in range(3)]


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A listener that takes connections and answers nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def candidate(server: socket.socket, timeout: str) -> HttpCandidate:
    """The version that the listener would be."""
    url = f"http://127.0.0.1:{server.getsockname()[1]}/"
    return HttpCandidate("v2", VersionSettings.model_validate({"url": url, "timeout": timeout, "concurrency": 2}))


def test_an_address_that_completes_no_connection_is_an_outage_and_no_bad_version() -> None:
    """A firewall drops what is sent there: no row says anything of the application."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            # What fills the queue of a listener that accepts nobody.
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        with pytest.raises(CandidateUnavailable, match="cannot be reached"):
            list(candidate(server, "1s").answer(ROWS, "run"))


def test_an_evaluation_that_has_no_time_left_does_not_wait_for_the_versions(silent: socket.socket) -> None:
    """However long a single answer may take by the version's own settings."""
    with pytest.raises(EvaluatorFailed, match=TOO_LONG):
        list(candidate(silent, "3s").answer(ROWS, "run", time.monotonic() + 0.2))
