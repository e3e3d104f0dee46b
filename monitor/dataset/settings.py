"""The `dataset:` section of the configuration."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from monitor.rate import Rate


class DatasetSettings(BaseModel):
    """Which traces become records of the evaluation dataset, and how many stay."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        min_length=1, max_length=200, pattern=r"^[^'\"\\]+$", description="Name of the MLflow evaluation dataset."
    )
    rate: Rate | None = Field(
        default=None, description="Share of the traces that are offered; sampling.rate if not given."
    )
    max_rows: int = Field(default=500, ge=1, le=100_000, description="Rows at most; golden rows alone may exceed it.")
    quota_by: tuple[str, ...] = Field(
        default=(),
        description="Segment keys by which rows are shared out: as long as a segment has fewer rows than the others, "
        "none of its rows makes way for theirs.",
    )
    quotas: dict[str, int] = Field(
        default_factory=dict,
        description="Rows at most of single segments, written as segment label: number, such as 'app_version=v1: 50'.",
    )
    golden: dict[str, str] = Field(
        default_factory=dict,
        description="Tags, all of which a trace must have for its row never to be evicted; empty: no row is golden.",
    )

    def is_golden(self, tags: dict[str, str]) -> bool:
        """Whether a trace with these tags gives a golden row."""
        return bool(self.golden) and all(tags.get(key) == value for key, value in self.golden.items())
