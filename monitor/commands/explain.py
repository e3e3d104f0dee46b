"""One trace's whole story on the terminal, from the ledger and the configuration."""

import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from consumers.events import mlflow_trace_id
from monitor.commands.moments import moment_text
from monitor.commands.trace_story import Asked, Evidence, Story, SubjectStory, WouldBe, story_of
from monitor.config import Config
from monitor.ledger import Ledger

_MINUTE_MS = 60_000


def explain(config: Config, ledger: Ledger, asked_for: str, *, with_content: bool = False) -> Story:
    """The story of a trace by MLflow's id or by the application's own.

    Raises:
        LedgerUnavailable: the ledger does not answer.
    """
    rates: dict[str, float | None] = {each.name: each.rate for each in config.scorers}
    if config.dataset is not None:
        rates[f"dataset:{config.dataset.name}"] = config.dataset.rate
    evidence = _evidence(config, ledger, mlflow_trace_id(asked_for))
    return story_of(asked_for, evidence, Asked(sampling=config.sampling, rates=rates, with_content=with_content))


def _evidence(config: Config, ledger: Ledger, trace_id: str) -> Evidence:
    trace = ledger.intake.trace_of(trace_id)
    decisions = ledger.intake.decisions_of(trace_id)
    members = {
        each.subject: ledger.members.find(each.subject.removeprefix("dataset:"), trace.inputs_digest)
        for each in decisions
        if trace is not None and each.subject.startswith("dataset:")
    }
    # The factor is that of the minute of the Kafka record, which the ledger does not keep: mostly the same one.
    minute = None if trace is None else trace.event_time_ms // _MINUTE_MS
    factors = {
        each.name: factor
        for each in config.scorers
        if minute is not None and (factor := ledger.budget.known_factor(each.name, minute)) is not None
    }
    return Evidence(
        trace_id=trace_id,
        trace=trace,
        decisions=decisions,
        verdicts=ledger.intake.verdicts_of(trace_id),
        members=members,
        factors=factors,
        positions=ledger.positions.all(),
        labels=ledger.labels.of(trace_id),
    )


def story_json(story: Story, config: Config) -> dict[str, Any]:
    """One object for programs; what is not known is null."""
    return asdict(story) | {"mlflow": {"tracking_uri": _address(config), "experiment": config.experiment}}


def story_lines(story: Story, config: Config) -> Iterator[RenderableType]:
    """The story for a terminal of 80 columns. All of it is plain text: markup in ids and names stays as it is."""
    yield Text(f"trace {story.trace_id}", style="bold")
    if story.source_id is not None and story.source_id != story.trace_id:
        yield Text(f"source id   {story.source_id}")
    origin = story.origin
    if origin is not None:
        place = f"{origin.topic}[{origin.partition}]@{origin.offset}"
        facts = ", ".join(each for each in (origin.name, origin.app_version, origin.status) if each)
        yield Text(f"came from   {place}, {moment_text(origin.event_time_ms)} UTC{', ' if facts else ''}{facts}")
        yield Text(f"MLflow      experiment {config.experiment} at {_address(config)}")
    yield Text(f"its number  {story.uniform:.4f}: kept where the probability is larger\n")
    yield _subjects(story.subjects)
    yield Text()
    for note in story.notes:
        yield Text(note)
    if origin is None:
        yield Text()
        yield _watermarks(story)


def _subjects(subjects: tuple[SubjectStory, ...]) -> Table:
    table = _table("for", "decision", "outcome")
    for each in subjects:
        table.add_row(Text(each.subject), Text(_decision(each)), Text(_outcome(each)))
    return table


def _decision(story: SubjectStory) -> str:
    budget = "" if story.budget_factor is None else f"; budget factor of its minute {story.budget_factor:.3g}"
    if story.would_be:
        return "; ".join(_would_be(each) for each in story.would_be) + budget
    if story.probability is None:
        return ""
    return f"{'kept' if story.kept else 'left out'}, probability {story.probability:.3g} ({story.reason}){budget}"


def _would_be(each: WouldBe) -> str:
    condition = "if no rule applies" if each.when in ("rate", "budget") else f"if {each.when} applies"
    return f"{condition}: would be {'kept' if each.kept else 'left out'}, probability {each.probability:.3g}"


def _outcome(story: SubjectStory) -> str:
    verdict = story.verdict
    if verdict is None:
        return story.words
    value = "" if verdict.value is None else f" {verdict.value:.3g}"
    judged = (
        f"judged {moment_text(verdict.judged_at_ms)} UTC in {verdict.duration_s:.1f} s by version {verdict.version}"
    )
    quoted = (text for text in (verdict.error, verdict.rationale) if text)
    return "\n".join((f"{verdict.label}{value}, {judged}; {story.words}", *quoted))


def _watermarks(story: Story) -> RenderableType:
    if not story.watermarks:
        return Text("No partition was ever opened: the daemon has not run yet.")
    table = _table("partition", "next offset", "lost to retention")
    for each in story.watermarks:
        table.add_row(Text(f"{each.topic}[{each.partition}]"), f"{each.next_offset:,}", f"{each.lost:,}")
    return table


def _table(*columns: str) -> Table:
    table = Table(header_style="bold", box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _address(config: Config) -> str:
    """MLflow's address without user and password."""
    return re.sub(r"(?<=://)[^/]*@", "", config.mlflow.tracking_uri).partition("?")[0]
