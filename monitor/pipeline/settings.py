"""The settings of the pipeline."""

from datetime import timedelta
from typing import Literal

from pydantic import BaseModel, ByteSize, ConfigDict, Field

from monitor.clock import Duration


class PipelineSettings(BaseModel):
    """How much is in hand at once, and how long things may take."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_events_in_flight: int = Field(
        200, ge=1, description="Events in hand above which partitions are paused; they resume at half of it."
    )
    max_bytes_in_flight: ByteSize = Field(
        ByteSize(64 * 1024 * 1024),
        gt=0,
        description="Bytes of messages in hand above which partitions are paused; they resume at half of it.",
    )
    workers: int = Field(16, ge=1, description="Threads that judge traces.")
    parked_order: Literal["oldest", "newest"] = Field(
        "oldest", description="Which of the parked verdicts are worked off first, by their traces' time."
    )
    commit_every: Duration = Field(timedelta(seconds=1), description="How often the watermark is moved and committed.")
    shutdown_deadline: Duration = Field(
        timedelta(seconds=20), description="How long events in hand may take to finish on a stop."
    )
    revocation_deadline: Duration = Field(
        timedelta(seconds=5),
        description="How long events in hand may take to finish when another replica wants their partition; the group "
        "waits no longer than `source.max_poll_interval`.",
    )
    upkeep_every: Duration = Field(
        timedelta(seconds=5),
        description="How often the lease holder looks at alerts, the dataset, parked work and what is unpublished.",
    )
    retry_up_to: Duration = Field(
        timedelta(seconds=30), description="The longest wait between two tries of a service that is away."
    )
