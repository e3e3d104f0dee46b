"""The page at any moment of the daemon's life: before the ledger answers, while it does, and while it is away."""

from collections.abc import Callable

from monitor.clock import Clock
from monitor.last_known import LastKnown
from monitor.overview import OverviewReader
from monitor.status_page.building import page_view
from monitor.status_page.facts import Asked, Own, Told
from monitor.status_page.hours import RecentHours
from monitor.status_page.open_form import numbers_only
from monitor.status_page.rendering import page_html


class StatusPage:
    """Makes the page. Safe to use from any thread.

    The ledger is read at most every 15 seconds and never twice at once; while it is away the last that is known is
    shown, with its age. `own` tells what this process knows, `mask` takes secrets out of every text.
    """

    def __init__(self, asked: Asked, own: Callable[[], Own], clock: Clock, mask: Callable[[str], str] = str) -> None:
        self._asked = asked
        self._own = own
        self._clock = clock
        self._mask = mask
        self._known: LastKnown[Told] | None = None

    def reads(self, overview: OverviewReader) -> None:
        """From now on the page tells what the ledger says."""
        hours = RecentHours(overview.ledger.figures)

        def read() -> Told:
            known = overview.read()
            return Told(overview=known, hours=hours.read(known.at_ms))

        self._known = LastKnown(read, self._clock)

    def html(self, *, with_texts: bool, refresh: bool) -> str:
        """The page's HTML. `with_texts` is for those who may see traces' texts, causes and addresses."""
        known = None if self._known is None else self._known.get()
        view = page_view(self._asked, self._own(), known, self._clock.now_ms())
        return page_html(view if with_texts else numbers_only(view), refresh=refresh, mask=self._mask)
