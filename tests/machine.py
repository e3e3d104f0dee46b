"""What the machine that tests run on has."""

import os
from typing import NoReturn

import pytest


def lacking(reason: str) -> NoReturn:
    """Skip the test, or fail it in CI, where nothing may be lacking."""
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"CI must have everything: {reason}")
    pytest.skip(reason)
