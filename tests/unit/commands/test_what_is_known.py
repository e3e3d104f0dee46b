"""`status` and `backtest` on a ledger in which a series has fallen."""

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from rich.console import Console

from monitor.clock import ManualClock
from monitor.commands.backtest import backtest, backtest_json, backtest_tables
from monitor.commands.status import status_json, status_tables
from monitor.config import Config
from monitor.ledger.ledger import Ledger, open_ledger
from tests.contracts.ledger.ledger_rows import alert
from tests.unit.series.closing_stage import BEGAN_MS, MINUTE_MS, closing, fill, verdict, watched

END_MS = BEGAN_MS + 120 * MINUTE_MS
CONFIG = Config.model_validate(
    {
        "app": "shop",
        "source": {"kind": "file", "path": "events.jsonl"},
        "sampling": {"rate": "always"},
        "scorers": [{"name": "safety", "use": "AnswerLength", "max_length": 9, "target": 0.9}],
    }
)


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """An hour of passes, then failures."""
    opened = open_ledger("sqlite://")
    fill(opened, "p" * 60 + "f" * 30)
    closing(opened, watched()).close(None, BEGAN_MS + 93 * MINUTE_MS)
    yield opened
    opened.close()


def printed(*parts: object) -> list[str]:
    console = Console(file=io.StringIO(), width=80)
    console.print(*parts, sep="\n")
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_status_shows_each_series_with_its_state_interval_and_what_it_would_notice(ledger: Ledger) -> None:
    """One line a series, in 80 columns."""
    lines = printed(*status_tables(CONFIG, ledger, ManualClock(BEGAN_MS + 94 * MINUTE_MS)))
    [line] = [line for line in lines if line.startswith("safety")]
    assert line.split()[:4] == ["safety", "all", "regressed", "0.667"]
    assert "0.900" in line
    assert all(len(line) <= 80 for line in lines)


def test_status_as_json_has_the_same_and_no_text_of_a_trace(ledger: Ledger) -> None:
    """Programs read it; an alert's examples stay in the ledger."""
    opened = alert(scorer="safety", details={"warning": "people disagree", "examples": [{"rationale": "Anna said"}]})
    ledger.alerts.save(opened, None)
    told = json.loads(json.dumps(status_json(CONFIG, ledger, ManualClock(BEGAN_MS + 94 * MINUTE_MS))))
    assert [(each["scorer"], each["word"]) for each in told["series"]] == [("safety", "regressed")]
    assert [each["warning"] for each in told["alerts"]] == ["people disagree"]
    assert "Anna" not in json.dumps(told)


def test_status_tells_the_debt_that_waits_in_the_stream(ledger: Ledger) -> None:
    """An outage leaves no parked verdict, and is owed all the same."""
    ledger.positions.open("traces", 0, 0)
    ledger.positions.note_lag({("traces", 0): 200_000}, END_MS)
    shown = " ".join(" ".join(printed(*status_tables(CONFIG, ledger, ManualClock(END_MS)))).split())
    assert "Owed verdicts: 200,000, parked of them: 0; events in the stream: 200,000; to catch up:" in shown


def test_status_never_shows_what_is_silent_as_good(ledger: Ledger) -> None:
    """A day later nothing has come: the reason stands below the table."""
    lines = printed(*status_tables(CONFIG, ledger, ManualClock(BEGAN_MS + 3 * 1440 * MINUTE_MS)))
    assert any("the scorer has stopped" in line for line in lines)


def test_status_says_when_a_changed_scorer_began_its_series_anew(ledger: Ledger) -> None:
    """Below the table; in the JSON as a time in ms."""
    at_ms = BEGAN_MS + 100 * MINUTE_MS
    ledger.intake.record(verdict(900, "pass", at_ms, scorer_version="1" * 12))
    closing(ledger, watched(version="1" * 12)).close(None, at_ms + 3 * MINUTE_MS)
    clock = ManualClock(at_ms + 4 * MINUTE_MS)
    began = datetime.fromtimestamp(at_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")
    lines = printed(*status_tables(CONFIG, ledger, clock))
    assert f"  safety: anew since {began} UTC, when the scorer changed" in lines
    assert [each["anew_ms"] for each in status_json(CONFIG, ledger, clock)["series"]] == [at_ms]


def test_a_backtest_shows_the_regression_and_what_targets_would_have_cost(ledger: Ledger) -> None:
    """As tables and as JSON."""
    found = backtest(CONFIG, ledger, 0, END_MS, suggest=True)
    assert (found.verdicts, len(found.alerts)) == (90, 1)
    value = json.loads(json.dumps(backtest_json(found)))
    assert value["alerts"][0]["onset_ms"] == BEGAN_MS + 60 * MINUTE_MS
    assert {each["scorer"] for each in value["suggestions"]} == {"safety"}
    assert any("still stands" in line for line in printed(*backtest_tables(found)))


@pytest.mark.parametrize(
    ("scorer", "kinds", "severity"),
    [("page", "page", "page"), ("ticket", "page", "ticket"), ("page", "none", "none")],
)
def test_a_backtest_pages_for_no_more_than_the_configuration_does(
    ledger: Ledger, scorer: str, kinds: str, severity: str
) -> None:
    """A fall is worth no more than its scorer, nor than its kind."""
    config = CONFIG.model_validate(
        {
            **CONFIG.model_dump(exclude_unset=True),
            "scorers": [{"name": "safety", "use": "AnswerLength", "max_length": 9, "target": 0.9, "severity": scorer}],
            "alerts": {"severity": {"production_regression": kinds}},
        }
    )
    found = backtest(config, ledger, 0, END_MS, suggest=True)
    assert [each.severity for each in found.alerts] == [severity]
    assert found.suggestions is not None
    assert any(each.pages_a_month for each in found.suggestions) == (severity == "page")
    assert any(each.tickets_a_month for each in found.suggestions) == (severity == "ticket")


def test_a_backtest_of_nothing_says_so(ledger: Ledger) -> None:
    """No verdicts, no alerts, no suggestion."""
    found = backtest(CONFIG, ledger, 0, 1, suggest=True)
    assert (found.verdicts, found.alerts, found.suggestions) == (0, [], [])
    assert any("none yet" in line for line in printed(*backtest_tables(found)))
