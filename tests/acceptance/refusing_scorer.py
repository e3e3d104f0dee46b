"""A scorer of the user's own that fails, and quotes the trace when it does."""

from typing import Any

from mlflow.genai.scorers import scorer


@scorer
def refuses(outputs: Any) -> bool:
    """Fail with the output in the error's words."""
    raise ValueError(f"cannot read {outputs!r}")
