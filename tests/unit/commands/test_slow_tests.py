"""`check` warns of sampling that makes the tests slow, with the key to change and what would still be noticed."""

from pathlib import Path
from typing import Any

import pytest

from monitor.clock import ManualClock
from monitor.commands.slow_tests import slow_tests
from monitor.config import Config
from monitor.daemon.assembly import recorded_series_of
from monitor.ledger.ledger import open_ledger
from tests.unit.series.closing_stage import BEGAN_MS, MINUTE_MS, closing, fill, watched


def config(folder: Path, sampling: dict[str, Any], **scorer: Any) -> Config:
    return Config.model_validate(
        {
            "app": "shop",
            "source": {"kind": "file", "path": "events.jsonl"},
            "ledger": {"url": f"sqlite:///{folder / 'ledger.db'}"},
            "judge": {"base_url": "http://judge.invalid/v1", "api_key": "none"},
            "sampling": sampling,
            "scorers": [{"name": "safety", "use": "Safety", "target": 0.9, **scorer}],
        }
    )


CLOCK = ManualClock(BEGAN_MS)
HEALTH = {"when": {"name": "health"}, "rate": 0.001}
ERRORS = {"when": {"status": "ERROR"}, "rate": 1.0}


@pytest.mark.parametrize(
    ("sampling", "scorer", "said"),
    [
        ({"rate": 0.1, "rules": [ERRORS, HEALTH]}, {}, ("is 0.001, by sampling.rules[1].rate", "up to 100 times")),
        ({"rate": 0.1, "judge_calls_per_hour": 60}, {}, ("is 0.01, by sampling.min_rate", "up to 10 times")),
        ({"rate": 0.1, "judge_calls_per_hour": 60}, {"rate": 1.0}, ("is 0.01, by sampling.min_rate", "0.01 of a bet")),
    ],
    ids=["a rare rule", "the budget", "a scorer of its own rate"],
)
def test_a_rate_that_takes_the_weight_of_all_others_is_told(
    tmp_path: Path, sampling: dict[str, Any], scorer: dict[str, Any], said: tuple[str, ...]
) -> None:
    """One line, with the scorer, the probability and its key."""
    [line] = slow_tests(config(tmp_path, sampling, **scorer), CLOCK)
    assert line.startswith("scorer safety: its smallest inclusion probability ")
    assert [each for each in said if each not in line] == []
    assert "within a day" not in line


@pytest.mark.parametrize(
    ("sampling", "scorer"),
    [
        ({"rate": 0.1, "rules": [ERRORS]}, {}),
        ({"rate": 0.01, "judge_calls_per_hour": 60}, {}),
        ({"rate": 0.1, "rules": [{**HEALTH, "rate": "never"}]}, {}),
        ({"rate": 0.1, "judge_calls_per_hour": 60}, {"use": "AnswerLength", "max_length": 9}),
        ({"rate": 0.1, "rules": [HEALTH]}, {"shadow": True, "target": None}),
    ],
    ids=["more of the errors", "at the floor", "a rule that keeps nothing", "no judge", "a shadow"],
)
def test_sampling_that_costs_no_weight_is_not_told(
    tmp_path: Path, sampling: dict[str, Any], scorer: dict[str, Any]
) -> None:
    """Nor what has no tests that alert; and the ledger is not asked."""
    assert slow_tests(config(tmp_path, sampling, **scorer), CLOCK) == []
    assert not (tmp_path / "ledger.db").exists()


def test_a_daemon_that_has_run_says_what_it_would_notice(tmp_path: Path) -> None:
    """By the pace of its own series."""
    settings = config(tmp_path, {"rate": 0.1, "rules": [HEALTH]})
    ledger = open_ledger(settings.ledger.url)
    fill(ledger, "p" * 90)
    closing(ledger, watched()).close(None, BEGAN_MS + 93 * MINUTE_MS)
    [shown] = recorded_series_of(settings, ledger, BEGAN_MS + 94 * MINUTE_MS)
    ledger.close()
    [line] = slow_tests(settings, ManualClock(BEGAN_MS + 94 * MINUTE_MS))
    assert line.endswith(f"; at the present pace a fall of {shown.detectable_drop:.3f} would be noticed within a day")
