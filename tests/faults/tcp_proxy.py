"""A TCP proxy that can do to a connection what networks do: cut, delay, swallow, halve and throttle it.

It stands in front of any address, a unix socket among them, and changes its ways while connections run through it.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

Upstream = tuple[str, int] | Path
Mode = Literal["pass", "cut", "delay", "swallow", "halve", "throttle"]

_CHUNK_BYTES = 65_536
# Bytes on their way through a delay: more than that waits in the sender's own socket.
_CHUNKS_UNDER_WAY = 256
_MOST_CHUNKS_BEFORE_A_HALF = 12
_RESET_AT_ONCE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fault:
    """What is done to every byte. `value`: seconds each way for `delay`, bytes a second for `throttle`."""

    mode: Mode = "pass"
    value: float = 0.0


@dataclass(slots=True, eq=False)
class _Connection:
    """One client's connection and, unless it was swallowed, the one behind it."""

    client: asyncio.StreamWriter
    upstream: asyncio.StreamWriter | None = None
    task: asyncio.Task[None] | None = None
    # Chunks, of either direction, that pass before one is halved; drawn anew for each fault.
    chunks_left: int = 0
    has_lost_bytes: bool = field(default=False)

    def reset(self) -> None:
        """Answer both ends with RST."""
        for writer in (self.client, self.upstream):
            if writer is not None:
                _reset(writer)


class TcpProxy:
    """Listens on a loopback port from `start` (or `with`) to `stop`, and hands all bytes on until it is told otherwise.

    While it cuts or is stopped its port refuses connections and stays its own. A seed makes its halves repeatable.
    """

    def __init__(self, upstream: Upstream, *, seed: int = 0) -> None:
        self._upstream = upstream
        self._random = random.Random(seed)
        self._fault = _Fault()
        self._connections: set[_Connection] = set()
        self._broken = 0
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcp-proxy", daemon=True)
        # A port that is bound and not listened on refuses connections, and nobody else can take it.
        self._claim = _bound_socket(0)
        self.port: int = self._claim.getsockname()[1]

    @property
    def address(self) -> str:
        """`host:port` that clients use."""
        return f"127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    @property
    def broken(self) -> int:
        """How many connections it has reset, and bytes of how many it has swallowed."""
        return self._broken

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()
        self._run(self._listen())

    def stop(self) -> None:
        """Reset every connection and let go of the port."""
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._claim.close()

    def pass_on(self) -> None:
        """Hand everything on again. A connection whose bytes were swallowed stays silent until its client gives up."""
        self._run(self._turn_to(_Fault()))

    def cut(self) -> None:
        """Reset all connections and refuse new ones."""
        self._run(self._turn_to(_Fault(mode="cut")))

    def delay(self, seconds: float) -> None:
        """Hold every byte back for so long, each way."""
        self._run(self._turn_to(_Fault(mode="delay", value=seconds)))

    def swallow(self) -> None:
        """Accept connections and every byte, and never answer."""
        self._run(self._turn_to(_Fault(mode="swallow")))

    def halve(self) -> None:
        """Reset each connection after half of a chunk, a request's or a response's: one of its next twelve."""
        self._run(self._turn_to(_Fault(mode="halve")))

    def throttle(self, bytes_per_s: float) -> None:
        """Let so many bytes a second through, each way of each connection."""
        self._run(self._turn_to(_Fault(mode="throttle", value=bytes_per_s)))

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _turn_to(self, fault: _Fault) -> None:
        self._fault = fault
        for connection in self._connections:
            connection.chunks_left = self._draw_chunks()
        if fault.mode == "cut":
            await self._refuse()
            for connection in list(self._connections):
                self._break(connection)
        else:
            await self._listen()

    async def _listen(self) -> None:
        if self._server is None:
            listener = _bound_socket(self.port)
            self._server = await asyncio.start_server(self._serve, sock=listener, backlog=128)

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _close(self) -> None:
        await self._refuse()
        tasks = [connection.task for connection in self._connections if connection.task is not None]
        for connection in list(self._connections):
            connection.reset()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(client=writer, task=asyncio.current_task(), chunks_left=self._draw_chunks())
        self._connections.add(connection)
        try:
            with suppress(OSError, asyncio.CancelledError):
                await self._carry(connection, reader)
        finally:
            self._connections.discard(connection)
            connection.reset()

    async def _carry(self, connection: _Connection, client: asyncio.StreamReader) -> None:
        if self._fault.mode == "swallow":
            self._mute(connection)
            await _drop_all(client)
            return
        upstream, connection.upstream = await self._connect()
        there = self._pump(connection, client, connection.upstream)
        back = self._pump(connection, upstream, connection.client)
        pumps = [asyncio.ensure_future(there), asyncio.ensure_future(back)]
        try:
            # An orderly end of one direction is handed on, and the other goes on: that is how HTTP bodies may end.
            await asyncio.gather(*pumps)
        finally:
            for pump in pumps:
                pump.cancel()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._upstream, Path):
            return await asyncio.open_unix_connection(os.fspath(self._upstream))
        return await asyncio.open_connection(*self._upstream)

    async def _pump(self, connection: _Connection, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        """Chunks from one end to the other, each when it is due."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_CHUNKS_UNDER_WAY)
        delivery = asyncio.ensure_future(_deliver(under_way, target))
        try:
            while chunk := await _until_done(source.read(_CHUNK_BYTES), delivery):
                await self._handle(connection, chunk, under_way.put)
            await under_way.put((0.0, b""))
            await delivery
        finally:
            delivery.cancel()

    async def _handle(
        self, connection: _Connection, chunk: bytes, hand_on: Callable[[tuple[float, bytes]], Awaitable[None]]
    ) -> None:
        fault, now_s = self._fault, self._loop.time()
        if fault.mode == "swallow" or connection.has_lost_bytes:
            self._mute(connection)
            return
        if fault.mode == "throttle":
            await asyncio.sleep(len(chunk) / fault.value)
        if fault.mode == "halve":
            if connection.chunks_left == 0:
                await hand_on((now_s, chunk[: len(chunk) // 2]))
                # The half has to leave before the reset takes away what lies in the socket.
                await asyncio.sleep(0.01)
                self._break(connection)
                return
            connection.chunks_left -= 1
        await hand_on((now_s + (fault.value if fault.mode == "delay" else 0.0), chunk))

    def _mute(self, connection: _Connection) -> None:
        self._broken += not connection.has_lost_bytes
        connection.has_lost_bytes = True

    def _break(self, connection: _Connection) -> None:
        self._broken += 1
        connection.reset()
        if connection.task is not None:
            connection.task.cancel()

    def _draw_chunks(self) -> int:
        return self._random.randrange(_MOST_CHUNKS_BEFORE_A_HALF)


async def _deliver(under_way: asyncio.Queue[tuple[float, bytes]], target: asyncio.StreamWriter) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due_s, chunk = await under_way.get()
        if (wait_s := due_s - loop.time()) > 0:
            await asyncio.sleep(wait_s)
        if not chunk:
            if target.can_write_eof():
                target.write_eof()
            return
        target.write(chunk)
        await target.drain()


async def _until_done(read: Coroutine[Any, Any, bytes], delivery: asyncio.Future[None]) -> bytes:
    """What is read; a delivery that fails meanwhile raises here."""
    reading = asyncio.ensure_future(read)
    try:
        await asyncio.wait({reading, delivery}, return_when=asyncio.FIRST_COMPLETED)
        if delivery.done():
            await delivery
        return await reading
    finally:
        reading.cancel()


async def _drop_all(reader: asyncio.StreamReader) -> None:
    while await reader.read(_CHUNK_BYTES):
        pass


def _reset(writer: asyncio.StreamWriter) -> None:
    plug = writer.get_extra_info("socket")
    if plug is not None and plug.family == socket.AF_INET and not writer.is_closing():
        with suppress(OSError):
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_ONCE)
    writer.transport.abort()


def _bound_socket(port: int) -> socket.socket:
    plug = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    plug.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    plug.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    plug.bind(("127.0.0.1", port))
    return plug
