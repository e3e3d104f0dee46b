"""How long and how often strangers may keep the HTTP port busy: uvicorn itself waits for a request for ever."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_HEADER_BYTES = 16 * 1024
MAX_CONNECTIONS = 200
REQUEST_S = 10.0
"""Seconds in which a request must have come whole, from its connection's or its own first byte on."""
ANSWER_S = 60.0
"""Seconds in which its answer must have been taken; a reading of the ledger may take 30."""


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 with a deadline for each request and each answer, and a bound on connections.

    It notes in the request's state whether the client has shown a certificate, which was verified.
    """

    request_s = REQUEST_S
    answer_s = ANSWER_S
    _deadline: asyncio.TimerHandle | None = None
    _awaits_request = False

    def connection_made(self, transport: Any) -> None:
        """Take the connection, unless there are too many."""
        if len(self.connections) >= MAX_CONNECTIONS:
            transport.abort()
            return
        self.app_state = {**self.app_state, "client_certificate": bool(transport.get_extra_info("peercert"))}
        super().connection_made(transport)
        self._await_request()

    def data_received(self, data: bytes) -> None:
        """Read on. Further bytes never put off a deadline; only a request that is whole ends that of requests."""
        super().data_received(data)
        if self.conn.their_state in {h11.IDLE, h11.SEND_BODY}:
            if not self._awaits_request:
                self._await_request()
        elif self._awaits_request:
            self._await_taking()

    def on_response_complete(self) -> None:
        """The answer has been handed to the system; whoever does not take it is not waited for."""
        self._await_taking()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more to wait for."""
        if self._deadline is not None:
            self._deadline.cancel()
        if self.transport is not None:
            super().connection_lost(exc)

    def _await_request(self) -> None:
        self._awaits_request = True
        self._abort_after(self.request_s)

    def _await_taking(self) -> None:
        self._awaits_request = False
        self._abort_after(self.answer_s)

    def _abort_after(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)
