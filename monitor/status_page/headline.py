"""The page's one sentence: the worst that is known, and never a good word on what is not."""

from dataclasses import dataclass

from monitor.status_page.view import PageView, Tone
from monitor.status_page.words import counted, duration, listed


@dataclass(frozen=True, kw_only=True, slots=True)
class Headline:
    """What the page says first."""

    tone: Tone
    words: str
    detail: str


def headline_of(view: PageView) -> Headline:
    """The headline of a page."""
    return _ledger(view) or _alarm(view) or _service(view) or _knowledge(view)


def _ledger(view: PageView) -> Headline | None:
    if view.age_s is None:
        return Headline(
            tone="open",
            words="Nothing is known yet",
            detail="The ledger, which alone knows it, has not answered so far.",
        )
    if view.stale:
        silent = duration(view.age_s)
        return Headline(
            tone="warn", words=f"The ledger has been silent for {silent}", detail=f"What follows is {silent} old."
        )
    return None


def _alarm(view: PageView) -> Headline | None:
    series = _states(view)
    if number := view.counts.get("regressed", 0):
        words = "1 series has regressed" if number == 1 else f"{number} series have regressed"
        return Headline(tone="bad", words=words, detail=series)
    if firing := view.firing:
        words = "1 alert fires" if firing == 1 else f"{firing} alerts fire"
        return Headline(tone="bad" if view.paging else "warn", words=words, detail=series)
    return None


def _service(view: PageView) -> Headline | None:
    down = [each.name for each in view.dependencies if not each.up]
    if not down:
        return None
    verb = "does" if len(down) == 1 else "do"
    words = f"{listed(down)} {verb} not answer"
    return Headline(tone="warn", words=words[:1].upper() + words[1:], detail="The daemon waits, and goes on by itself.")


def _knowledge(view: PageView) -> Headline:
    watched = [scorer for scorer in view.scorers if not scorer.whole.shadow]
    unknown = [scorer.whole.scorer for scorer in watched if scorer.state == "unknown"]
    learning = [scorer.whole.scorer for scorer in watched if scorer.state == "learning"]
    detail = _states(view)
    if not watched:
        return Headline(tone="open", words="Nothing is watched", detail="No scorer alerts anybody.")
    if len(unknown) == len(watched):
        return Headline(tone="open", words="It is not known whether quality is good", detail=detail)
    if unknown:
        return Headline(
            tone="open", words=f"{len(unknown)} of {counted(len(watched), 'scorer')} unknown", detail=detail
        )
    if learning:
        return Headline(
            tone="learning",
            words=f"{len(learning)} of {counted(len(watched), 'scorer')} still learning",
            detail=detail,
        )
    words = "The one scorer is good" if len(watched) == 1 else f"All {len(watched)} scorers are good"
    return Headline(tone="good", words=words, detail=detail)


def _states(view: PageView) -> str:
    total = sum(view.counts.values())
    shares = [f"{number:,} {state}" for state, number in view.counts.items() if number]
    return f"{total:,} series: {listed(shares)}." if total else "No series has a verdict yet."
