"""Every way to log in to Kafka, on a real broker: consumer, producer and admin; and what a refusal says."""

import threading
import time

import pytest
from pydantic import SecretStr
from scram import SCRAM_PASSWORD, set_scram_password
from token_endpoint import CLIENT_ID, token_endpoint

from consumers.errors import SourceUnavailable
from consumers.kafka_publish import publish_lines
from consumers.kafka_source import KafkaSource
from consumers.kafka_topics import create_topic, describe_topic
from consumers.settings import SourceSettings
from tests.patient_source import patient

OAUTH_SECRET = "oauth-secret-91bc"


@pytest.fixture(scope="module")
def tokens():
    """A token endpoint that takes OAUTH_SECRET."""
    with token_endpoint(OAUTH_SECRET) as endpoint:
        yield endpoint


def _settings(address, topic, **keys):
    common = {"bootstrap_servers": address, "topic": topic, "group_id": topic, "connect_timeout": "3s"}
    return SourceSettings(**common, request_timeout="5s", **keys)


def _scram(kafka, topic, mechanism="SCRAM-SHA-512", password=SCRAM_PASSWORD):
    return _settings(
        kafka.address_of("SCRAM"),
        topic,
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism=mechanism,
        sasl_plain_username="bob",
        sasl_plain_password=password,
    )


def _oauth(kafka, topic, tokens, secret=OAUTH_SECRET):
    oauth = {"token_url": tokens.url, "client_id": CLIENT_ID, "client_secret": secret, "scope": "traces"}
    return _settings(
        kafka.address_of("OAUTH"),
        topic,
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="OAUTHBEARER",
        sasl_oauth=oauth,
    )


def _plain_over_tls(kafka, topic, authority, **changes):
    keys = {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "alice",
        "sasl_plain_password": "alice-secret",
        "ssl_cafile": authority.file,
    }
    return _settings(kafka.address_of("TLS"), topic, **(keys | changes))


def _mutual_tls(kafka, topic, authority, client):
    return _settings(
        kafka.address_of("MTLS"),
        topic,
        security_protocol="SSL",
        ssl_cafile=authority.file,
        ssl_certfile=client.certificate,
        ssl_keyfile=client.key,
    )


def _received(source, count):
    values = []
    deadline = time.monotonic() + 60
    while len(values) < count and time.monotonic() < deadline:
        values += [message.value for message in source.poll(0.1).messages]
    return values


def _works(settings):
    """Admin, producer and consumer, one after the other."""
    # A listener that has just begun may take longer than `_settings` allows.
    settings = patient(settings)
    create_topic(settings.connection(), f"{settings.topic}-made", 2)
    assert describe_topic(settings.connection(), settings.topic).partitions == 1
    assert publish_lines(settings, [b"one", b"two"], lambda _: None) == 2
    source = KafkaSource(settings)
    source.start()
    try:
        assert _received(source, 2) == [b"one", b"two"]
    finally:
        source.close()


def _refused(settings):
    with pytest.raises(SourceUnavailable) as caught:
        KafkaSource(settings).start()
    return caught.value.cause


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_scram_opens_for_admin_producer_and_consumer(guarded_kafka, guarded_topic, mechanism):
    """Both hashes."""
    _works(_scram(guarded_kafka, guarded_topic, mechanism))


def test_plain_over_tls_opens_for_admin_producer_and_consumer(guarded_kafka, guarded_topic, authority):
    """The authority is the tests' own, given by `ssl_cafile`."""
    _works(_plain_over_tls(guarded_kafka, guarded_topic, authority))


def test_a_client_certificate_opens_for_admin_producer_and_consumer(guarded_kafka, guarded_topic, authority):
    """The listener refuses whoever shows none."""
    _works(_mutual_tls(guarded_kafka, guarded_topic, authority, authority.issue("client")))


def test_a_token_opens_for_admin_producer_and_consumer(guarded_kafka, guarded_topic, tokens):
    """The client-credentials grant, with the scope that is configured."""
    _works(_oauth(guarded_kafka, guarded_topic, tokens))
    assert tokens.forms[-1] == {"grant_type": ["client_credentials"], "scope": ["traces"]}


def test_one_client_asks_for_one_token_while_it_is_good(guarded_kafka, guarded_topic, tokens):
    """A consumer connects several times (bootstrap, leader, coordinator) and does not ask each time."""
    source = KafkaSource(_oauth(guarded_kafka, guarded_topic, tokens))
    before = len(tokens.forms)
    source.start()
    _received(source, 0)
    source.close()
    assert len(tokens.forms) - before == 2, "one for the question whether the topic is there, one for the consumer"


def test_a_wrong_scram_password_is_named_and_not_shown(guarded_kafka, guarded_topic):
    """The broker's word for it, without the password."""
    cause = _refused(_scram(guarded_kafka, guarded_topic, password="not-the-password-55"))
    assert "Authentication failed" in cause
    assert "not-the-password-55" not in cause


def test_a_wrong_client_secret_is_named_and_not_shown(guarded_kafka, guarded_topic, tokens):
    """The token endpoint's status and OAuth's code, without the secret."""
    cause = _refused(_oauth(guarded_kafka, guarded_topic, tokens, secret="not-the-secret-66"))
    assert cause == f"no token from {tokens.url}: HTTP 401 (invalid_client)"


def test_a_token_endpoint_that_is_away_is_named(guarded_kafka, guarded_topic, tokens):
    """It says which of the two is away."""
    settings = _oauth(guarded_kafka, guarded_topic, tokens)
    away = settings.sasl_oauth.model_copy(update={"token_url": "http://127.0.0.1:1/token"})
    cause = _refused(settings.model_copy(update={"sasl_oauth": away}))
    assert cause.startswith("no token from http://127.0.0.1:1/token: ")
    assert "refused" in cause


def test_an_unknown_authority_is_named(guarded_kafka, guarded_topic, stranger):
    """The broker's certificate is signed by somebody else."""
    cause = _refused(_plain_over_tls(guarded_kafka, guarded_topic, stranger))
    assert "certificate verify failed" in cause


def test_an_authority_file_that_is_not_there_is_named_with_its_path(guarded_kafka, guarded_topic, authority):
    """The library's own error would be 'No such file or directory' alone."""
    cause = _refused(_plain_over_tls(guarded_kafka, guarded_topic, authority, ssl_cafile="/no/such/ca.pem"))
    assert cause == "ssl_cafile /no/such/ca.pem: No such file or directory"


def test_an_expired_client_certificate_is_named(guarded_kafka, guarded_topic, authority):
    """Kafka's own alert is the same for every certificate that it does not take: 'certificate unknown'."""
    late = authority.issue("late", expired=True)
    cause = _refused(_mutual_tls(guarded_kafka, guarded_topic, authority, late))
    assert cause.startswith(f"ssl_certfile {late.certificate}: the certificate expired on ")


def test_a_client_certificate_of_an_unknown_authority_is_named(guarded_kafka, guarded_topic, authority, stranger):
    """The cause says that it is ours that is refused, and which file it is."""
    foreign = stranger.issue("foreign")
    cause = _refused(_mutual_tls(guarded_kafka, guarded_topic, authority, foreign))
    assert f"the broker refuses our client certificate (ssl_certfile {foreign.certificate})" in cause


def test_a_missing_client_certificate_is_named(guarded_kafka, guarded_topic, authority):
    """The listener requires one, and none is configured."""
    address = guarded_kafka.address_of("MTLS")
    settings = _settings(address, guarded_topic, security_protocol="SSL", ssl_cafile=authority.file)
    assert "the broker refuses a client without certificate (ssl_certfile)" in _refused(settings)


class _Changing(SecretStr):
    """A secret that somebody rotates."""

    def __init__(self, value) -> None:
        super().__init__(value)
        self.current = value

    def get_secret_value(self):
        return self.current


def test_a_running_consumer_connects_again_with_the_new_password(guarded_kafka, guarded_topic):
    """The broker drops its connections, as it does when it restarts: the client logs in with the password of now."""
    secret = _Changing("first-password-77")
    set_scram_password(guarded_kafka, secret.current)
    source = KafkaSource(_scram(guarded_kafka, guarded_topic, password=secret))
    try:
        source.start()
        publish_lines(_scram(guarded_kafka, guarded_topic, password=secret), [b"before"], lambda _: None)
        assert _received(source, 1) == [b"before"]
        secret.current = "second-password-88"
        set_scram_password(guarded_kafka, secret.current)
        guarded_kafka.stop()
        guarded_kafka.start()
        publish_lines(patient(_scram(guarded_kafka, guarded_topic, password=secret)), [b"after"], lambda _: None)
        assert b"after" in _received(source, 1)
    finally:
        source.close()
        set_scram_password(guarded_kafka, SCRAM_PASSWORD)


def test_a_token_is_fetched_again_before_it_is_too_old(tokens):
    """A token of a fifth of its life left is not shown any more; threads that ask together fetch once."""
    from consumers.kafka_oauth import ClientCredentials

    settings = _oauth_settings(tokens)
    tokens.life_s = 0
    try:
        short = ClientCredentials(settings, 2.0)
        assert short.token() != short.token()
    finally:
        tokens.life_s = 3600
    good, before, found = ClientCredentials(settings, 2.0), len(tokens.forms), []
    threads = [threading.Thread(target=lambda: found.append(good.token())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(tokens.forms) - before == 1


def _oauth_settings(tokens):
    from consumers.settings import OAuthSettings

    return OAuthSettings(token_url=tokens.url, client_id=CLIENT_ID, client_secret=OAUTH_SECRET)


def test_readiness_names_a_refused_login_and_hides_the_password(guarded_kafka, guarded_topic, mlflow_uri, tmp_path):
    """The daemon waits, says why, and is ready when the password is right."""
    from monitor.config import Config
    from tests.acceptance.running_daemon import running

    secret = _Changing("not-the-password-55")
    source = _scram(guarded_kafka, guarded_topic, password=secret)
    config = Config.model_validate(
        {
            "app": "shop",
            "mlflow": {"tracking_uri": mlflow_uri},
            "ledger": {"url": f"sqlite:///{tmp_path / 'ledger.db'}"},
            "scorers": [{"name": "short", "use": "AnswerLength", "max_length": 4}],
            "pipeline": {"retry_up_to": "1s"},
            "http": {"port": 0},
        }
    ).model_copy(update={"source": source})
    with running(config) as daemon:

        def cause():
            return daemon.readiness()[1]["dependencies"]["kafka"]["cause"]

        daemon.eventually(lambda: "Authentication failed" in cause(), "the refusal is shown")
        assert daemon.readiness()[0] == 503
        assert "not-the-password-55" not in cause()
        secret.current = SCRAM_PASSWORD
        daemon.eventually(lambda: daemon.readiness()[0] == 200, "ready")
