"""Refused calls at an endpoint with a limit of its own: the adaptive limit beside a fixed one, in one run."""

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

from monitor.demo.scripted_endpoint import ScriptedEndpoint
from scorers.chat_http import ChatHttp
from scorers.concurrency import AdaptiveLimit
from scorers.errors import JudgeUnavailable
from scorers.judge_endpoint import CallRecord, JudgeEndpoint
from scorers.settings import JudgeSettings

CALLS, CAPACITY, MOST = 400, 6, 32


def _run(*, adaptive: bool) -> tuple[int, int, float]:
    with ScriptedEndpoint(latency_s=0.02) as serving:
        serving.trouble.limit(CAPACITY)
        settings = JudgeSettings(base_url=serving.base_url, model="scripted", concurrency=MOST, retries=10)
        endpoint = JudgeEndpoint(serving.base_url, settings, threading.Event())
        http = ChatHttp(settings)
        body = {"model": "scripted", "messages": [{"role": "user", "content": "Write to ACME."}]}

        def call(_: int) -> int:
            try:
                endpoint.call(lambda: http.post(f"{serving.base_url}/chat/completions", {}, body), CallRecord())
            except JudgeUnavailable:
                return 0
            return 1

        began = time.monotonic()
        fixed = patch.object(AdaptiveLimit, "overloaded", lambda *_args: None)
        with contextlib.nullcontext() if adaptive else fixed, ThreadPoolExecutor(MOST) as pool:
            answered = sum(pool.map(call, range(CALLS)))
        return answered, serving.trouble.turned_away, time.monotonic() - began


def main() -> None:
    """Print both."""
    figures = {name: _run(adaptive=name == "adaptive") for name in ("fixed", "adaptive")}
    for name, (answered, refused, seconds) in figures.items():
        print(f"{name:<9} answered {answered} of {CALLS}, refused {refused}, {seconds:.1f} s")
    print(f"refused, fixed / adaptive: {figures['fixed'][1] / max(1, figures['adaptive'][1]):.1f}")


if __name__ == "__main__":
    main()
