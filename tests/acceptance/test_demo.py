"""The demo, as a newcomer runs it."""

import json
import os
import subprocess
import sys

SCORERS = {
    "retrieval_groundedness",
    "follows_instructions",
    "concise_communication",
    "mentions_contact_name",
    "professional_tone",
    "includes_next_steps",
    "relevance_to_query",
    "safety",
}


def test_the_demo_prints_the_guides_comparison_and_ends() -> None:
    """Eight metrics for both versions over seven rows, pass-to-fail rows with both rationales, an alert, exit 0."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    told = subprocess.run(
        [sys.executable, "-m", "monitor", "demo", "--once", "--json"],
        env=kept,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert told.returncode == 0, told.stderr[-3000:]
    comparison = json.loads(told.stdout)
    assert comparison["dataset"]["rows"] == 7
    assert {metric["scorer"] for metric in comparison["metrics"]} == SCORERS
    for metric in comparison["metrics"]:
        assert metric["n_paired"] == 7
        assert 0 <= metric["baseline"] <= 1
        assert 0 <= metric["candidate"] <= 1
    assert comparison["overall_difference"] > 0
    groundedness = [row for row in comparison["pass_to_fail"] if row["scorer"] == "retrieval_groundedness"]
    assert groundedness
    for row in groundedness:
        assert row["baseline"]["rationale"]
        assert row["candidate"]["rationale"]
    assert "FIRING" in told.stderr
    assert "scripted" in told.stderr
