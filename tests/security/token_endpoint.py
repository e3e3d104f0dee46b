"""A token endpoint that knows one client, and gives the unsigned tokens that Kafka's test listener takes."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

CLIENT_ID = "tracewatch"


@dataclass(kw_only=True)
class TokenEndpoint:
    """Where it is, the one secret that it takes, and what it was asked."""

    url: str = ""
    secret: str
    life_s: int = 3600
    forms: list[dict[str, list[str]]] = field(default_factory=list)
    refused: int = 0


def unsigned_token(life_s: int) -> str:
    """A JWT without a signature, for `tracewatch`."""
    now = time.time()
    claims = {"sub": CLIENT_ID, "iat": now, "exp": now + life_s}
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({"alg": "none"}, claims)
    ]
    return ".".join([*parts, ""])


@contextmanager
def token_endpoint(secret: str) -> Iterator[TokenEndpoint]:
    """A running endpoint over HTTP."""
    endpoint = TokenEndpoint(secret=secret)

    class _Requests(BaseHTTPRequestHandler):
        def do_POST(self):
            form = self.rfile.read(int(self.headers["content-length"])).decode()
            wanted = base64.b64encode(f"{CLIENT_ID}:{endpoint.secret}".encode()).decode()
            if self.headers["authorization"] != f"Basic {wanted}":
                endpoint.refused += 1
                return self._answer(401, {"error": "invalid_client", "error_description": "it was not the secret"})
            endpoint.forms.append(parse_qs(form))
            token = unsigned_token(endpoint.life_s)
            return self._answer(200, {"access_token": token, "expires_in": endpoint.life_s, "token_type": "Bearer"})

        def _answer(self, status, body):
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            """Nothing is printed."""

    with ThreadingHTTPServer(("127.0.0.1", 0), _Requests) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint.url = f"http://127.0.0.1:{server.server_port}/token"
        yield endpoint
        server.shutdown()
