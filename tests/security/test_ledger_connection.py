"""The ledger's PostgreSQL: rotated passwords, and TLS as the URL asks for it."""

import socket
import ssl
import threading
from contextlib import contextmanager

import pytest
from guard import server_context
from sqlalchemy.engine import make_url

from monitor.ledger import LedgerUnavailable, open_ledger
from monitor.secret_files import FileSecret, SecretFile


def _url(postgres_ledger_url, role, password):
    return make_url(postgres_ledger_url).set(username=role, password=password).render_as_string(hide_password=False)


def test_a_rotated_password_is_used_by_the_next_connection(postgres_ledger_url, password_role, tmp_path):
    """The server drops what is open, as at a failover: the ledger comes back with the new password."""
    role, run, _ = password_role
    path = tmp_path / "password"
    path.write_text("ledger-p%40ss%2Fword-31\n")
    before, after = _url(postgres_ledger_url, role, "PLACE").split("PLACE")
    secret = FileSecret([before, SecretFile(path), after])
    ledger = open_ledger(secret)
    try:
        ledger.probe()
        run(f"ALTER ROLE {role} PASSWORD 'a-new-word'")
        run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'")  # noqa: S608 - a name of ours
        with pytest.raises(LedgerUnavailable) as caught:
            ledger.probe()
        assert "word-31" not in str(caught.value)
        path.write_text("a-new-word\n")
        ledger.probe()
    finally:
        ledger.close()


def test_a_wrong_password_is_named_and_not_shown(postgres_ledger_url, password_role):
    """PostgreSQL's own words."""
    role, _, _ = password_role
    with pytest.raises(LedgerUnavailable, match="password authentication failed") as caught:
        open_ledger(_url(postgres_ledger_url, role, "not-the-password"))
    assert "not-the-password" not in str(caught.value)


@contextmanager
def _tls_server(context):
    """PostgreSQL's side of the beginning of a TLS connection; it refuses whoever comes so far."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(8)
                    connection.sendall(b"S")
                    try:
                        with context.wrap_socket(connection, server_side=True) as secure:
                            secure.recv(1024)
                            fields = b"SFATAL\0C28000\0Mreached over TLS\0\0"
                            secure.sendall(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)
                    except (ssl.SSLError, OSError):
                        continue

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def test_the_server_s_certificate_is_verified_as_the_url_asks(authority, stranger, tmp_path):
    """`sslmode=verify-full` with `sslrootcert`: the right authority lets us through, another one and none do not."""
    with _tls_server(server_context(authority.issue("postgres"))) as address:

        def cause(root):
            with pytest.raises(LedgerUnavailable) as caught:
                open_ledger(f"postgresql://anna:tls-secret-1@{address}/x?sslmode=verify-full&sslrootcert={root}")
            assert "tls-secret-1" not in str(caught.value)
            return str(caught.value)

        assert "reached over TLS" in cause(authority.file)
        assert "certificate verify failed" in cause(stranger.file)
        assert "does not exist" in cause(tmp_path / "none.pem")
