"""What a receiver is told of an alert: all that is there, nothing that it may not see, and never at a loss."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from monitor.alerts.kinds import DEFAULT_SEVERITY
from monitor.alerts.receivers import Content, LinkSettings
from monitor.delivery.alertmanager import alert_json
from monitor.delivery.examples import TraceText, trace_ids_of
from monitor.delivery.links import places_of
from monitor.delivery.message import Message, Sender, alert_name, message_of
from monitor.delivery.webhook import body_of
from monitor.ledger.rows import AlertRow
from monitor.traces.redaction import Redaction, RedactionSettings

RULES = Path(__file__).parents[3] / "deploy" / "prometheus"
LINKS = LinkSettings(dashboard="https://grafana.example/d/tw?orgId=1", runbooks="https://docs.example/runbooks/")
SENDER = Sender(
    app="shop",
    labels={"team": "growth"},
    places=places_of(LINKS, "https://anna:pw@mlflow.example/base", "7"),
    redact=Redaction(RedactionSettings(patterns=("email",))).text,
)
DETAILS = {
    "before": 0.912,
    "after": 0.741,
    "interval": [0.661, 0.812],
    "verdicts": 412,
    "since_ms": 1_790_000_000_000,
    "first_version": "v1.1",
    "explained_by": [{"segment": "app_version=v1.1", "pass_rate": 0.31, "verdicts": 96, "share": 0.82}],
    "examples": [
        {
            "trace_id": "tr-bad",
            "rationale": "It tells anna@example.com to 'go away', says the judge.",
            "value": 0.0,
            "weight": 10.0,
            "good": {"trace_id": "tr-good"},
        },
        {"trace_id": "tr-other", "rationale": "Rude.", "value": 0.0, "weight": 1.0, "good": None},
    ],
    "warning": "the mix of segments has shifted",
}
ALERT = AlertRow(
    id="0123456789abcdef",
    kind="production_regression",
    scorer="safety",
    segment="app_version=v1.1",
    state="firing",
    severity="page",
    since_ms=1_790_000_000_000,
    fired_ms=1_790_000_060_000,
    details=DETAILS,
)
TEXTS = {
    "tr-bad": TraceText(inputs='{"question": "hi"}', outputs="go away " * 100),
    "tr-good": TraceText(inputs='{"question": "hi!"}', outputs="hello, how can I help?"),
}
CONTENTS: tuple[Content, ...] = ("none", "links", "redacted")


def told(content: Content, **given: Any) -> Message:
    return message_of(replace(ALERT, **given), "fired", content, SENDER, texts=TEXTS)


def everything(message: Message) -> str:
    """All that leaves with a message, to whatever receiver."""
    return json.dumps([message.title, message.text, body_of(message), alert_json(message, 0)])


def test_the_page_itself_convinces():
    """Scorer, segment, before, after, interval, how many, since when, first version, best slice, examples, links."""
    message = told("links")
    assert message.title == "[FIRING, page] shop: safety has regressed in production (app_version=v1.1)"
    trace = "https://mlflow.example/base/#/experiments/7/traces?selectedEvaluationId="
    board = "https://grafana.example/d/tw?orgId=1&var-app=shop&var-scorer=safety&var-segment=app_version%3Dv1.1"
    assert message.text.splitlines() == [
        "pass rate before: 0.912",
        "pass rate now: 0.741",
        "interval: 0.661 to 0.812",
        "since: 2026-09-21 14:13:20 UTC",
        "first bad version: v1.1",
        "verdicts: 412",
        "best explained by: app_version=v1.1 (pass rate 0.31, verdicts 96, share 82.0%)",
        "warning: the mix of segments has shifted",
        "fired: 2026-09-21 14:14:20 UTC",
        "runbook: https://docs.example/runbooks/production_regression.md",
        f"dashboard: {board}",
        "alert: 0123456789abcdef",
        "",
        "examples:",
        f"1. {trace}tr-bad (0.0)",
        f"   good before: {trace}tr-good",
        f"2. {trace}tr-other (0.0)",
    ]
    assert message.id == "0123456789abcdef.fired"
    annotations = alert_json(message, 0)["annotations"]
    assert annotations["dashboard_url"] == board
    assert annotations["summary"] == "shop: safety has regressed in production (app_version=v1.1)"
    assert json.loads(annotations["proof"])["interval"] == [0.661, 0.812]


BOARD = "https://grafana.example/d/tw?orgId=1&var-app=shop"


@pytest.mark.parametrize(
    ("kind", "scorer", "segment", "board"),
    [
        ("production_regression", "safety", "all", f"{BOARD}&var-scorer=safety&var-segment=all"),
        ("unknown", "safety", "plan=a&b", f"{BOARD}&var-scorer=safety&var-segment=plan%3Da%26b"),
        ("candidate_regression", "safety", "version=v=2", f"{BOARD}&var-scorer=safety&var-version=v%3D2"),
        ("scorer_failing", "safety", "all", f"{BOARD}&var-scorer=safety"),
        ("spend_exhausted", "", "pot=scoring", BOARD),
        ("dataset_stale", "", "dataset=golden", BOARD),
        ("of_the_future", "safety", "shard=3", f"{BOARD}&var-scorer=safety"),
    ],
)
def test_a_link_to_the_dashboard_chooses_only_what_its_panels_have(kind, scorer, segment, board):
    """A pot or a candidate is no segment of a series: chosen as one, it would leave every panel empty."""
    assert told("links", kind=kind, scorer=scorer, segment=segment, details={}).links["dashboard"] == board


def test_texts_leave_only_where_they_may_and_are_redacted():
    """Rationales quote customers: they are texts too. The good answer stands beside the bad one."""
    for content in ("none", "links"):
        for secret in ("go away", "judge", "anna", "hello", "question"):
            assert secret not in everything(told(content)), (content, secret)
    text = told("redacted").text
    assert "why: It tells [email] to 'go away', says the judge." in text
    assert 'in: {"question": "hi"}' in text
    assert "good out: hello, how can I help?" in text
    assert "anna" not in everything(told("redacted"))
    [out] = [line for line in text.splitlines() if line.startswith("   out: ")]
    assert len(out) == len("   out: ") + 400


def test_numbers_alone_lead_nowhere_near_a_text():
    """No link into MLflow, no trace's id; the runbook and the dashboard stay."""
    message = told("none", details={**DETAILS, "run_id": "run-1"})
    assert "mlflow" not in everything(message)
    assert "tr-bad" not in everything(message)
    assert "0.741" in message.text
    assert set(message.links) == {"runbook", "dashboard"}


def test_a_candidate_s_alert_leads_to_its_run_and_to_the_rows_that_turned():
    """With the details as comparisons give them."""
    details = {
        "baseline": 0.9,
        "candidate": 0.5,
        "difference": -0.4,
        "p_adjusted": 0.0123,
        "n_paired": 40,
        "verdict": "regressed",
        "evaluation": "e-1",
        "run_id": "abc",
        "difference_lower": -0.6,
        "difference_upper": -0.2,
        "examples": [{"trace_id": "tr-1", "rationale": "too long", "good": {"trace_id": "tr-9"}}, {"trace_id": "tr-2"}],
    }
    message = told("links", kind="candidate_regression", segment="version=v2", details=details)
    assert message.summary == "shop: a candidate has regressed on safety (version=v2)"
    assert message.links["run"] == "https://mlflow.example/base/#/experiments/7/runs/abc"
    assert [each.trace_id for each in message.examples] == ["tr-1", "tr-2"]
    assert message.examples[0].good is not None
    assert message.examples[0].good.trace_id == "tr-9"
    assert "difference lower: -0.6" in message.text
    assert "p-value (adjusted): 0.0123" in message.text
    assert "paired rows: 40" in message.text
    assert message.labels["alertname"] == "TracewatchCandidateRegression"


def test_alerts_on_the_stream_and_the_spend_are_told_in_their_numbers():
    """What only the code needs, such as where a window began, is left out."""
    letters = {"dead_letters": 30, "share": 0.25, "by_reason": {"not_json": 30}, "window_from": {"at_ms": 1}}
    message = told("links", kind="dead_letters", scorer="", segment="all", details=letters)
    assert message.text.splitlines()[:3] == ["dead letters: 30", "share: 25.0%", "by reason: not_json 30"]
    assert "scorer" not in message.labels
    assert "window" not in message.text
    lost = {"events": 3, "lost": 9, "grown_ms": 1, "by_partition": {"traces[0]": 3}}
    assert told("links", kind="lost_to_retention", details=lost).text.startswith(
        "events: 3\nby partition: traces[0] 3\n"
    )


def test_an_end_says_that_it_is_one():
    """And an alert that was over before anybody could be told says so."""
    over = replace(ALERT, state="resolved", resolved_ms=1_790_000_600_000)
    end = message_of(over, "resolved", "links", SENDER)
    assert end.title.startswith("[RESOLVED] shop: ")
    assert "over: 2026-09-21 14:23:20 UTC" in end.text
    assert message_of(over, "fired", "links", SENDER).title.startswith("[FIRED, OVER, page] ")
    assert message_of(ALERT, "fired", "links", SENDER, reminder=3).id == "0123456789abcdef.fired.3"


def test_without_an_address_nothing_leads_to_mlflow():
    """A store that is a file has no pages; trace ids stand for themselves."""
    sender = replace(SENDER, places=places_of(LinkSettings(), "sqlite:///mlflow.db", "7"))
    message = message_of(ALERT, "fired", "links", sender)
    assert message.links == {"runbook": "docs/runbooks/production_regression.md"}
    assert "1. tr-bad (0.0)" in message.text


def test_a_login_in_the_tracking_uri_is_in_no_link():
    """Nor is one of its parameters."""
    assert "pw" not in everything(told("links"))


@pytest.mark.parametrize("kind", [*DEFAULT_SEVERITY, "of_the_future"])
@pytest.mark.parametrize("content", CONTENTS)
def test_every_kind_is_told_without_any_detail(kind, content):
    """All details are optional, and so are scorer and segment."""
    message = told(content, kind=kind, scorer="", segment="", details={})
    assert message.summary.startswith("shop: ")
    assert "{" not in message.summary
    json.dumps(body_of(message))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    details=st.dictionaries(st.sampled_from([*DETAILS, "pass_to_fail", "by_reason", "run_id", "x_ms"]), JSON),
    example=st.dictionaries(st.sampled_from(["trace_id", "rationale", "value", "weight", "good"]), JSON),
    content=st.sampled_from(CONTENTS),
)
def test_no_details_whatsoever_stop_a_page(details, example, content):
    """Whatever finds alerts may write what it likes: the page goes out, as JSON that every reader knows."""
    message = told(content, details={**details, "examples": [example, *([details.get("examples")] * 2)]})
    for body in (body_of(message), alert_json(message, 0)):
        json.dumps(body, allow_nan=False).encode("utf-8")
    message.text.encode("utf-8")
    assert all(isinstance(each, str) for each in trace_ids_of({**details, "examples": [example]}))


def test_an_alert_has_the_name_that_prometheus_s_rules_give_it():
    """So that routes, silences and inhibitions hold for both, whoever tells."""
    rules = [
        rule
        for file in RULES.glob("*.rules.yml")
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
        if rule.get("labels", {}).get("kind") in DEFAULT_SEVERITY
    ]
    assert {rule["labels"]["kind"] for rule in rules} >= set(DEFAULT_SEVERITY) - {"evaluation_overdue"}
    assert [rule["alert"] for rule in rules] == [alert_name(rule["labels"]["kind"]) for rule in rules]


def test_a_long_page_is_cut_at_its_end():
    """What matters stands first."""
    details = {f"number_{each}": each for each in range(2000)} | {"before": 0.5}
    text = told("links", details=details).text
    assert len(text) == 6000
    assert text.startswith("pass rate before: 0.5")
