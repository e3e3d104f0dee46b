"""A pager that only prints: a line for each alert that Alertmanager's webhooks bring, on standard output."""  # noqa: INP001

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def lines(path: str, body: dict[str, Any]) -> list[str]:
    """What a notification says: where it was sent (`pages`, `tickets`), the alert's state, labels and summary."""
    found = []
    for alert in body.get("alerts", []):
        labels, notes = alert.get("labels", {}), alert.get("annotations", {})
        named = " ".join(labels[key] for key in ("app", "kind", "scorer", "segment") if labels.get(key))
        summary = notes.get("summary", labels.get("alertname", ""))
        found.append(f"{path.strip('/')}: {alert.get('status', '?').upper()} {named}: {summary}")
    return found


class _Connection(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer(200)

    def do_POST(self) -> None:
        try:
            body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)))
            told = lines(self.path, body)
        except (ValueError, AttributeError):
            self._answer(400)
            return
        for line in told:
            # One line an alert, whatever its texts hold.
            print(line.encode("unicode_escape").decode(), flush=True)  # noqa: T201 - that is what it is for
        self._answer(200)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        """Only alerts are printed."""


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(sys.argv[1])), _Connection).serve_forever()
