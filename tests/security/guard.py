"""A guard in front of a server, for TLS, client certificates and credentials; it will do as a forward proxy as well."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import httpx

_NOT_FORWARDED = {"host", "connection", "transfer-encoding", "content-encoding", "content-length", "authorization"}


@dataclass(kw_only=True)
class Guard:
    """Where it stands, whom it lets in, and what it was shown: (authorization, common name of the certificate)."""

    upstream: str
    authorization: str | None = None
    address: str = ""
    seen: list[tuple[str | None, str | None]] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)


@contextmanager
def guarded(upstream: str, authorization: str | None = None, tls: ssl.SSLContext | None = None) -> Iterator[Guard]:
    """A running guard."""
    guard = Guard(upstream=upstream, authorization=authorization)
    client = httpx.Client(timeout=60, trust_env=False)

    class _Requests(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self):
            # Here and not on the listening socket: a client that fails its handshake must not stop the others.
            if tls is not None:
                self.request = tls.wrap_socket(self.request, server_side=True)
            super().setup()

        def _forward(self):
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            shown = self.headers.get("authorization")
            guard.seen.append((shown, _common_name(self.request) if tls is not None else None))
            guard.targets.append(self.path)
            guard.bodies.append(body)
            if guard.authorization is not None and shown != guard.authorization:
                return self._answer(401, b"who are you?", {})
            parts = urlsplit(self.path)
            target = f"{guard.upstream}{parts.path}" + (f"?{parts.query}" if parts.query else "")
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _NOT_FORWARDED}
            answer = client.request(self.command, target, content=body, headers=headers)
            return self._answer(answer.status_code, answer.content, answer.headers)

        def _answer(self, status, body, headers):
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in _NOT_FORWARDED:
                    self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _forward  # noqa: N815

        def log_message(self, *_):
            """Nothing is printed."""

    class _Server(ThreadingHTTPServer):
        def handle_error(self, _request, _client_address):
            """A refused handshake is what some tests want."""

    with _Server(("127.0.0.1", 0), _Requests) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        guard.address = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
        yield guard
        server.shutdown()
    client.close()


def server_context(certificate, client_authority=None) -> ssl.SSLContext:
    """TLS for a server, which requires a certificate of `client_authority` if that is given."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=client_authority)
    context.load_cert_chain(certificate.both)
    if client_authority is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _common_name(connection: ssl.SSLSocket) -> str | None:
    certificate = connection.getpeercert() or {}
    return next((value for ((name, value),) in certificate.get("subject", ()) if name == "commonName"), None)
