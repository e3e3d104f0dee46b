"""How fast events are decoded and validated, beside plain `json.loads` of the same bytes, in one run."""

import json
import timeit

from consumers.decoding import decode
from consumers.messages import Message
from consumers.settings import DecodingLimits

ROUNDS = 2_000
REPEATS = 5


def main() -> None:
    """Print messages a second of both, and their ratio."""
    document = {
        "trace_id": "order-17",
        "timestamp_ms": 1_790_000_000_000,
        "inputs": {"question": "Where is my parcel?", "history": ["a turn of the conversation " * 8] * 12},
        "outputs": {"answer": "It arrives on Tuesday. " * 60},
        "retrieved": [{"page_content": "A paragraph of the handbook. " * 20}] * 4,
    }
    value = json.dumps(document).encode()
    message = Message(topic="t", partition=0, offset=0, timestamp_ms=0, key=None, value=value)
    limits = DecodingLimits()
    now_ms = 1_790_000_000_000
    ours = min(timeit.repeat(lambda: decode(message, "tracewatch+json", limits, now_ms), number=ROUNDS, repeat=REPEATS))
    plain = min(timeit.repeat(lambda: json.loads(value), number=ROUNDS, repeat=REPEATS))
    ours_a_second, plain_a_second = ROUNDS / ours, ROUNDS / plain
    print(f"{len(value)} bytes: decode {ours_a_second:,.0f}/s, json.loads {plain_a_second:,.0f}/s")
    print(f"ratio decode : json.loads = {ours_a_second / plain_a_second:.2f}")


if __name__ == "__main__":
    main()
