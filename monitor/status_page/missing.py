"""What a daemon does not have yet, and what to do about it. Pure."""

from collections.abc import Iterator
from typing import Final

from monitor.overview import Overview
from monitor.status_page.facts import Asked, Own
from monitor.status_page.view import Missing
from monitor.status_page.words import listed

_NAMED: Final = 5


def missing_of(asked: Asked, own: Own, known: Overview | None) -> Iterator[Missing]:
    """In the order in which it is needed. `known` is None as long as the ledger has said nothing."""
    yield from _services(own)
    if known is None:
        return
    received = sum(row.received for row in known.positions)
    if received == 0:
        yield from _no_events(asked)
    elif not any(row.outcome == "scored" for row in known.accounted):
        yield Missing(
            what="No event has been judged yet.",
            todo="Sampling keeps only a part of the events: `sampling.rate` says how many. A judge that is away, or a "
            "budget that is used up, puts verdicts off. One trace's story tells which it is:",
            command="tracewatch explain -c tracewatch.yaml TRACE_ID",
        )
    yield from _no_targets(asked)
    yield from _no_comparison(asked, known)


def _services(own: Own) -> Iterator[Missing]:
    down = [name for name, each in own.dependencies.items() if not each.up]
    if down:
        verb = "does" if len(down) == 1 else "do"
        yield Missing(
            what=f"{listed(down)} {verb} not answer.",
            todo="The daemon waits and goes on by itself. Every connection, and what is wrong with it:",
            command="tracewatch check -c tracewatch.yaml",
        )


def _no_events(asked: Asked) -> Iterator[Missing]:
    if not asked.reads_kafka:
        yield Missing(what=f"No event has come from {asked.stream}.", todo="`source.path` names the file to read.")
        return
    yield Missing(
        what=f"No event has come from the topic {asked.stream}.",
        todo="Let the application send its traces there, or send some by hand:",
        command="tracewatch publish -c tracewatch.yaml events.jsonl",
    )


def _no_targets(asked: Asked) -> Iterator[Missing]:
    without = [each.name for each in asked.scorers if each.target is None and not each.shadow]
    if without:
        names = listed(without if len(without) <= _NAMED else [*without[:_NAMED], f"{len(without) - _NAMED} more"])
        yield Missing(
            what=f"Nothing says what is good for {names}.",
            todo="Give the scorer a `target`, the pass rate that it should have, 0.9 for example.",
        )


def _no_comparison(asked: Asked, known: Overview) -> Iterator[Missing]:
    if not asked.candidates or known.comparisons:
        return
    verb = "has" if len(asked.candidates) == 1 else "have"
    yield Missing(
        what=f"{listed(list(asked.candidates))} {verb} not been compared yet.",
        todo="The schedule will do it. Or now:",
        command="tracewatch evaluate -c tracewatch.yaml",
    )
