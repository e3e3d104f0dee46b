"""A database's user and password that change while the daemon runs."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import make_url


def follow_credentials(engine: Engine, url: Callable[[], str]) -> None:
    """From now on each new connection logs in with the user and the password that the URL has then.

    Connections that are open stay: PostgreSQL asks for a password only when one begins. All else of the URL is as it
    was when the engine was made.
    """

    def put(_dialect: Any, _record: Any, _arguments: Any, named: dict[str, Any]) -> None:
        address = make_url(url())
        if address.password is not None:
            named["password"] = address.password
            named["user"] = address.username

    # Before any other listener: one of them may make the connection.
    event.listen(engine, "do_connect", put, insert=True)
