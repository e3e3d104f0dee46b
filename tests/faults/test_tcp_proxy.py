"""The proxy does what its name for it says: a fault that does not bite proves nothing."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.running_daemon import eventually
from tests.faults.tcp_proxy import TcpProxy

_PATIENCE_S = 20


class _Echo(socketserver.StreamRequestHandler):
    """Answers each line with itself."""

    def handle(self) -> None:
        try:
            for line in self.rfile:
                self.server.lines.append(line)
                self.wfile.write(line)
        except OSError:
            self.server.resets += 1


class _TcpEcho(socketserver.ThreadingTCPServer):
    daemon_threads = True


class _UnixEcho(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@contextmanager
def serving(server):
    server.lines, server.resets = [], 0
    with server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def echo() -> Iterator[_TcpEcho]:
    with serving(_TcpEcho(("127.0.0.1", 0), _Echo)) as server:
        yield server


@pytest.fixture
def proxy(echo) -> Iterator[TcpProxy]:
    with TcpProxy(echo.server_address) as running:
        yield running


def connect(proxy: TcpProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=_PATIENCE_S)


def ask(client: socket.socket, line: bytes) -> bytes:
    """What comes back for a line, b"" at the end of the connection."""
    client.sendall(line)
    answer = b""
    while not answer.endswith(b"\n") and (part := client.recv(65_536)):
        answer += part
    return answer


def test_all_bytes_pass_in_both_directions(proxy):
    """Small and large, and an orderly end is handed on."""
    with connect(proxy) as client:
        for line in (b"a\n", b"b" * 3_000_000 + b"\n"):
            threading.Thread(target=client.sendall, args=(line,)).start()
            assert ask(client, b"") == line
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    eventually(lambda: proxy.connections == 0, "the connection is forgotten")
    assert proxy.broken == 0


def test_a_unix_socket_can_be_behind_it(tmp_path: Path):
    """PostgreSQL of the tests listens on one."""
    path = tmp_path / "echo.sock"
    with serving(_UnixEcho(str(path), _Echo)), TcpProxy(path) as proxy, connect(proxy) as client:
        assert ask(client, b"hello\n") == b"hello\n"


def test_a_cut_resets_what_is_open_and_refuses_what_comes(proxy, echo):
    """On both sides, and the port works again afterwards, for the same proxy."""
    with connect(proxy) as client:
        assert ask(client, b"before\n") == b"before\n"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    eventually(lambda: echo.resets == 1, "the server's side is reset as well")
    proxy.pass_on()
    with connect(proxy) as client:
        assert ask(client, b"after\n") == b"after\n"


def test_a_delay_holds_back_bytes_of_open_and_new_connections_each_way(proxy):
    """A way there and a way back; what was sent in the meantime comes all the same, in order."""
    import time

    with connect(proxy) as client:
        proxy.delay(0.1)
        began = time.monotonic()
        assert ask(client, b"slow\n") == b"slow\n"
        assert time.monotonic() - began >= 0.2
        proxy.pass_on()
        assert ask(client, b"fast\n") == b"fast\n"


def test_what_is_swallowed_never_comes_and_its_connection_stays_silent(proxy, echo):
    """New connections are accepted all the same; only those made afterwards work."""
    old = connect(proxy)
    assert ask(old, b"before\n") == b"before\n"
    proxy.swallow()
    with connect(proxy) as new, old:
        for client in (old, new):
            client.sendall(b"gone\n")
        eventually(lambda: proxy.broken == 2, "both have lost bytes")
        proxy.pass_on()
        for client in (old, new):
            client.settimeout(0.1)
            with pytest.raises(TimeoutError):
                client.recv(1)
    with connect(proxy) as client:
        assert ask(client, b"after\n") == b"after\n"
    assert echo.lines == [b"before\n", b"after\n"]


def test_halves_truncate_requests_and_responses(proxy, echo):
    """Each connection ends in the middle of some chunk: sometimes the request was never whole, sometimes it was."""
    proxy.halve()
    whole_requests = []
    for number in range(24):
        line = b"%04d" % number * 100 + b"\n"
        with connect(proxy) as client:
            answers = []
            try:
                while (answer := ask(client, line)) == line:
                    answers.append(answer)
            except ConnectionError:
                answer = b""
            assert answer != line
            whole_requests.append(echo.lines.count(line) > len(answers))
    assert set(whole_requests) == {True, False}
    assert proxy.broken == 24


def test_a_throttle_lets_so_many_bytes_a_second_through(proxy):
    """Everything comes, later."""
    import time

    with connect(proxy) as client:
        proxy.throttle(100_000)
        began = time.monotonic()
        assert ask(client, b"x" * 9_999 + b"\n") == b"x" * 9_999 + b"\n"
        assert time.monotonic() - began >= 0.2


def test_nobody_else_can_take_the_port_of_a_proxy_that_cuts(proxy):
    """A client that comes back must not meet another server."""
    proxy.cut()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", proxy.port))
