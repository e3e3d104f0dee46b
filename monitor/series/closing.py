"""Closing blocks: the one place where verdicts become what their series know. Only the lease holder does it.

A block is a stretch of event time. It closes a while after its end, for all series at once; a verdict that comes later
joins the oldest block that is still open. What a block does to a series depends on the verdicts in it and on nothing
else, so that one replica or several, or a restart in between, make the same states bit for bit.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

from structlog.typing import FilteringBoundLogger

from monitor.ledger.rows import LeaseToken
from monitor.ledger.series import ClosedBlock, Series
from monitor.series.book import Book
from monitor.series.units import Group, Units, in_ms
from monitor.series.watched import WatchedScorer
from monitor.stats.settings import SessionSettings, StatisticsSettings

READ_AT_ONCE: Final = 20_000
"""Open verdicts that one look takes in; it takes in more where nothing of them can be closed yet."""


class Closing:
    """Closes blocks in the ledger."""

    def __init__(
        self,
        ledger: Series,
        scorers: Iterable[WatchedScorer],
        *,
        settings: StatisticsSettings,
        sessions: SessionSettings,
        max_age: timedelta,
        log: FilteringBoundLogger,
        read_at_once: int = READ_AT_ONCE,
    ) -> None:
        self._read_at_once = read_at_once
        self._ledger = ledger
        self._scorers = {each.name: each for each in scorers}
        self._settings = settings
        self._units = Units(
            scorers=self._scorers,
            quiet_ms=in_ms(sessions.quiet),
            longest_ms=in_ms(sessions.longest),
            unit_block_ms=in_ms(settings.unit_block),
        )
        self._block_ms = in_ms(settings.block)
        self._max_age_ms = in_ms(max_age)
        self._log = log

    def close(self, token: LeaseToken | None, now_ms: int) -> int:
        """Close every block whose time has come; returns how many.

        Raises:
            LedgerUnavailable: the ledger does not answer; blocks that are closed stay closed.
            LeaseLost: another replica holds the lease.
        """
        end_ms = self._begin_of(now_ms - in_ms(self._settings.close_after))
        limit = self._read_at_once
        while True:
            found = self._ledger.open_verdicts(end_ms, limit)
            # Of what was not read nothing is known: a session may go on there.
            known_ms = end_ms if len(found) < limit else self._begin_of(found[-1].event_time_ms)
            closed = self._close_until(known_ms, self._units.groups(found), token, now_ms)
            if closed or len(found) < limit:
                return closed
            limit *= 2

    def _begin_of(self, at_ms: int) -> int:
        return at_ms // self._block_ms * self._block_ms

    def _close_until(self, end_ms: int, waiting: Sequence[Group], token: LeaseToken | None, now_ms: int) -> int:
        if not waiting:
            return 0
        last = self._ledger.last_block()
        first_end_ms = 0 if last is None else last + 2 * self._block_ms
        book = Book.read(self._ledger, self._scorers, self._settings)
        count = 0
        while waiting:
            block_end_ms = max(self._begin_of(waiting[0].ready_ms) + self._block_ms, first_end_ms)
            if block_end_ms > end_ms:
                break
            ready = [group for group in waiting if group.ready_ms < block_end_ms]
            waiting = waiting[len(ready) :]
            self._close_block(book, block_end_ms, ready, token, now_ms)
            first_end_ms = block_end_ms + self._block_ms
            count += 1
        return count

    def _close_block(
        self, book: Book, end_ms: int, groups: Sequence[Group], token: LeaseToken | None, now_ms: int
    ) -> None:
        change = book.close(self._units.bets(groups, now_ms - self._max_age_ms), end_ms)
        self._ledger.close(
            ClosedBlock(
                block=end_ms - self._block_ms,
                closed_at_ms=now_ms,
                verdicts=[(each.trace_id, each.scorer) for group in groups for each in group.verdicts],
                series=change.series,
                retired=change.retired,
                clock=book.clock,
            ),
            token,
        )
        for scorer, segment in change.anew:
            self._log.info("series begins anew", scorer=scorer, segment=segment, cause="the scorer has changed")
        for scorer, segment in change.retired:
            self._log.info("series retired", scorer=scorer, segment=segment)
