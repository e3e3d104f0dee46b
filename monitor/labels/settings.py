"""The `labelling:` section of the configuration."""

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field

from monitor.clock import Duration
from monitor.evaluation.settings import ScheduleSettings
from monitor.rate import Rate


class RejudgeSettings(ScheduleSettings):
    """When the frozen sets are judged again by themselves: one of both."""


class LabellingSettings(BaseModel):
    """Which traces people are asked to label, and what their labels are held against."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rate: Rate = Field(
        default=0.01,
        description="The share of the judged traces that is drawn at random for people to label, by the tag "
        "`tracewatch.label`.",
    )
    agreement: float = Field(
        default=0.8, ge=0, le=1, description="Share of labels that agree with the judge below which its alerts warn."
    )
    min_labels: int = Field(default=10, ge=1, description="Fewer labels than this warn of nothing.")
    window: Duration = Field(
        default=timedelta(days=14),
        ge=timedelta(hours=1),
        description="The stretch of event time whose labels and verdicts are held against each other.",
    )
    read_every: Duration = Field(
        default=timedelta(minutes=1),
        ge=timedelta(seconds=1),
        description="How often labels that people made in MLflow are read from a part of the drawn traces.",
    )
    frozen_rows: int = Field(
        default=50, ge=0, le=1000, description="Labelled traces of each scorer that are judged again on a schedule."
    )
    rejudge: RejudgeSettings | None = Field(
        default_factory=lambda: RejudgeSettings(interval=timedelta(days=1)),
        description="When they are judged again, each day if left out; never if null.",
    )
    moved_alpha: float = Field(
        default=0.01,
        gt=0,
        lt=0.5,
        description="Chance, each time, of calling a judge moved that is as it was.",
    )
