"""Alerts on the stream itself: accounting, losses to retention, dead letters."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import update

from monitor.alerting.look import Alerting
from monitor.alerting.streams import LOSS_STANDS_MS, StreamFindings
from monitor.alerts.settings import AlertSettings
from monitor.ledger import AlertRow, LeaseToken, Ledger, open_ledger
from monitor.ledger.schema import outcome_counts

NOW_MS = 1_790_000_000_000
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
SETTINGS = AlertSettings(dead_letter_share=0.1, dead_letter_window=timedelta(minutes=10))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger whose one partition is open."""
    opened = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    opened.positions.open("traces", 0, 0)
    yield opened
    opened.close()


class LeaseHolder:
    """Looks every time it is told to; a new one has no memory but the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.alerting = Alerting(ledger.alerts, [StreamFindings(ledger, SETTINGS)], structlog.get_logger())
        self.at_ms = NOW_MS

    def look(self, at_ms: int, kind: str) -> AlertRow | None:
        """The open alert of the kind after a look."""
        token: LeaseToken | None = self.ledger.lease.acquire("leader", "me", 1e6, at_ms)
        assert token is not None
        self.alerting.look(token, at_ms)
        return next((row for row in self.ledger.alerts.open_alerts() if row.kind == kind), None)


@pytest.fixture
def holder(ledger: Ledger) -> LeaseHolder:
    """The replica that looks."""
    return LeaseHolder(ledger)


def take(ledger: Ledger, good: int, bad: int = 0, scorers: tuple[str, ...] = ("safety", "short")) -> None:
    """Move the watermark over events."""
    at = ledger.positions.read("traces", 0) or 0
    counts = {(scorer, "scored", "rate"): good for scorer in scorers}
    counts |= {(scorer, "dead_lettered", "not_json"): bad for scorer in scorers}
    assert ledger.positions.advance("traces", 0, at, at + good + bad, counts, received=good + bad)


def test_counts_that_do_not_add_up_page_at_once_and_end_when_they_do(holder: LeaseHolder, ledger: Ledger) -> None:
    """Exact at every instant: nothing has to be waited for. One alert a scorer, on its label."""
    take(ledger, 10)
    assert holder.look(NOW_MS, "accounting_mismatch") is None
    forge(ledger, -1)
    alert = holder.look(NOW_MS + 1, "accounting_mismatch")
    assert alert is not None
    assert (alert.state, alert.severity, alert.scorer, alert.segment) == ("firing", "page", "safety", "all")
    assert alert.details == {"received": 10, "accounted": 9}
    forge(ledger, 1)
    assert holder.look(NOW_MS + 2, "accounting_mismatch") is None
    assert [row.state for row in ledger.alerts.history(9)] == ["resolved"]


def forge(ledger: Ledger, by: int) -> None:
    """What nothing but a defect does."""
    row = outcome_counts.c
    with ledger.database.write() as connection:
        connection.execute(update(outcome_counts).where(row.scorer == "safety").values(count=row["count"] + by))


def lose(ledger: Ledger, events: int) -> None:
    at = ledger.positions.read("traces", 0) or 0
    assert ledger.positions.skip("traces", 0, at, at + events, lost=events)


def test_a_loss_pages_with_how_many_for_a_day_and_once(holder: LeaseHolder, ledger: Ledger) -> None:
    """Also after the lease went to another replica, which has only the ledger to know it from."""
    assert holder.look(NOW_MS, "lost_to_retention") is None
    lose(ledger, 40)
    alert = holder.look(NOW_MS + 1, "lost_to_retention")
    assert alert is not None
    assert (alert.state, alert.severity, alert.scorer, alert.segment) == ("firing", "page", "", "all")
    assert (alert.details["events"], alert.details["by_partition"]) == (40, {"traces[0]": 40})
    another = LeaseHolder(ledger)
    assert another.look(NOW_MS + LOSS_STANDS_MS, "lost_to_retention") is not None
    assert another.look(NOW_MS + 1 + LOSS_STANDS_MS, "lost_to_retention") is None
    assert LeaseHolder(ledger).look(NOW_MS + 2 * LOSS_STANDS_MS, "lost_to_retention") is None
    assert [row.state for row in ledger.alerts.history(9)] == ["resolved"]


def test_a_further_loss_prolongs_the_alert_or_opens_another(holder: LeaseHolder, ledger: Ledger) -> None:
    """Each alert tells of what is new since the last one was over."""
    lose(ledger, 40)
    first = holder.look(NOW_MS, "lost_to_retention")
    lose(ledger, 2)
    prolonged = holder.look(NOW_MS + 20 * HOUR_MS, "lost_to_retention")
    assert first is not None
    assert prolonged is not None
    assert (prolonged.id, prolonged.details["events"]) == (first.id, 42)
    assert holder.look(NOW_MS + 43 * HOUR_MS, "lost_to_retention") is not None
    assert holder.look(NOW_MS + 44 * HOUR_MS, "lost_to_retention") is None
    lose(ledger, 5)
    second = holder.look(NOW_MS + 50 * HOUR_MS, "lost_to_retention")
    assert second is not None
    assert (second.id != first.id, second.details["events"], second.details["lost"]) == (True, 5, 47)


def test_a_share_of_dead_letters_is_told_with_its_reasons_and_ends_with_the_window(
    holder: LeaseHolder, ledger: Ledger
) -> None:
    """What was there before the first look has no time, and is not told."""
    take(ledger, 0, 50)
    assert holder.look(NOW_MS, "dead_letters") is None
    take(ledger, 95, 5)
    assert holder.look(NOW_MS + MINUTE_MS, "dead_letters") is None
    take(ledger, 5, 10)
    alert = holder.look(NOW_MS + 2 * MINUTE_MS, "dead_letters")
    assert alert is not None
    assert (alert.state, alert.severity, alert.scorer, alert.segment) == ("firing", "ticket", "", "all")
    assert (alert.details["dead_letters"], alert.details["received"]) == (15, 115)
    assert alert.details["by_reason"] == {"not_json": 15}
    assert holder.look(NOW_MS + 11 * MINUTE_MS, "dead_letters") is not None
    assert holder.look(NOW_MS + 13 * MINUTE_MS, "dead_letters") is None


def test_an_open_alert_of_dead_letters_goes_on_after_a_restart(holder: LeaseHolder, ledger: Ledger) -> None:
    """Its window is in its details: what comes while no replica runs counts too."""
    holder.look(NOW_MS, "dead_letters")
    take(ledger, 10, 10)
    assert holder.look(NOW_MS + MINUTE_MS, "dead_letters") is not None
    take(ledger, 10, 10)
    restarted = LeaseHolder(ledger)
    alert = restarted.look(NOW_MS + 3 * MINUTE_MS, "dead_letters")
    assert alert is not None
    assert alert.details["dead_letters"] == 20
    late = LeaseHolder(ledger)
    assert late.look(NOW_MS + 5 * HOUR_MS, "dead_letters") is not None
    assert late.look(NOW_MS + 5 * HOUR_MS + 11 * MINUTE_MS, "dead_letters") is None


def test_a_lease_that_comes_back_begins_a_new_window(holder: LeaseHolder, ledger: Ledger) -> None:
    """What happened while another replica held it was told by that one."""
    holder.look(NOW_MS, "dead_letters")
    take(ledger, 1, 50)
    assert holder.look(NOW_MS + HOUR_MS, "dead_letters") is None


def test_letters_are_counted_once_however_many_scorers_come_and_go(holder: LeaseHolder, ledger: Ledger) -> None:
    """Every scorer counts every letter: the sum over scorers would be too many, an old one's too few."""
    take(ledger, 1000, 900, ("old",))
    holder.look(NOW_MS, "dead_letters")
    take(ledger, 8, 2, ("safety", "short"))
    alert = holder.look(NOW_MS + MINUTE_MS, "dead_letters")
    assert alert is not None
    assert (alert.details["dead_letters"], alert.details["received"]) == (2, 10)


def test_the_share_must_be_reached(holder: LeaseHolder, ledger: Ledger) -> None:
    """A tenth is asked for here."""
    holder.look(NOW_MS, "dead_letters")
    take(ledger, 91, 9)
    assert holder.look(NOW_MS + 1, "dead_letters") is None
    take(ledger, 0, 2)
    assert holder.look(NOW_MS + 2, "dead_letters") is not None


def test_details_of_another_version_are_no_reason_to_fail(ledger: Ledger) -> None:
    """Rolling upgrades read alerts that the other version wrote."""
    row: Any = AlertRow(
        id="1", kind="dead_letters", scorer="", segment="all", state="firing", severity="ticket", since_ms=1
    )
    ledger.alerts.save(row, None)
    ledger.alerts.save(replace(row, id="2", kind="lost_to_retention"), None)
    assert LeaseHolder(ledger).look(NOW_MS, "dead_letters") is not None
