"""Making dead letters of messages that are no trace events."""

from collections.abc import Callable
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from consumers.dead_letters import DeadLetterQueue
from consumers.errors import MessageRefused
from monitor.metrics import ProcessMetrics
from monitor.pipeline.effects import Outcomes
from monitor.pipeline.patience import Patience
from monitor.pipeline.quarantine import Letter


@dataclass(frozen=True, kw_only=True, slots=True)
class Burial:
    """Threads may share it."""

    dead_letters: DeadLetterQueue
    patience: Patience
    metrics: ProcessMetrics
    scorers: tuple[str, ...]
    log: FilteringBoundLogger

    def work(self, letter: Letter) -> Callable[[], Outcomes]:
        """What a worker has to do for the letter."""
        return lambda: self.bury(letter)

    def bury(self, letter: Letter) -> Outcomes:
        """Return once the letter is safe, and say what became of the message.

        Raises:
            SourceUnavailable: the daemon stops first; the message comes again.
        """
        message, invalid = letter.message, letter.invalid
        position = str(message.position)
        try:
            self.patience.call("kafka", lambda: self.dead_letters.send(message, invalid.reason, invalid.detail))
        except MessageRefused as refused:
            # It must not stop its partition; its place in the stream is all that is kept of it.
            self.log.warning("dead letter refused", position=position, reason=invalid.reason, cause=str(refused))
        self.metrics.dead_lettered(invalid.reason)
        self.log.warning("dead letter", position=position, reason=invalid.reason)
        return dict.fromkeys(self.scorers, ("dead_lettered", invalid.reason))
