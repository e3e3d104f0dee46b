"""What a version answered on one row, on its way from the candidate to the evaluator."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

FailureKind = Literal["raised", "timeout", "memory", "died", "http", "invalid"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why a row has no answer."""

    kind: FailureKind
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One row's answer.

    `trace_json` (what `Trace.to_json()` gives) is there when a function's trace was captured, otherwise `outputs`
    and `retrieved` say what came over HTTP. A row with a `failure` may have either or neither.
    """

    row: int
    started_ms: int
    duration_ms: float
    trace_id: str | None = None
    trace_json: str | None = None
    outputs: Any = None
    retrieved: tuple[dict[str, Any], ...] = ()
    failure: Failure | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "Answer":
        """Back from `to_dict`."""
        failure = value.get("failure")
        return cls(
            **{
                **value,
                "retrieved": tuple(value.get("retrieved") or ()),
                "failure": None if failure is None else Failure(**failure),
            }
        )
