"""What a proof names as guilty."""

from typing import Any

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


def proof(verdicts: list[TracedVerdict], reference: float) -> dict[str, Any]:
    newest_first = sorted(verdicts, key=lambda each: -each.event_time_ms)
    return proof_of(watched(), reference, ALARM, newest_first, lambda _inputs: {})


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
