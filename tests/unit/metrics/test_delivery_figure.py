"""What `tracewatch_delivery_working` says: whether alerts need somebody else to tell of them."""

from collections.abc import Iterator, Sequence

import pytest

from monitor.ledger.deliveries import FAILING_AFTER_MS
from monitor.ledger.ledger import Ledger, open_ledger
from monitor.ledger.rows import AlertRow, DeliveryRow
from tests.figure_readers import figure_reader

NOW_MS = 1_790_000_000_000


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger in which the receiver `chat` has not accepted for minutes what it is owed, while `desk` is well."""
    found = open_ledger("sqlite://")
    alert = AlertRow(
        id="a1",
        kind="production_regression",
        scorer="safety",
        segment="all",
        state="firing",
        severity="page",
        since_ms=NOW_MS,
        fired_ms=NOW_MS,
        details={},
    )
    found.alerts.save(alert, None)
    owed_ms = NOW_MS - FAILING_AFTER_MS - 1
    row = DeliveryRow(
        alert_id="a1",
        receiver="chat",
        transition="fired",
        severity="page",
        created_ms=owed_ms,
        next_attempt_ms=owed_ms,
    )
    found.deliveries.owe([row], None)
    yield found
    found.close()


@pytest.mark.parametrize(
    ("receivers", "pagers", "observes", "working"),
    [
        ((), (), False, False),
        ((), (), True, True),
        (("desk",), ("desk",), False, True),
        (("desk", "chat"), ("desk", "chat"), False, False),
        (("desk", "chat"), ("desk",), False, True),
    ],
    ids=["nobody is told", "nobody is to be told", "all is well", "one of several fails", "another one fails"],
)
def test_delivery_works_while_nobody_whom_pages_rest_on_fails(
    ledger: Ledger, receivers: Sequence[str], pagers: Sequence[str], observes: bool, working: bool
) -> None:
    """Without receivers it is 0, not absent: nobody tells."""
    reader = figure_reader(ledger, NOW_MS, receivers=receivers, pagers=pagers, observes=observes)
    assert reader.read().delivery_working is working
