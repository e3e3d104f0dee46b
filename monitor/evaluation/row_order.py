"""The order in which rows are run where an evaluation may stop early: random, and the same for everybody.

The place of a row is the hash of the dataset's digest and what the row is known by. It does not depend on how the rows
are listed, and whoever reads two runs later finds the same order without anything having been written down.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

from monitor.evaluation.canonical import canonical_digest
from monitor.evaluation.evaluator import EvaluationRow


def place(digest: str, record_id: str | None, inputs: Any) -> str:
    """Where a row stands, to be sorted by; rows with equal inputs and no record id have one place.

    Args:
        digest: the dataset's.
        record_id: what the row is known by; without it the inputs are.
        inputs: the row's.
    """
    key = f"record {record_id}" if record_id is not None else f"inputs {canonical_digest(inputs)}"
    return hashlib.sha256(f"{digest}\n{key}".encode("utf-8", "surrogatepass")).hexdigest()


def batches(rows: Sequence[EvaluationRow], digest: str, size: int) -> list[list[int]]:
    """The indices of the rows in their random order, in batches of the size; the last may be smaller."""
    order = sorted(range(len(rows)), key=lambda index: place(digest, rows[index].record_id, rows[index].inputs))
    return [order[start : start + size] for start in range(0, len(order), size)]
