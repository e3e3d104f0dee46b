"""A way to a PostgreSQL server that swallows everything from some instant on, and acknowledges it all the same."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import sqlalchemy


class SilentProxy:
    """Forwards connections on a loopback port to a server's Unix socket until it is told to be `silent`."""

    def __init__(self, server: Path) -> None:
        self.silent = threading.Event()
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Cut everything."""
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._server))
                self._sockets += [client, server]
                for here, there in ((client, server), (server, client)):
                    threading.Thread(target=self._forward, args=(here, there), daemon=True).start()

    def _forward(self, here: socket.socket, there: socket.socket) -> None:
        with suppress(OSError):
            while data := here.recv(65536):
                if not self.silent.is_set():
                    there.sendall(data)
            there.shutdown(socket.SHUT_WR)


@contextmanager
def proxy_to(url: str) -> Iterator[tuple[SilentProxy, str]]:
    """A proxy to the server of a URL, and the URL of the same database by way of it."""
    address = sqlalchemy.make_url(url)
    proxy = SilentProxy(Path(str(address.query["host"])) / ".s.PGSQL.5432")
    through = address.set(host="127.0.0.1", port=proxy.port, query={"connect_timeout": "2"})
    try:
        yield proxy, through.render_as_string(hide_password=False)
    finally:
        proxy.close()
