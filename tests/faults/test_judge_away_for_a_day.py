"""A judge away for a day of event time: everything waits, nothing grows, and nobody is paged for what is over."""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select

from consumers.kafka_publish import publish_lines
from monitor.demo.scripted_endpoint import ScriptedEndpoint
from monitor.ledger.ledger import Ledger, open_ledger
from monitor.ledger.schema import verdicts
from tests.acceptance.running_daemon import RunningDaemon, running
from tests.faults.extent import choose
from tests.faults.fault_figures import FaultFigures
from tests.faults.shifted_clock import ShiftedClock
from tests.faults.trial import SCORERS, Trial, assessments_of, fault_config

HOURS = 24
AN_HOUR = choose(short=8, full=80)
IN_FLIGHT = 10
HOUR_MS = 3_600_000


class Traffic:
    """Events of now, by the daemon's clock, with an answer that the judge calls unsafe or not."""

    def __init__(self, clock: ShiftedClock) -> None:
        self._clock = clock
        self.sent = 0
        self.by_hour: Counter[int] = Counter()

    def lines(self, count: int, *, unsafe: bool) -> list[bytes]:
        """The next so many."""
        now_ms = self._clock.now_ms()
        made = []
        for _ in range(count):
            answer = "I will kill you." if unsafe else "Here is your answer."
            value = {"trace_id": f"day-{self.sent}", "timestamp_ms": now_ms, "inputs": {"q": self.sent}}
            made.append(json.dumps(value | {"outputs": answer}).encode())
            self.sent += 1
            self.by_hour[now_ms // HOUR_MS] += 1
        return made


def test_a_day_without_the_judge_is_judged_afterwards_and_pages_nobody(
    kafka: Any, topic: str, mlflow_uri: str, tmp_path: Path
) -> None:
    """Memory and offsets stand still meanwhile; then each event counts at its own time, in the order of the stream."""
    ledger_url = f"sqlite:///{tmp_path / 'ledger.db'}"
    clock = ShiftedClock()
    traffic = Traffic(clock)
    with ScriptedEndpoint() as judge:
        config = fault_config(
            kafka.bootstrap_servers,
            topic,
            mlflow_uri,
            ledger_url,
            judge.base_url,
            scorers=[
                {"name": "safety", "use": "Safety", "target": 0.9},
                {"name": "short", "use": "AnswerLength", "max_length": 200},
            ],
            alerts={"max_age": "1h", "min_verdicts": 5},
            statistics={"block": "1s", "close_after": "0s"},
            pipeline={"max_events_in_flight": IN_FLIGHT},
            source={"max_poll_records": IN_FLIGHT},
        )
        with running(config, clock) as daemon:
            ledger = open_ledger(ledger_url)
            trial = Trial(
                daemon=daemon, app=topic, source=config.source, ledger=ledger, mlflow_uri=mlflow_uri, judge=judge
            )
            publish_lines(config.source, traffic.lines(AN_HOUR, unsafe=False))
            trial.settled(traffic.sent)

            judge.stop()
            before, debt, most_in_hand = trial.received(), 0, 0
            for hour in range(HOURS):
                clock.advance(timedelta(hours=1))
                # What was bad was mended two hours before the judge came back.
                publish_lines(config.source, traffic.lines(AN_HOUR, unsafe=hour < HOURS - 2))
                debt = max(debt, traffic.sent - trial.received())
                most_in_hand = max(most_in_hand, in_hand(daemon))
            trial.is_away("judge")
            # What is being worked on, and what one poll has brought beyond.
            assert most_in_hand <= 2 * IN_FLIGHT
            assert trial.received() == before
            assert judged(ledger)["safety"] == before

            judge.start()
            back_s = time.monotonic()
            trial.settled(traffic.sent)
            recovered_s = time.monotonic() - back_s
            assert judged_by_hour(ledger) == traffic.by_hour
            assert disorder(ledger) <= IN_FLIGHT
            now_ms = clock.now_ms()
            daemon.eventually(lambda: alerts_looked_at_ms(ledger) > now_ms, "the alerts are looked at")
            # That nothing was known meanwhile is told; that it was bad while nobody could know is not.
            assert {alert.kind for alert in ledger.alerts.history(10)} <= {"unknown"}

            figures = FaultFigures.of(
                [f"day-{number}" for number in range(traffic.sent)],
                assessments_of(mlflow_uri, topic, "day"),
                SCORERS,
                judge_calls=judge.calls["judge"],
                recovered_s=recovered_s,
            )
            # The same badness now does raise an alert.
            publish_lines(config.source, traffic.lines(4 * AN_HOUR, unsafe=True))
            daemon.eventually(
                lambda: (
                    ("production_regression", "firing")
                    in {(alert.kind, alert.state) for alert in ledger.alerts.open_alerts()}
                ),
                "bad news of today",
            )
            ledger.close()
    figures.report(service="judge", fault="away for a day", debt_at_most=debt, in_hand_at_most=most_in_hand)


def in_hand(daemon: RunningDaemon) -> int:
    lines = [line for line in daemon.metrics().splitlines() if line.startswith("tracewatch_events_in_flight{")]
    return round(float(lines[0].rpartition(" ")[2]))


def judged(ledger: Ledger) -> Counter[str]:
    """Verdict rows by scorer."""
    return Counter({row.scorer: row.count for row in ledger.figures.verdict_counts() if row.segment == "all"})


def judged_by_hour(ledger: Ledger) -> Counter[int]:
    """The judge's verdicts by the hour of their events."""
    with ledger.database.read() as connection:
        found = connection.execute(select(verdicts.c.event_time_ms).where(verdicts.c.scorer == "safety"))
        return Counter(at_ms // HOUR_MS for at_ms in found.scalars())


def disorder(ledger: Ledger) -> int:
    """By how many places a verdict came before its turn in its partition, at most."""
    row = verdicts.c
    with ledger.database.read() as connection:
        found = connection.execute(
            select(row.partition, row.offset)
            .where(row.scorer == "safety")
            .order_by(row.judged_at_ms, row.partition, row.offset)
        ).all()
    place: Counter[int] = Counter()
    worst = 0
    for partition, offset in found:
        worst = max(worst, offset - place[partition])
        place[partition] += 1
    return worst


def alerts_looked_at_ms(ledger: Ledger) -> int:
    """When the alerts were last held against the figures."""
    return max((job.last_success_ms or 0 for job in ledger.jobs.all() if job.job == "alerts"), default=0)
