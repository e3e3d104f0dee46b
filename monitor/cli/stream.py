"""Commands that put messages into the stream, and set where it is read from."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from monitor.cli.application import WRONG, AsJson, ConfigFiles, Reasons, Since, Until, app, ask, errors, load

if TYPE_CHECKING:
    from monitor.commands.replay import Wanted


@app.command()
def publish(
    config: ConfigFiles,
    events: Annotated[
        Path, typer.Argument(metavar="EVENTS.jsonl", help="One event a line.", exists=True, dir_okay=False)
    ],
) -> None:
    """Send each line of a file to the stream's topic, byte for byte.

    Example: `tracewatch publish -c tracewatch.yaml events.jsonl`
    """
    loaded = load(config)
    if loaded.source.kind != "kafka":
        errors().print(f"publish needs `source.kind: kafka`, not {loaded.source.kind!r}", style="red", markup=False)
        raise typer.Exit(WRONG)
    from rich.progress import Progress  # noqa: PLC0415

    from consumers.kafka_publish import publish_lines  # noqa: PLC0415 - kafka takes a while to import

    with events.open("rb") as lines:
        total = sum(1 for line in lines if line.rstrip(b"\r\n"))
        lines.seek(0)
        with Progress(console=errors(), transient=True) as progress:
            task = progress.add_task(f"to {loaded.source.topic}", total=total)
            sent = publish_lines(loaded.source, lines, lambda done: progress.update(task, completed=done))
    typer.echo(f"published {sent} events to {loaded.source.topic}")


@app.command()
def replay(
    config: ConfigFiles,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A dead-letter topic, an archive file, or the stream's own topic.")
    ],
    *,
    reason: Reasons = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Send at most so many.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what would be a dead letter again, and what was replayed before.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take messages in again after a fix; each gets the header `tracewatch-replay` with its first position.

    Doing it twice doubles nothing: what is known by its trace id is counted as a duplicate.

    Example: `tracewatch replay -c tracewatch.yaml traces.dead-letter --reason too_large --dry-run`

    Example, a stretch of the stream itself: `tracewatch replay -c tracewatch.yaml traces --since 2h --until 1h`
    """
    loaded = load(config)
    from functools import partial  # noqa: PLC0415

    from monitor.clock import SystemClock  # noqa: PLC0415
    from monitor.commands.letter_tables import summary_lines  # noqa: PLC0415
    from monitor.commands.replay import Replay, ReplaySummary, messages_of  # noqa: PLC0415 - kafka is slow to import
    from monitor.daemon import assembly  # noqa: PLC0415

    wanted = _wanted(reason, since, until, limit=limit, everything=everything)
    summary = ReplaySummary(source=source, topic=loaded.source.topic, dry_run=dry_run)
    decode = partial(assembly.decode_with, loaded.source, SystemClock())
    work = Replay(loaded.source, decode, partial(assembly.is_ours, loaded.source.where), wanted, summary)
    messages = messages_of(loaded.source, source, wanted)
    try:
        with errors().status(f"reading {source}") as shown:
            work.run(messages, lambda found: shown.update(f"{found:,} messages of {source}"))
    finally:
        if as_json:
            typer.echo(json.dumps(summary.as_json()))
        else:
            Console(highlight=False).print(*summary_lines(summary), sep="\n")


@app.command("dead-letters")
def dead_letters(
    config: ConfigFiles,
    *,
    reason: Reasons = None,
    since: Since = None,
    until: Until = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each letter as a line of an archive, which `replay` takes.")
    ] = False,
) -> None:
    """Show how many dead letters there are, by reason; or write them to an archive.

    Example: `tracewatch dead-letters -c tracewatch.yaml --since 7d --json > letters.jsonl`
    """
    loaded = load(config)
    from consumers.archive_file import archive_line  # noqa: PLC0415
    from consumers.replayable import replayable  # noqa: PLC0415
    from monitor.commands.letter_tables import letter_table  # noqa: PLC0415
    from monitor.commands.replay import messages_of  # noqa: PLC0415 - kafka is slow to import

    wanted = _wanted(reason, since, until)
    found = messages_of(loaded.source, loaded.source.dead_letters, wanted)
    letters = (message for message in found if wanted.takes(replayable(message)))
    if not as_json:
        Console(highlight=False).print(letter_table(letters))
        return
    for letter in letters:
        typer.echo(archive_line(letter))


@app.command()
def reset(
    config: ConfigFiles,
    *,
    to: Annotated[str, typer.Option(metavar="beginning|end|OFFSET", help="Where to go on from.")],
    partition: Annotated[int | None, typer.Option(min=0, help="Only this partition; all of them if left out.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Set the positions of the topic anew, in the ledger and in Kafka, after it was made anew or cut.

    The ledger's counts stay. What is passed over is neither received nor lost; what is read again repeats no effect.

    Example: `tracewatch reset -c tracewatch.yaml --to beginning`
    """
    loaded = load(config)
    from monitor.commands.reset import plan_reset, reset_table  # noqa: PLC0415 - kafka takes a while to import
    from monitor.commands.reset import reset as set_anew  # noqa: PLC0415
    from monitor.ledger import open_configured  # noqa: PLC0415 - sqlalchemy takes a while to import

    ledger = open_configured(loaded.ledger)
    try:
        steps = plan_reset(loaded.source, ledger.positions, to, partition)
        Console(highlight=False).print(reset_table(loaded.source.topic, steps))
        if not yes:
            ask("set these positions?")
        set_anew(loaded.source, ledger.positions, steps)
    finally:
        ledger.close()
    typer.echo(f"group {loaded.source.group_id} goes on from the new positions")


def _wanted(
    reasons: list[str] | None,
    since: str | None,
    until: str | None,
    *,
    limit: int | None = None,
    everything: bool = False,
) -> "Wanted":
    from monitor.clock import SystemClock  # noqa: PLC0415
    from monitor.commands.moments import moment_ms  # noqa: PLC0415
    from monitor.commands.replay import Wanted  # noqa: PLC0415 - kafka takes a while to import

    now_ms = SystemClock().now_ms()
    return Wanted(
        reasons=frozenset(reasons or ()),
        since_ms=moment_ms("--since", since, now_ms),
        until_ms=moment_ms("--until", until, now_ms),
        limit=limit,
        everything=everything,
    )
