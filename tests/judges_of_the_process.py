"""What the judges of this process ask is process-wide state: kept for those who set it, undone after them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_NAMES = ("OPENAI_API_BASE", "OPENAI_API_KEY", "MLFLOW_GENAI_JUDGE_DEFAULT_MODEL", "MLFLOW_MODEL_CATALOG_URI")


@contextmanager
def undone_afterwards() -> Iterator[None]:
    """Give back what the block makes all judges of the process ask: their address, key, model and transport.

    Blocks nest. What an outer one has set stands in the inner one, and after it: a daemon that serves several tests
    keeps its judge from one to the next.
    """
    before = {name: os.environ.get(name) for name in _NAMES}
    bound = _transport()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if bound is None and _transport() is not None:
            sys.modules["scorers.judge_transport"].release_judge_calls()


@contextmanager
def of_no_environment() -> Iterator[None]:
    """The same for a test: unless a daemon that outlives it has set them, the judges' variables begin unset."""
    with undone_afterwards():
        if _transport() is None:
            for name in _NAMES:
                os.environ.pop(name, None)
        yield


def _transport() -> object:
    module = sys.modules.get("scorers.judge_transport")
    return None if module is None else module._transport
