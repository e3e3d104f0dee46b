"""The embedded broker is a real one, and never outlives its owner."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from consumers.kafka_topics import Topic, describe_topic
from monitor.demo.kafka_broker import BrokerFailed, KafkaBroker


def test_topics_outlive_a_crash_and_a_restart_and_progress_is_told(tmp_path):
    """Data and ports stay over kill, stop and start; stopping twice is harmless."""
    lines = []
    broker = KafkaBroker(tmp_path, on_progress=lines.append)
    with broker:
        broker.create_topic("traces", 2)
        address = broker.bootstrap_servers
        broker.kill()
        broker.start()
        broker.stop()
        broker.start()
        assert broker.bootstrap_servers == address
        assert describe_topic({"bootstrap_servers": address}, "traces") == Topic(name="traces", partitions=2)
    assert broker.pid is None
    broker.stop()
    assert any(address in line for line in lines)


def test_the_broker_dies_with_a_process_that_is_killed(tmp_path):
    """SIGKILL to the owner leaves no Java behind."""
    code = (
        "import sys; from pathlib import Path; from monitor.demo.kafka_broker import KafkaBroker\n"
        "broker = KafkaBroker(Path(sys.argv[1])); broker.start(); print(broker.pid, flush=True); sys.stdin.read()"
    )
    root = Path(__file__).parents[3]
    owner = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with owner:
        java = psutil.Process(int(owner.stdout.readline()))
        assert "kafka.Kafka" in java.cmdline()
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        gone, alive = psutil.wait_procs([java], timeout=60)
    assert not alive
    assert gone


def test_a_broker_that_cannot_start_says_why(tmp_path):
    """A port that is taken, and a failure of Kafka's own, which ends with what Kafka wrote."""
    with KafkaBroker(tmp_path / "one") as first:
        second = KafkaBroker(tmp_path / "two")
        second._plain = first._plain
        with pytest.raises(BrokerFailed, match="in use"):
            second.start()
        third = KafkaBroker(tmp_path / "three")
        third._controller = first._controller
        with pytest.raises(BrokerFailed, match=r"(?s)exit code 1.*Address already in use"):
            third.start()
        assert second.pid is third.pid is None
