"""Everything this package raises on purpose.

ConsumersError
├── SourceUnavailable   the stream cannot be reached or refuses us: wait and try again
├── MemberFenced        another process has our static membership: stop, it does the work now
├── OwnershipLost       the partition belongs to another member now: drop the work in hand
├── MessageRefused      the stream will never take this one message
├── SourceFailed        anything else that the stream's client reports: a defect or a broken topic
└── InvalidEvent        one message that is no trace event: a dead letter
"""

from __future__ import annotations


class ConsumersError(Exception):
    """Root of the package's errors."""


class SourceUnavailable(ConsumersError):
    """The stream cannot be reached, or refuses us; `cause` says why in one line, for a log and for `/readyz`."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class MemberFenced(ConsumersError):
    """Another consumer has taken our `group_instance_id`: two processes are configured to be the same member."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"{cause}: give each replica a source.group_instance_id of its own, or none")


class OwnershipLost(ConsumersError):
    """A commit came too late: the group has given the partition to somebody else."""


class MessageRefused(ConsumersError):
    """The stream will never take this message, however often it is sent (too large, not a valid record)."""


class SourceFailed(ConsumersError):
    """What the client of the stream should not report in a sound set-up; the text has its name and words."""


class InvalidEvent(ConsumersError):
    """A message that is no trace event.

    `reason` is one of a small fixed set of slugs (`consumers.decoding.REASONS`), fit for a metric label; `detail` is
    one short line for a person.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
