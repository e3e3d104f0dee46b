"""The HTTP port: TLS, logins, what a stranger sees, and how long a stranger may keep it busy."""

import contextlib
import re
import shutil
import socket
import ssl

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter

from monitor.health import Health
from monitor.http_port import limits
from monitor.http_port.exposition import HttpPort, HttpSettings, HttpTlsError, application
from monitor.secret_files import FileSecret, SecretFile

PASSWORD = "scrape-password-4d"
TOKEN = "scrape-token-9a"


class _Page:
    """A status page that shows whether it was asked for texts."""

    def html(self, *, with_texts, refresh):
        return f"numbers, {'texts' if with_texts else 'none'}, {'refreshes' if refresh else 'held'}"


@pytest.fixture
def serve():
    """A running port for settings; gives a client of it."""
    with contextlib.ExitStack() as stack:

        def start(**keys):
            settings = HttpSettings(port=0, **keys)
            registry, health = CollectorRegistry(), Health(("kafka",))
            Counter("seen", "Something.", registry=registry)
            health.down("kafka", "cannot reach secret-host:9092")
            app = application(registry, health, lambda: True, settings, _Page())
            port = stack.enter_context(HttpPort(app, settings))
            return port.address

        yield start


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    """The environment's proxies are not what is tested."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


def _asks(address, **options):
    return httpx.get(f"{address}/metrics", **options)


def test_without_login_loopback_shows_metrics_and_causes(serve):
    """As it is by default."""
    address = serve()
    assert "seen_total" in _asks(address).text
    assert "secret-host" in httpx.get(f"{address}/readyz").text


def test_a_password_opens_the_metrics_and_nothing_else_does(serve):
    """User and password, as Prometheus sends them."""
    address = serve(users={"prometheus": PASSWORD})
    assert "seen_total" in _asks(address, auth=("prometheus", PASSWORD)).text
    refused = _asks(address)
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Basic ")
    assert "seen_total" not in refused.text
    for login in [("prometheus", "wrong"), ("other", PASSWORD), ("other", ""), ("", ""), ("prometheus", "")]:
        assert _asks(address, auth=login).status_code == 401
    for shown in ["Basic", "Basic !!!", "Basic /w==", f"Bearer {PASSWORD}", "Bearer", PASSWORD, "Basic " + "A" * 5000]:
        assert _asks(address, headers={"authorization": shown}).status_code == 401


def test_a_token_opens_the_metrics_and_a_rotated_one_follows_its_file(serve, tmp_path):
    """The former token is worth nothing from then on."""
    path = tmp_path / "token"
    path.write_text(TOKEN)
    address = serve(token=FileSecret([SecretFile(path)]))
    former = {"authorization": f"Bearer {TOKEN}"}
    assert _asks(address, headers=former).status_code == 200
    path.write_text("another-token-77")
    assert _asks(address, headers=former).status_code == 401
    assert _asks(address, headers={"authorization": "Bearer another-token-77"}).status_code == 200
    assert _asks(address, auth=("", "another-token-77")).status_code == 401


def test_health_is_open_and_tells_strangers_nothing_more(serve):
    """An orchestrator asks without a login; the causes, which name hosts, are for those who are let in."""
    address = serve(token=TOKEN)
    assert httpx.get(f"{address}/healthz").json() == {"alive": True}
    stranger = httpx.get(f"{address}/readyz")
    assert (stranger.status_code, stranger.json()) == (503, {"ready": False})
    known = httpx.get(f"{address}/readyz", headers={"authorization": f"Bearer {TOKEN}"})
    assert known.json()["dependencies"]["kafka"]["cause"] == "cannot reach secret-host:9092"


def test_an_open_address_without_login_serves_metrics_and_keeps_the_causes(serve):
    """As every exporter does in a cluster; addresses and users stay inside."""
    address = serve(host="0.0.0.0").replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - that is what is tested
    assert _asks(address).status_code == 200
    assert httpx.get(f"{address}/readyz").json() == {"ready": False}


def test_the_page_shows_texts_on_loopback_and_only_numbers_on_an_open_address(serve):
    """Without a login who can reach an address sees no more there than in the metrics."""
    assert httpx.get(f"{serve()}/").text == "numbers, texts, refreshes"
    address = serve(host="0.0.0.0").replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - that is what is tested
    assert httpx.get(f"{address}/").text == "numbers, none, refreshes"
    assert httpx.get(f"{address}/?refresh=no").text == "numbers, none, held"


def test_with_a_login_the_page_is_for_those_who_are_let_in(serve):
    """A browser asks for the password and shows everything; a stranger sees nothing at all."""
    address = serve(host="0.0.0.0", users={"anna": PASSWORD}).replace("0.0.0.0", "127.0.0.1")  # noqa: S104
    refused = httpx.get(f"{address}/")
    assert (refused.status_code, refused.headers["www-authenticate"].split()[0]) == (401, "Basic")
    assert "numbers" not in refused.text
    assert httpx.get(f"{address}/", auth=("anna", PASSWORD)).text == "numbers, texts, refreshes"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:9464", "127.0.0.1.evil.example", "[::1", "10.0.0.1", ""]
)
def test_a_foreign_name_that_leads_to_loopback_shows_no_texts(serve, host):
    """A web page of somebody else's may let its own name lead to this machine and read what its browser is shown."""
    address = serve()
    assert httpx.get(f"{address}/", headers={"host": host}).text == "numbers, none, refreshes"
    assert httpx.get(f"{address}/readyz", headers={"host": host}).json() == {"ready": False}


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:9464", "127.0.0.2", "[::1]:9464"])
def test_loopback_by_its_own_names_shows_texts(serve, host):
    """Also through a forwarded port of another number."""
    assert httpx.get(f"{serve()}/", headers={"host": host}).text == "numbers, texts, refreshes"


def test_everything_is_answered_under_the_same_strict_policy(serve):
    """No script, nothing from outside, no frame around it, no type guessed, nothing kept."""
    address = serve()
    for path in ("/", "/metrics", "/healthz", "/nothing"):
        answer = httpx.get(f"{address}{path}")
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        style = policy.pop("style-src")
        assert re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", style)
        assert policy == {
            "default-src": "'none'",
            "img-src": "data:",
            "base-uri": "'none'",
            "form-action": "'none'",
            "frame-ancestors": "'none'",
        }
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert len(answer.headers.get_list("content-security-policy")) == 1
    assert httpx.get(f"{address}/").headers["content-type"] == "text/html; charset=utf-8"
    assert httpx.post(f"{address}/").status_code == 405


@pytest.mark.parametrize(
    ("keys", "may"),
    [
        ({}, True),
        ({"host": "::1"}, True),
        ({"host": "127.0.0.2"}, True),
        ({"host": "localhost"}, True),
        ({"host": "0.0.0.0"}, False),  # noqa: S104
        ({"host": "::"}, False),
        ({"host": "192.168.1.5"}, False),
        ({"host": "monitor.example"}, False),
        ({"host": "0.0.0.0", "token": TOKEN}, True),  # noqa: S104
        ({"host": "0.0.0.0", "users": {"a": "b"}}, True),  # noqa: S104
        ({"host": "0.0.0.0", "tls": {"cert_file": "c", "key_file": "k"}}, False),  # noqa: S104
        ({"host": "0.0.0.0", "tls": {"cert_file": "c", "key_file": "k", "client_ca_file": "a"}}, True),  # noqa: S104
    ],
    ids=str,
)
def test_traces_are_shown_on_loopback_or_behind_a_login_and_nowhere_else(keys, may):
    """Encryption alone is no login."""
    assert HttpSettings(**keys).may_show_traces is may


@pytest.mark.parametrize("keys", [{"token": ""}, {"users": {"a": ""}}], ids=str)
def test_an_empty_secret_is_refused(keys):
    """A variable that is unset must not open the door."""
    with pytest.raises(ValueError, match="let everybody in"):
        HttpSettings(**keys)


def _tls(certificate, **more):
    return {"cert_file": certificate.certificate, "key_file": certificate.key, **more}


def _trusting(authority, client=None):
    context = ssl.create_default_context(cafile=authority.file)
    if client is not None:
        context.load_cert_chain(client.both)
    return context


def test_https_shows_the_configured_certificate(serve, authority):
    """And speaks no plain HTTP, nor TLS older than 1.2."""
    address = serve(tls=_tls(authority.issue("port")))
    assert address.startswith("https://")
    assert _asks(address, verify=_trusting(authority)).status_code == 200
    with pytest.raises(httpx.HTTPError):
        _asks(address.replace("https", "http"))
    old = _trusting(authority)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(httpx.ConnectError):
        _asks(address, verify=old)


def test_a_client_certificate_is_a_login_and_probes_need_none(serve, authority, stranger):
    """An orchestrator's probe has no certificate; one of an unknown authority is refused in the handshake."""
    address = serve(tls=_tls(authority.issue("port"), client_ca_file=authority.file))
    assert _asks(address, verify=_trusting(authority, authority.issue("prometheus"))).status_code == 200
    assert _asks(address, verify=_trusting(authority)).status_code == 401
    assert httpx.get(f"{address}/healthz", verify=_trusting(authority)).status_code == 200
    with pytest.raises(httpx.HTTPError):
        _asks(address, verify=_trusting(authority, stranger.issue("mallory")))


def test_a_renewed_certificate_is_shown_to_the_next_connection(serve, authority, tmp_path):
    """No restart; files that do not fit together for a moment leave the former ones in force."""
    first, second = authority.issue("first"), authority.issue("second")
    crt, key = tmp_path / "port.crt", tmp_path / "port.key"
    shutil.copy(first.certificate, crt)
    shutil.copy(first.key, key)
    address = serve(tls={"cert_file": crt, "key_file": key})
    assert _name_shown(address, authority) == "first"
    shutil.copy(second.certificate, crt)
    assert _name_shown(address, authority) == "first"
    shutil.copy(second.key, key)
    assert _name_shown(address, authority) == "second"
    crt.unlink()
    assert _name_shown(address, authority) == "second"


def _name_shown(address, authority):
    host, port = address.removeprefix("https://").split(":")
    with (
        socket.create_connection((host, int(port))) as connection,
        _trusting(authority).wrap_socket(connection, server_hostname=host) as secure,
    ):
        return dict(each[0] for each in secure.getpeercert()["subject"])["commonName"]


def test_files_that_cannot_be_used_are_named_before_anything_listens(authority, stranger, tmp_path):
    """A missing file, and a key of another certificate."""
    mixed = {"cert_file": authority.issue("a").certificate, "key_file": stranger.issue("b").key}
    for tls in ({"cert_file": tmp_path / "no.crt", "key_file": tmp_path / "no.key"}, mixed):
        settings = HttpSettings(port=0, tls=tls)
        with pytest.raises(HttpTlsError, match=re.escape(f"cert_file {tls['cert_file']}")):
            HttpPort(application(CollectorRegistry(), Health(()), lambda: True, settings), settings)


def test_answers_carry_headers_that_browsers_heed_and_no_banner(serve):
    """On every path, also where there is nothing."""
    address = serve()
    for path in ("/metrics", "/readyz", "/none"):
        headers = httpx.get(address + path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "server" not in headers


def test_what_is_too_long_is_refused_without_being_read(serve):
    """A header of a megabyte; a body on a path that takes none."""
    address = serve()
    with _connected(address) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(b"GET /healthz HTTP/1.1\r\nx: " + b"a" * 1_000_000)
        with contextlib.suppress(ConnectionError):
            assert connection.recv(100).startswith((b"HTTP/1.1 400", b""))
    assert httpx.post(f"{address}/metrics", content=b"x" * 100_000).status_code == 405
    assert httpx.get(f"{address}/healthz").status_code == 200


@pytest.fixture
def hasty(monkeypatch):
    """Deadlines of a tenth of a second."""
    monkeypatch.setattr(limits.BoundedProtocol, "request_s", 0.1)
    monkeypatch.setattr(limits.BoundedProtocol, "answer_s", 0.1)


@contextlib.contextmanager
def _connected(address):
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        yield connection


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    "said",
    [b"", b"GET /healthz HTTP/1.1\r\n", b"POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\nab"],
)
def test_a_request_that_never_ends_is_ended(serve, said):
    """Silence, a header line by line, a body byte by byte: uvicorn itself would wait for ever."""
    with _connected(serve()) as connection:
        connection.sendall(said)
        with contextlib.suppress(ConnectionError):
            while connection.recv(4096):
                pass


@pytest.mark.usefixtures("hasty")
def test_bytes_that_trickle_in_do_not_put_off_the_end(serve):
    """Each is in time, the request as a whole is not."""
    with _connected(serve()) as connection:
        connection.settimeout(0.02)
        with contextlib.suppress(ConnectionError):
            for _ in range(500):
                connection.sendall(b"x")
                with contextlib.suppress(TimeoutError):
                    if not connection.recv(1):
                        break
            else:
                pytest.fail("ten seconds of trickle")


@pytest.mark.usefixtures("hasty")
def test_an_answer_that_is_not_taken_is_not_waited_for(serve):
    """The system's buffers are full, the reader sleeps: the connection is given up."""
    with _connected(serve()) as connection, contextlib.suppress(ConnectionError):
        for _ in range(20_000):
            connection.sendall(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n" * 50)
        pytest.fail("a million requests were taken, and no answer was")


def test_connections_are_bounded_and_the_port_recovers(serve, monkeypatch):
    """One too many is dropped at once; when others end there is room again."""
    monkeypatch.setattr(limits, "MAX_CONNECTIONS", 5)
    address = serve()
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            connection = stack.enter_context(_connected(address))
            connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"{address}/healthz")
    for _ in range(200):
        with contextlib.suppress(httpx.HTTPError):
            assert httpx.get(f"{address}/healthz").status_code == 200
            break
    else:
        pytest.fail("the port did not recover")
