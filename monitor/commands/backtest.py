"""What the alert settings would have paged for, over the verdicts that the ledger holds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text

from monitor.alerts.kinds import Severity, severity_of
from monitor.commands.moments import moment_text
from monitor.commands.tables import plain_table
from monitor.config import Config
from monitor.daemon.assembly import recorded_scorers_of, severities_of, sight_of
from monitor.ledger import Ledger
from monitor.ledger.rows import JudgedVerdict
from monitor.series.backtest import Past, PastAlert, Suggestion, suggestion, targets, taught, with_target

_TOLD_AS: Final[Mapping[Severity, str]] = {"page": "page", "ticket": "ticket", "none": "to nobody"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """What came of it. Times are ms; `suggestions` is None where none were asked for."""

    since_ms: int
    until_ms: int
    verdicts: int
    alerts: Sequence[PastAlert]
    suggestions: Sequence[Suggestion] | None


def backtest(config: Config, ledger: Ledger, since_ms: int, until_ms: int, *, suggest: bool) -> Backtest:
    """Run the settings over the verdicts of a stretch of event time.

    Raises:
        LedgerUnavailable: the ledger does not answer.
    """
    scorers = {name: each for name, each in recorded_scorers_of(config, ledger).items() if each.alerting}
    past = Past(
        settings=config.statistics,
        sessions=config.sessions,
        max_age=config.alerts.max_age,
        sight=sight_of(config),
        severities={
            name: severity_of("production_regression", at_most, config.alerts.severity)
            for name, at_most in severities_of(config).items()
        },
    )
    verdicts = _Counted(ledger.series.past(since_ms, until_ms))
    alerts = past.alerts(verdicts, scorers)
    suggestions = None
    if suggest:
        learnt = taught((each for page in ledger.series.past(since_ms, until_ms) for each in page), scorers)
        wanted = {name: targets(each) for name, each in learnt.items()}
        suggestions = []
        for turn in range(max(map(len, wanted.values()), default=0)):
            trial = {name: found[turn] for name, found in wanted.items() if turn < len(found)}
            held = {name: with_target(scorers[name], target) for name, target in trial.items()}
            fired = past.alerts(ledger.series.past(since_ms, until_ms), held)
            length_ms = max(1, verdicts.last_ms - verdicts.first_ms)
            suggestions += [suggestion(name, target, learnt[name], fired, length_ms) for name, target in trial.items()]
        suggestions.sort(key=lambda each: (each.scorer, -each.target))
    return Backtest(
        since_ms=since_ms, until_ms=until_ms, verdicts=verdicts.count, alerts=alerts, suggestions=suggestions
    )


class _Counted:
    """Pages of verdicts, and how many there were of which time once they have been gone through."""

    def __init__(self, pages: Iterable[Sequence[JudgedVerdict]]) -> None:
        self._pages = pages
        self.count, self.first_ms, self.last_ms = 0, 0, 0

    def __iter__(self) -> Any:
        for page in self._pages:
            self.first_ms = self.first_ms or page[0].event_time_ms
            self.count, self.last_ms = self.count + len(page), page[-1].event_time_ms
            yield page


def backtest_json(found: Backtest) -> dict[str, Any]:
    """The object that `backtest --json` prints."""
    return asdict(found)


def backtest_tables(found: Backtest) -> list[RenderableType]:
    """What came of it, for a terminal."""
    head = f"{found.verdicts:,} verdicts from {moment_text(found.since_ms)} to {moment_text(found.until_ms)} UTC"
    rows = [
        (
            each.scorer,
            each.segment,
            moment_text(each.onset_ms)[:-3],
            moment_text(each.fired_ms)[:-3],
            moment_text(each.resolved_ms)[:-3] or "still stands",
            f"{each.reference:.3f}",
            _TOLD_AS[each.severity] if each.told else "with all",
        )
        for each in found.alerts
    ]
    columns = ("scorer", "segment", "since (UTC)", "fired", "resolved", "held to", "told")
    shown = [Text(head), plain_table("Regressions that would have fired", columns, rows)]
    if found.suggestions is not None:
        targets_tried = [
            (
                each.scorer,
                f"{each.target:.2f}",
                f"{each.rate:.3f}",
                f"{each.lower:.3f}",
                f"{each.verdicts:,}",
                f"{each.pages_a_month:.1f}",
                f"{each.tickets_a_month:.1f}",
            )
            for each in found.suggestions
        ]
        tried = ("scorer", "target", "pass rate", "at least (95 %)", "verdicts", "pages", "tickets")
        shown.append(plain_table("Targets, and what each would have cost a month", tried, targets_tried))
    return shown
