"""How fast events that no scorer keeps pass through the loop, beside the decoding of the same messages, in one run."""

import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from consumers.decoding import decode
from consumers.settings import DecodingLimits
from monitor.sampling import SamplingSettings
from tests.unit.pipeline.conftest import NOW_MS, Stage

EVENTS = 50_000
REPEATS = 3


def main() -> None:
    """Print events a second of both, and their ratio."""
    looped, decoded = zip(*(_measure() for _ in range(REPEATS)), strict=True)
    loop_a_second, decode_a_second = EVENTS / min(looped), EVENTS / min(decoded)
    print(f"{EVENTS} events: loop {loop_a_second:,.0f}/s, decode alone {decode_a_second:,.0f}/s")
    print(f"ratio loop : decode alone = {loop_a_second / decode_a_second:.2f}")


def _measure() -> tuple[float, float]:
    """Seconds that the loop takes, from the first poll to the last commit, and seconds of decoding alone."""
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(ledger_url=f"sqlite:///{folder}/ledger.db")
        stage.scorer("safe")
        stage.scorer("short", kind="code")
        stage.sampling = SamplingSettings(rate=0.0)
        stage.pipeline = stage.pipeline.model_copy(update={"commit_every": timedelta(seconds=1)})
        for number in range(EVENTS):
            stage.event(f"event {number}", partition=number % 2)

        def until() -> bool:
            # The stage's clock stands still: this makes the loop commit at every turn.
            stage.clock.advance(timedelta(seconds=1))
            return stage.all_committed()

        began = time.perf_counter()
        stage.run(until)
        looped = time.perf_counter() - began
        began = time.perf_counter()
        for log in stage.topic.logs:
            for message in log:
                decode(message, "tracewatch+json", DecodingLimits(), NOW_MS)
        decoded = time.perf_counter() - began
        for ledger in stage.ledgers:
            ledger.close()
    return looped, decoded


if __name__ == "__main__":
    main()
