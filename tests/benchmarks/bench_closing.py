"""How long closing blocks takes beside writing the verdicts that are in them, and beside reading their sums anew."""

from __future__ import annotations

import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from monitor.ledger.database import values_of
from monitor.ledger.ledger import open_ledger
from monitor.ledger.schema import verdicts
from tests.unit.series.closing_stage import BEGAN_MS, MINUTE_MS, closing, verdict, watched

MINUTES = 60
A_MINUTE = 300
SEGMENTS = 4


def main() -> None:
    """Print the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = open_ledger(f"sqlite:///{Path(folder) / 'ledger.db'}")
        rows = [
            verdict(
                number,
                "fail" if number % 20 == 0 else "pass",
                BEGAN_MS + number // A_MINUTE * MINUTE_MS,
                segments={"app_version": f"v{number % SEGMENTS}"},
            )
            for number in range(MINUTES * A_MINUTE)
        ]
        began = time.perf_counter()
        for row in rows[:A_MINUTE]:
            ledger.intake.record(row)
        one_by_one_s = (time.perf_counter() - began) / A_MINUTE
        with ledger.database.write() as connection:
            values = [{**values_of(row), "published": 1} for row in rows[A_MINUTE:]]
            connection.execute(verdicts.insert(), values)
        began = time.perf_counter()
        closed = closing(ledger, watched(), max_age=timedelta(days=9)).close(None, BEGAN_MS + (MINUTES + 3) * MINUTE_MS)
        closing_s = time.perf_counter() - began
        began = time.perf_counter()
        ledger.figures.verdict_counts()
        scan_s = time.perf_counter() - began
        ledger.close()
    a_verdict_s = closing_s / len(rows)
    print(
        f"verdicts={len(rows)} blocks={closed} series={1 + SEGMENTS} closing_ms_a_block={closing_s / closed * 1e3:.1f}"
    )
    print(f"closing / writing, a verdict: {a_verdict_s / one_by_one_s:.3f}   ({a_verdict_s * 1e6:.0f} us, one core)")
    print(f"closing one block / summing all verdicts of the hour: {closing_s / closed / scan_s:.2f}")


if __name__ == "__main__":
    main()
