"""A broker with a listener for each way to log in, and an authority that signs the tests' certificates."""

import os
import sys
import uuid
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from certificates import Authority
from scram import SCRAM_PASSWORD, set_scram_password

LEDGER_PASSWORD = "ledger-p@ss/word-31"
_MODULES = "org.apache.kafka.common.security"


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """The authority that brokers, servers and clients of the tests trust."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def stranger(tmp_path_factory):
    """An authority that nobody trusts."""
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


@pytest.fixture(scope="session")
def guarded_kafka(tmp_path_factory, authority):
    """A broker with the listeners SCRAM, OAUTH, TLS (PLAIN over TLS) and MTLS (a client certificate is required)."""
    if not os.environ.get("CI"):
        pytest.importorskip("jgo")
    from monitor.demo.kafka_broker import KafkaBroker

    properties = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(authority.issue("broker").both),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.file),
        "listener.name.mtls.ssl.client.auth": "required",
        "listener.name.scram.sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512",
        "listener.name.oauth.sasl.enabled.mechanisms": "OAUTHBEARER",
        "listener.name.oauth.oauthbearer.sasl.jaas.config": (
            f'{_MODULES}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";'
        ),
        "listener.name.tls.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.tls.plain.sasl.jaas.config": (
            f'{_MODULES}.plain.PlainLoginModule required user_alice="alice-secret";'
        ),
    }
    for mechanism in ("scram-sha-256", "scram-sha-512"):
        properties[f"listener.name.scram.{mechanism}.sasl.jaas.config"] = f"{_MODULES}.scram.ScramLoginModule required;"
    protocols = {"SCRAM": "SASL_PLAINTEXT", "OAUTH": "SASL_PLAINTEXT", "TLS": "SASL_SSL", "MTLS": "SSL"}
    broker = KafkaBroker(tmp_path_factory.mktemp("guarded-kafka"), listeners=protocols, properties=properties)
    broker.start()
    set_scram_password(broker, SCRAM_PASSWORD)
    yield broker
    broker.stop()


@pytest.fixture
def guarded_topic(guarded_kafka):
    """The name of a fresh topic with one partition."""
    name = f"traces-{uuid.uuid4().hex[:12]}"
    guarded_kafka.create_topic(name, 1)
    return name


@pytest.fixture
def password_role(postgres_url, postgres_ledger_url):
    """A role that owns the ledger's database and must show a password; a runner of statements; the password."""
    import sqlalchemy
    from sqlalchemy.engine import make_url

    engine = sqlalchemy.create_engine(postgres_url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    role = f"role_{make_url(postgres_ledger_url).database}"

    def run(statement):
        with engine.connect() as connection:
            result = connection.exec_driver_sql(statement)
            return result.scalar() if result.returns_rows else None

    rules = Path(run("SHOW hba_file"))
    before = rules.read_text()
    run(f"CREATE ROLE {role} LOGIN PASSWORD '{LEDGER_PASSWORD}'")
    run(f"ALTER DATABASE {make_url(postgres_ledger_url).database} OWNER TO {role}")
    rules.write_text(f"local all {role} scram-sha-256\n{before}")
    run("SELECT pg_reload_conf()")
    yield role, run, LEDGER_PASSWORD
    rules.write_text(before)
    run("SELECT pg_reload_conf()")
