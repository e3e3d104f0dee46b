"""One trace's story: out of a ledger, by today's settings, with no customer's text unless it is asked for."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from consumers.events import mlflow_trace_id
from monitor.cli import app
from monitor.commands.explain import explain, story_json, story_lines
from monitor.commands.trace_story import Story, SubjectStory
from monitor.config import Config
from monitor.ledger import Ledger, open_ledger
from monitor.sampling import uniform
from tests.contracts.ledger.ledger_rows import decision, member, trace, verdict

ID = mlflow_trace_id("order-17")
MINUTE_MS = 60_000


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A fresh ledger on SQLite."""
    opened = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield opened
    opened.close()


def config_of(**more: Any) -> Config:
    return Config.model_validate(
        {
            "app": "shop",
            "mlflow": {"tracking_uri": "http://carol:secret@mlflow:5000/base?token=secret"},
            "scorers": [{"name": "safety", "use": "Safety"}, {"name": "short", "use": "AnswerLength"}],
            **more,
        }
    )


def claimed(ledger: Ledger, *decisions: Any, **more: Any) -> None:
    row = trace(trace_id=ID, source_id="order-17", offset=41, event_time_ms=5 * MINUTE_MS, **more)
    ledger.positions.open("traces", 0, 30)
    ledger.intake.claim(row, decisions)


def about(story: Story, subject: str) -> SubjectStory:
    return next(each for each in story.subjects if each.subject == subject)


def test_a_judged_trace_is_told_with_its_decision_and_verdict(ledger: Ledger) -> None:
    """By either id: where it came from, why it was kept, what the scorer said and whether MLflow shows it."""
    claimed(ledger, decision("safety"), decision("short", kept=False, probability=0.1, state="left_out"))
    ledger.intake.record(verdict(trace_id=ID, label="fail", value=0.0, rationale="carol is rude", error=None))
    for asked in ("order-17", ID):
        story = explain(config_of(), ledger, asked)
        assert (story.known, story.trace_id, story.source_id, story.uniform) == (True, ID, "order-17", uniform(ID))
    assert story.origin is not None
    assert (story.origin.topic, story.origin.partition, story.origin.offset) == ("traces", 0, 41)
    assert (story.origin.watermark, story.origin.event_time_ms) == (30, 5 * MINUTE_MS)
    safety = about(story, "safety")
    assert (safety.standing, safety.kept, safety.probability, safety.reason) == ("scored", True, 0.25, "rate")
    assert safety.verdict is not None
    assert (safety.verdict.label, safety.verdict.value, safety.verdict.published) == ("fail", 0.0, False)
    assert "not published" in safety.words
    assert (about(story, "short").standing, about(story, "short").kept) == ("left_out", False)
    ledger.intake.mark_published(ID, ["safety"])
    assert about(explain(config_of(), ledger, ID), "safety").words == "published in MLflow"


def test_rationales_and_errors_are_shown_only_when_asked_for(ledger: Ledger) -> None:
    """They quote customers; so does nothing else in the story."""
    claimed(ledger, decision("safety"), decision("short"), session_id="carol's session")
    ledger.intake.record(verdict(trace_id=ID, rationale="carol is rude"))
    ledger.intake.record(verdict(trace_id=ID, scorer="short", label="error", value=None, error="cannot read carol"))
    assert "carol" not in json.dumps(story_json(explain(config_of(), ledger, ID), config_of()))
    told = json.dumps(story_json(explain(config_of(), ledger, ID, with_content=True), config_of()))
    assert "carol is rude" in told
    assert "cannot read carol" in told


def test_what_is_owed_says_why_there_is_no_verdict_yet(ledger: Ledger) -> None:
    """Parked, in hand behind the watermark, passed by it, or of a scorer that is not configured any more."""
    claimed(ledger, decision("safety"), decision("short"), decision("old"))
    ledger.intake.park(ID, ["safety"])
    story = explain(config_of(), ledger, ID)
    assert (about(story, "safety").standing, about(story, "safety").words[:7]) == ("parked", "parked:")
    assert "the watermark of traces[0] stands at 30" in about(story, "short").words
    assert not about(story, "old").configured
    assert "not configured any more" in about(story, "old").words
    ledger.positions.skip("traces", 0, 30, 50)
    assert "nobody works on it" in about(explain(config_of(), ledger, ID), "short").words


def test_the_budget_s_factor_of_its_minute_is_told_and_none_is_proposed(ledger: Ledger) -> None:
    """Asking must not fix the factor for the daemon."""
    claimed(ledger, decision("safety", reason="budget", probability=0.05))
    assert about(explain(config_of(), ledger, ID), "safety").budget_factor is None
    assert ledger.budget.factor("safety", 5, lambda: 0.5) == 0.5
    assert about(explain(config_of(), ledger, ID), "safety").budget_factor == 0.5


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (None, "not offered"),
        (member(trace_id=ID), "not in MLflow's dataset yet"),
        (member(trace_id=ID, golden=True), "for good (golden)"),
        (member(trace_id="tr-other"), "by tr-other"),
    ],
)
def test_membership_says_who_owns_the_record(ledger: Ledger, row: Any, words: str) -> None:
    """The first trace of an inputs hash owns it."""
    claimed(ledger, decision("dataset:production", state="member"))
    if row is not None:
        ledger.members.offer(row)
    told = about(explain(config_of(), ledger, ID), "dataset:production")
    assert told.standing == "member"
    assert words in told.words


def test_an_evicted_row_says_that_it_made_way(ledger: Ledger) -> None:
    """And one that is reconciled says that MLflow has it."""
    claimed(ledger, decision("dataset:production", state="member"))
    ledger.members.offer(member(trace_id=ID))
    ledger.members.mark_reconciled("production", {"d1": "r-1"}, ledger.members.active("production"))
    assert "in MLflow too" in about(explain(config_of(), ledger, ID), "dataset:production").words
    ledger.members.set_state("production", ["d1"], "evicted")
    assert "made way" in about(explain(config_of(), ledger, ID), "dataset:production").words


def test_a_scorer_added_later_is_told_with_what_it_would_have_decided(ledger: Ledger) -> None:
    """As far as the ledger knows the facts that rules look at: not the duration, nor the tags."""
    rules = [
        {"when": {"status": "ERROR"}, "rate": "always"},
        {"when": {"longer_than": "3s"}, "rate": "always"},
        {"when": {"app_version": "v1"}, "rate": "never"},
    ]
    claimed(ledger, decision("safety"))
    story = explain(config_of(sampling={"rate": 0.3, "rules": rules}), ledger, ID)
    told = about(story, "short")
    assert (told.standing, told.kept) == ("undecided", None)
    assert [(each.when, each.probability, each.kept) for each in told.would_be] == [
        ("rule:2", 1.0, True),
        ("rule:3", 0.0, False),
    ]


def test_an_unknown_trace_is_told_with_what_sampling_would_say_and_what_that_may_mean(ledger: Ledger) -> None:
    """Each rule may apply; the trace's number decides for each alike."""
    ledger.positions.open("traces", 0, 7)
    rules = [{"when": {"status": "ERROR"}, "rate": "always"}]
    number = uniform(mlflow_trace_id("nobody"))
    scorers = [{"name": "below", "use": "AnswerLength", "rate": number * 0.99}]
    scorers.append({"name": "above", "use": "AnswerLength", "rate": min(1.0, number * 1.01)})
    story = explain(config_of(sampling={"rules": rules}, scorers=scorers), ledger, "nobody")
    assert (story.known, story.origin, story.uniform) == (False, None, number)
    assert [(each.when, each.kept) for each in about(story, "below").would_be] == [("rule:1", True), ("rate", False)]
    assert [(each.when, each.kept) for each in about(story, "above").would_be] == [("rule:1", True), ("rate", True)]
    assert [(each.topic, each.partition, each.next_offset) for each in story.watermarks] == [("traces", 0, 7)]
    for meaning in ("not polled", "left it out", "evaluation", "dead-letter", "retention"):
        assert any(meaning in note for note in story.notes)
    assert not any("budget" in note for note in story.notes)
    budgeted = explain(config_of(sampling={"judge_calls_per_hour": 5}), ledger, "nobody")
    assert any("budget of its minute" in note for note in budgeted.notes)


def test_a_verdict_that_has_outlived_its_trace_still_tells(ledger: Ledger) -> None:
    """Rows are forgotten at different times."""
    ledger.intake.record(verdict(trace_id=ID))
    story = explain(config_of(), ledger, ID)
    assert story.known
    assert about(story, "safety").standing == "scored"
    assert any("older than the ledger's memory" in note for note in story.notes)


def test_the_text_fits_a_terminal_takes_markup_as_text_and_shows_no_password(ledger: Ledger) -> None:
    """Names come from the application."""
    claimed(ledger, decision("safety"), name="[bold]answer[/bold]")
    ledger.intake.record(verdict(trace_id=ID, rationale="[red]rude[/red]"))
    console = Console(width=80, record=True, highlight=False)
    console.print(*story_lines(explain(config_of(), ledger, "order-17", with_content=True), config_of()), sep="\n")
    text = console.export_text()
    assert "[bold]answer[/bold]" in text
    assert "[red]rude[/red]" in text
    assert "http://mlflow:5000/base" in text
    assert "secret" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_command_is_exit_1_for_an_unknown_trace_and_prints_one_object(ledger: Ledger, tmp_path: Path) -> None:
    """And exit 0 for one that is known."""
    claimed(ledger, decision("safety"))
    path = tmp_path / "tracewatch.yaml"
    scorers = [{"name": "short", "use": "AnswerLength"}]
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    path.write_text(yaml.safe_dump({"app": "shop", "scorers": scorers, "ledger": {"url": url}}))
    runner = CliRunner()
    known = runner.invoke(app, ["explain", "-c", str(path), "order-17", "--json"])
    assert (known.exit_code, json.loads(known.stdout)["known"]) == (0, True)
    unknown = runner.invoke(app, ["explain", "-c", str(path), "order-18", "--json"])
    assert (unknown.exit_code, json.loads(unknown.stdout)["known"]) == (1, False)
    shown = runner.invoke(app, ["explain", "-c", str(path), "order-18"])
    assert "The ledger does not know this trace" in shown.stdout


def test_a_decision_whose_verdict_was_forgotten_is_not_owed(ledger: Ledger) -> None:
    """Verdicts may be forgotten before their traces."""
    claimed(ledger, replace(decision("safety"), state="scored"))
    assert about(explain(config_of(), ledger, ID), "safety").standing == "scored"
