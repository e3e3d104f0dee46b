"""A trace's text is data: whatever stands in it, nothing runs it, renders it, or lets it out of its place."""

import io
import json
import re
from types import MappingProxyType

import httpx
import pytest
from guard import guarded
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from consumers.kafka_publish import publish_lines
from consumers.settings import SourceSettings
from monitor.clock import SystemClock
from monitor.commands.status import status_tables
from monitor.config import Config
from monitor.health import Health
from monitor.ledger.ledger import open_ledger
from monitor.logs import LogSettings, set_up_logs
from monitor.metrics import KnownLabels, ProcessMetrics
from monitor.metrics.declared import LABEL_CHARS, bounded
from monitor.metrics.group import SEGMENTS_SHOWN
from monitor.printable import Printable
from scorers.prompt_rendering import fill_once, render_texts_once
from tests.acceptance.running_daemon import running

MARKER = "tracewatch-was-here"
HOSTILE = MappingProxyType(
    {
        "shell": f"$(touch {MARKER}) `touch {MARKER}`; touch {MARKER} | touch {MARKER}",
        "jinja": "jinja: {{7*7}} {% for x in range(9) %}x{% endfor %} {{ config }}",
        "places": "places: {{ inputs }} {{output}} {{ outputs }} {{input}} {{content}} {{guidelines_context}}",
        "percent": "percent: %s%n%x%(password)s %d",
        "format": "format: {0.__class__} {self.__init__.__globals__} {} {!r}",
        "markup": "[red]red[/red] [link=http://x]y[/link] [/] [bold",
        "ansi": "\x1b[31mred\x1b]0;title\x07\x1b[2J\x9b2J",
        "lines": "one\r\ntwo\n2026-01-01T00:00:00Z [error    ] forged event\u2028three\u2029",
        "nul": "before\x00after",
        "direction": "\u202eright to left\u2066 \u200f\ufeff",
        "html": "<script>alert(1)</script><img src=x onerror=alert(1)>&amp;\"'",
        "sql": "'; DROP TABLE tracewatch_verdicts; -- %(x)s :name ?",
        "path": "../../../../etc/passwd\\..\\x",
        "not characters": "\ufffe\uffff\U0010ffff \ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
        "long": "ab" * 250_000,
    }
)


def _event(number, text):
    return {
        "trace_id": f"{number} {text}"[:200],
        "name": text[:200],
        "inputs": {"question": text, text[:500]: "as a key"},
        "outputs": {"answer": text[:1000]},
        "retrieved": [{"page_content": text[:1000], "doc_uri": text[:200]}],
        "app_version": text[:200],
        "session_id": text[:200],
        "tags": {"customer": text[:200]},
        "expectations": {"expected_response": text[:1000]},
    }


@pytest.fixture
def judge(judge_endpoint):
    """The scripted judge behind a guard that keeps what it was sent."""
    with guarded(judge_endpoint.base_url.removesuffix("/v1")) as guard:
        yield guard


def _config(kafka, topic, mlflow_uri, ledger_url, judge):
    return Config.model_validate(
        {
            "app": "shop",
            "source": {"bootstrap_servers": kafka.bootstrap_servers, "topic": topic, "group_id": topic},
            "mlflow": {"tracking_uri": mlflow_uri},
            "ledger": {"url": ledger_url},
            "judge": {"base_url": f"{judge.address}/v1", "api_key": "none", "model": "scripted"},
            "sampling": {"rate": "always"},
            "dataset": {"name": "production", "rate": "always"},
            "segments": ["app_version", "customer"],
            "scorers": [
                {"name": "short", "use": "AnswerLength", "max_length": 40},
                {"name": "relevant", "use": "RelevanceToQuery"},
                {"name": "polite", "use": "Guidelines", "guidelines": "The answer is polite."},
                {
                    "name": "custom",
                    "make_judge": {"instructions": "Is {{ outputs }} an answer to {{ inputs }}? Say yes or no."},
                },
            ],
            "pipeline": {"upkeep_every": "1s", "commit_every": "200ms"},
            "http": {"port": 0},
        }
    )


def test_hostile_texts_pass_through_the_whole_daemon_as_data(
    guarded_kafka, guarded_topic, mlflow_uri, postgres_ledger_url, judge, tmp_path, monkeypatch
):
    """Each is judged or a dead letter; prompts hold it once; logs, metrics and tables stay in their form."""
    monkeypatch.chdir(tmp_path)
    config = _config(guarded_kafka, guarded_topic, mlflow_uri, postgres_ledger_url, judge)
    settings = SourceSettings(bootstrap_servers=guarded_kafka.bootstrap_servers, topic=guarded_topic)
    events = [_event(number, text) for number, text in enumerate(HOSTILE.values())]
    publish_lines(settings, [json.dumps(event).encode() for event in events])
    written = io.StringIO()
    log = set_up_logs(LogSettings(level="debug"), written)
    try:
        with running(config, log=log) as daemon:
            ledger = open_ledger(postgres_ledger_url)
            daemon.eventually(lambda: ledger.positions.received() == len(events), "all are past the watermark")
            daemon.eventually(lambda: 'dataset="production"} ' in daemon.metrics(), "the figures are read")
            accounted = {(each.scorer, each.outcome): each.count for each in ledger.positions.accounted()}
            metrics = daemon.metrics()
            page = httpx.get(f"{daemon.address}/").text
            out = io.StringIO()
            console = Console(file=out, force_terminal=True, color_system=None, width=120)
            console.print(*map(Printable, status_tables(config, ledger, SystemClock())), sep="\n")
            ledger.close()
    finally:
        set_up_logs(LogSettings())
    # A NUL, which PostgreSQL cannot store, makes a dead letter; everything else is judged.
    expected = {"scored": len(events) - 1, "dead_lettered": 1}
    assert accounted == {(each.name, outcome): count for each in config.scorers for outcome, count in expected.items()}
    assert not list(tmp_path.rglob(f"*{MARKER}*"))
    lines = written.getvalue().splitlines()
    assert lines
    assert [line for line in lines if not line.isprintable() or line.startswith("2026-01-01")] == []
    assert [line for line in out.getvalue().split("\n") if not line.isprintable()] == []
    assert "app_version=" in page.replace("<wbr>", "")
    assert re.search("<script|<img|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", page) is None
    labels = [
        value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        for value in sample.labels.values()
    ]
    assert max(map(len, labels)) <= LABEL_CHARS
    _prompts_hold_texts_as_they_are(judge.bodies)


def _prompts_hold_texts_as_they_are(bodies):
    sent = [json.loads(body) for body in bodies if b"messages" in body]
    prompts = ["\n".join(message["content"] for message in each["messages"]) for each in sent]
    for kind in ("jinja", "places", "format", "percent"):
        holding = [prompt for prompt in prompts if f"{kind}: " in prompt]
        assert len(holding) >= 3, "one of each judge"
        # Where a place was filled again, the text around it is no longer whole.
        assert [prompt for prompt in holding if prompt.count(f"{kind}: ") != prompt.count(HOSTILE[kind])] == []
    assert max(map(len, prompts)) < 3 * len(HOSTILE["long"])


@given(st.text(alphabet=st.characters(), max_size=400))
def test_any_text_is_a_label_of_bounded_length_and_the_page_stays_readable(text):
    """A parser finds the very label back, whatever is in it."""
    label = bounded(text)
    assert len(label) <= LABEL_CHARS
    registry = CollectorRegistry()
    metrics = _metrics(registry)
    metrics.verdict("short", "pass", 1.0, [f"customer={text}"])
    page = generate_latest(registry).decode()
    found = {
        sample.labels["segment"]
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if "segment" in sample.labels
    }
    assert found == {"all", bounded(f"customer={text}")}


@given(st.lists(st.text(min_size=1, max_size=30), min_size=150, max_size=400, unique=True))
def test_any_number_of_values_makes_a_bounded_number_of_series(values):
    """An attacker who sends a new value with each request does not grow the page."""
    registry = CollectorRegistry()
    metrics = _metrics(registry)
    for value in values:
        metrics.verdict("short", "pass", 1.0, [f"customer={value}"])
    found = {
        sample.labels["segment"]
        for family in registry.collect()
        for sample in family.samples
        if "segment" in sample.labels
    }
    assert len(found) <= SEGMENTS_SHOWN + 1


def _metrics(registry):
    known = KnownLabels(
        app="shop",
        version="1",
        config="c",
        topics=("t",),
        scorers=["short"],
        dead_letter_reasons=("x",),
        sampling=[("kept", "rate")],
        labels={},
    )
    return ProcessMetrics(registry, known, Health(("kafka",)))


@given(question=st.text(), answer=st.text())
def test_prompts_are_what_mlflow_makes_of_texts_without_places(question, answer):
    """The wrapper changes nothing for ordinary texts."""
    from mlflow.genai.prompts.utils import format_prompt

    template = "<q>{{input}}</q> <a>{{ output }}</a> {{other}}"
    if not re.search(r"\{\{|\}\}", question + answer):
        expected = format_prompt(template, input=question, output=answer)
        assert fill_once(template, input=question, output=answer) == expected


def test_every_prompt_of_mlflow_is_filled_once():
    """A text full of places neither pulls other texts in nor grows."""
    from mlflow.genai.judges.prompts import groundedness, relevance_to_query, safety

    render_texts_once()
    places = "{{output}}{{ retrieval_context }}{{input}}" * 1000
    prompt = groundedness.get_prompt(places, "forty-two" * 100, "a document" * 100)
    assert prompt.count(places) == 1
    assert len(prompt) < len(places) + 10_000
    assert relevance_to_query.get_prompt(places, "forty-two").count("forty-two") == 1
    assert safety.get_prompt(content="{{content}}").count("{{content}}") == 1


def test_a_version_of_mlflow_that_fills_prompts_elsewhere_is_noticed():
    """Every module of MLflow's that fills a prompt with a trace's text uses the wrapper."""
    import sys

    render_texts_once()
    filling = {
        name: module.format_prompt
        for name, module in list(sys.modules.items())
        if name.startswith("mlflow.genai.judges") and hasattr(module, "format_prompt")
    }
    kept = {"mlflow.genai.judges.utils", "mlflow.genai.judges.utils.prompt_utils"}
    assert {name for name, fill in filling.items() if fill is not fill_once} <= kept
    assert len(filling) > 8
