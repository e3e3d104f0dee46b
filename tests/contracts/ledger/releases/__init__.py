"""Revisions of releases to come, and the work of one of their replicas: `python -m` it with a database URL."""

import sys
from pathlib import Path

from sqlalchemy import text

from monitor.ledger import Ledger, open_ledger
from monitor.ledger.revisions import OURS, Revisions
from tests.contracts.ledger.ledger_rows import decision, member, trace, verdict

FOLDER = Path(__file__).parent
NEXT = Revisions((*OURS.folders, FOLDER / "next"))
AFTER_NEXT = Revisions((*NEXT.folders, FOLDER / "after_next"))
SCORER = "safety"


def take_in(ledger: Ledger, partition: int, offset: int) -> None:
    """Take one event all the way: claimed, judged, published, a member of the dataset, past the watermark."""
    row = trace(trace_id=f"tr-{partition}-{offset}", partition=partition, offset=offset)
    assert ledger.intake.claim(row, [decision(SCORER)]).outcome == "new"
    assert ledger.intake.record(verdict(trace_id=row.trace_id, assessment_id=row.trace_id, partition=partition))
    ledger.intake.mark_published(row.trace_id, [SCORER])
    ledger.members.offer(member(inputs_digest=row.trace_id, trace_id=row.trace_id))
    counts = {(SCORER, "scored", "rate"): 1}
    assert ledger.positions.advance("traces", partition, offset, offset + 1, counts, received=1)
    ledger.replicas.beat(f"replica-{partition}", "a release", 0)


def main(url: str) -> None:
    """Be a replica of the next release that uses what its revision added, one event of partition 1 a line of input."""
    ledger = open_ledger(url, revisions=NEXT)
    offset = ledger.positions.open("traces", 1, 0)
    print("ready", flush=True)
    for _ in sys.stdin:
        take_in(ledger, 1, offset)
        with ledger.database.write() as connection:
            connection.execute(text("INSERT INTO tracewatch_tenants VALUES (:name)"), {"name": f"tenant-{offset}"})
            connection.execute(
                text("UPDATE tracewatch_traces SET tenant = :name WHERE trace_id = :id"),
                {"name": f"tenant-{offset}", "id": f"tr-1-{offset}"},
            )
        offset += 1
    ledger.replicas.leave("replica-1")
    ledger.close()
    print("left", flush=True)
