"""A version behind a URL: its own authority, its headers from a file, its proxy."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from guard import guarded, server_context

from monitor.evaluation.errors import CandidateUnavailable
from monitor.evaluation.evaluator import EvaluationRow
from monitor.evaluation.http_candidate import HttpCandidate
from monitor.evaluation.settings import VersionSettings
from monitor.secret_files import FileSecret, SecretFile

ROWS = [EvaluationRow(inputs={"q": "one"}, record_id="r", expectations={})]


class _Answer(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        body = b'{"outputs": "yes"}'
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Nothing is printed."""


@pytest.fixture(scope="module")
def version_server():
    """A version that answers yes."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _answer(**keys):
    candidate = HttpCandidate("v2", VersionSettings(**keys))
    try:
        (answer,) = candidate.answer(ROWS, "run")
        return answer
    finally:
        candidate.close()


def test_the_version_s_own_authority_is_trusted_and_no_other(version_server, authority, stranger):
    """`ca_file` belongs to the one version."""
    with guarded(version_server, None, server_context(authority.issue("version"))) as guard:
        assert _answer(url=guard.address, ca_file=authority.file).outputs == "yes"
        with pytest.raises(CandidateUnavailable, match="certificate verify failed"):
            _answer(url=guard.address, ca_file=stranger.file)
        with pytest.raises(CandidateUnavailable, match="certificate verify failed"):
            _answer(url=guard.address)


def test_a_file_of_authorities_that_is_not_there_is_named(version_server):
    """The version is unavailable; the evaluation goes on with the others."""
    with pytest.raises(CandidateUnavailable, match=r"ca_file /no/such\.pem.*No such file"):
        _answer(url=version_server, ca_file="/no/such.pem")


def test_requests_go_through_the_version_s_proxy(version_server):
    """The proxy resolves the name."""
    with guarded(version_server) as proxy:
        assert _answer(url="http://version.invalid/answer", proxy=proxy.address).outputs == "yes"
        assert proxy.targets == ["http://version.invalid/answer"]


def test_each_evaluation_reads_the_header_anew(version_server, tmp_path):
    """A rotated token is used by the next evaluation."""
    path = tmp_path / "token"
    path.write_text("first-token-123")
    settings = {"headers": {"authorization": FileSecret(["Bearer ", SecretFile(path)])}}
    with guarded(version_server) as guard:
        _answer(url=guard.address, **settings)
        path.write_text("second-token-1234")
        _answer(url=guard.address, **settings)
        assert [shown for shown, _ in guard.seen] == ["Bearer first-token-123", "Bearer second-token-1234"]


@pytest.mark.parametrize("keys", [{"ca_file": "a"}, {"proxy": "http://p"}], ids=str)
def test_a_function_has_no_connection(keys):
    """A key without effect is a mistake."""
    with pytest.raises(ValueError, match="belong to a url"):
        VersionSettings(function="a:b", **keys)
