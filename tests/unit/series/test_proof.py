"""What a proof names as guilty."""

from typing import Any

import pytest

from monitor.ledger.rows import TracedVerdict
from monitor.series.proof import proof_of
from monitor.stats.series import Alarm
from tests.unit.series.closing_stage import BEGAN_MS, MINUTE_MS, opened, verdict, watched

ALARM = Alarm(at_ms=BEGAN_MS + 300 * MINUTE_MS, onset_ms=BEGAN_MS, verdicts=200)


def traced(number: int, label: str, version: str, **given: Any) -> TracedVerdict:
    row = opened(
        verdict(
            number,
            label,
            BEGAN_MS + number * MINUTE_MS,
            app_version=version,
            segments={"app_version": version},
            **given,
        )
    )
    values = {name: getattr(row, name) for name in type(row).__slots__}
    return TracedVerdict(**values, rationale=None, inputs_digest=None)


def proof(verdicts: list[TracedVerdict], reference: float, **own: float) -> dict[str, Any]:
    newest_first = sorted(verdicts, key=lambda each: -each.event_time_ms)
    references = {f"app_version={version}": known for version, known in own.items()}
    return proof_of(watched(), reference, ALARM, newest_first, lambda _inputs: {}, own=references)


def test_a_version_that_always_passes_is_not_the_first_bad_one() -> None:
    """Held to 1.0 nothing is missing of it, which is not the same as everything."""
    verdicts = [traced(number, "pass", "v1") for number in range(200)]
    verdicts += [traced(number, "fail", "v2") for number in range(200, 202)]
    found = proof(verdicts, 1.0)
    assert found["first_version"] == "v2"
    assert [(each["segment"], each["share"]) for each in found["explained_by"]] == [("app_version=v2", 1.0)]


def test_where_nothing_is_missing_nothing_is_explained() -> None:
    """All passes: no version is bad and no slice has a share."""
    found = proof([traced(number, "pass", "v1") for number in range(5)], 1.0)
    assert (found["first_version"], found["explained_by"], found["examples"]) == (None, [], [])


def mixed() -> list[TracedVerdict]:
    """A has nine tenths of the traffic and passes 93 % of it, B has the rest and passes 60 %."""
    verdicts = [traced(number, "pass" if number % 100 >= 7 else "fail", "A") for number in range(900)]
    return verdicts + [traced(number, "pass" if number % 5 >= 2 else "fail", "B") for number in range(900, 1000)]


def test_the_slice_that_fell_is_named_and_not_the_one_that_was_always_low() -> None:
    """B never was any better than this, and A was at 99 %: each is measured against its own past, and shown with it."""
    found = proof(mixed(), 0.951, A=0.99, B=0.6)["explained_by"]
    assert [(each["segment"], each["before"], each["pass_rate"]) for each in found] == [
        ("app_version=A", 0.99, pytest.approx(0.93))
    ]
    assert found[0]["share"] == pytest.approx(1.0)


def test_a_slice_of_which_nothing_is_known_is_held_against_the_whole() -> None:
    """A series of its own that still learns says nothing of its past."""
    found = proof(mixed(), 0.951, A=0.99)["explained_by"]
    assert [(each["segment"], each["before"]) for each in found] == [("app_version=A", 0.99), ("app_version=B", 0.951)]


def test_no_slice_explains_more_than_all_of_a_fall() -> None:
    """Its reference may be higher than the whole's by more than the whole fell: a slice of everything tells nothing."""
    verdicts = [traced(number, "pass" if number % 10 else "fail", "A") for number in range(100)]
    assert proof(verdicts, 0.92, A=0.99)["explained_by"] == []
