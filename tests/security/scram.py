"""Users of the listener SCRAM."""

import threading
import time

SCRAM_PASSWORD = "scram-secret-7f3a"
_MECHANISMS = ("SCRAM-SHA-256", "SCRAM-SHA-512")


def set_scram_password(broker, password):
    """Make bob known to the listener SCRAM with this password, and return when the broker takes it."""
    from kafka import KafkaAdminClient
    from kafka.admin import UserScramCredentialUpsertion

    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    try:
        for mechanism in _MECHANISMS:
            refusals = admin.alter_user_scram_credentials([UserScramCredentialUpsertion("bob", mechanism, password)])
            assert refusals == {"bob": None}
    finally:
        admin.close()
    deadline, turn = time.monotonic() + 120, threading.Event()
    while not all(_takes(broker, mechanism, password) for mechanism in _MECHANISMS):
        assert time.monotonic() < deadline
        turn.wait(0.1)


def _takes(broker, mechanism, password):
    from consumers.errors import SourceUnavailable
    from consumers.kafka_topics import describe_topic

    options = {
        "bootstrap_servers": broker.address_of("SCRAM"),
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "bob",
        "sasl_plain_password": password,
    }
    try:
        describe_topic(options, "none", timeout_s=5)
    except SourceUnavailable:
        return False
    return True
