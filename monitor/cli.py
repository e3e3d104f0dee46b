"""The command line. Commands import what they need when they run, so that `--help` answers at once."""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer
from rich.console import Console

from consumers.errors import ConsumersError, SourceUnavailable
from monitor.errors import MonitorError, ServiceUnavailable
from monitor.evaluation.errors import CandidateUnavailable, EvaluatorFailed
from monitor.masking import Mask
from monitor.printable import Printable, printable
from scorers.errors import JudgeUnavailable, ScorerError

if TYPE_CHECKING:
    from monitor.commands.replay import Wanted
    from monitor.config import Config

NO: Final = 1
WRONG: Final = 2
UNREACHABLE: Final = 3

_AWAY = (ServiceUnavailable, SourceUnavailable, JudgeUnavailable, CandidateUnavailable, EvaluatorFailed)
_DEFAULT_FILE = Path("tracewatch.yaml")
# What a command says goes through it; it knows the secrets as soon as a configuration is loaded.
_MASK: Final = Mask()

app = typer.Typer(
    name="tracewatch",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
    help=(
        "Watch the quality of a GenAI application in production: traces from Kafka are judged with MLflow scorers, "
        "candidate versions are compared on them, and regressions become metrics and alerts.\n\n"
        "New here? `tracewatch demo` shows all of it on your machine. Then `tracewatch init`, "
        "`tracewatch check -c tracewatch.yaml`, `tracewatch run -c tracewatch.yaml`.\n\n"
        "Exit codes: 0 done, 1 the answer is no, 2 the command line or configuration is wrong, "
        "3 a service could not be reached."
    ),
)

ConfigFiles = Annotated[
    list[Path], typer.Option("-c", "--config", metavar="FILE", help="Configuration; may repeat, later files win.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, and nothing else.")]
FailOnRegression = Annotated[bool, typer.Option("--fail-on-regression", help="Exit 1 if a candidate regressed.")]
Reasons = Annotated[list[str] | None, typer.Option(metavar="SLUG", help="Only letters with this reason; may repeat.")]
Since = Annotated[str | None, typer.Option(metavar="TIME", help="From then on: ISO 8601, or 2h for 2 hours ago.")]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Before then, written in the same way.")]


def main() -> NoReturn:
    """Run the command line and exit. Everything that is wrong on purpose is one clear message, never a traceback."""
    # Users' scorers and versions lie in the working directory, which an installed script does not have on its path.
    if (here := os.getcwd()) not in sys.path and "" not in sys.path:  # noqa: PTH109 - sys.path holds texts
        sys.path.insert(0, here)
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    try:
        app()
    except _AWAY as error:
        _complain(error)
        sys.exit(UNREACHABLE)
    except (MonitorError, ConsumersError, ScorerError, OSError) as error:
        _complain(error)
        sys.exit(WRONG)
    sys.exit(0)


@app.command()
def init(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")] = _DEFAULT_FILE,
    name: Annotated[str, typer.Option("--app", help="Name of the application to watch.")] = "my-app",
) -> None:
    """Write a commented starting configuration; a file that exists is left as it is.

    Example: `tracewatch init tracewatch.yaml --app shop`
    """
    from monitor.commands.starting_file import write_starting_file  # noqa: PLC0415

    try:
        write_starting_file(path, name)
    except FileExistsError:
        _errors().print(f"{path} exists already and is left as it is", style="red", markup=False)
        raise typer.Exit(WRONG) from None
    typer.echo(f"wrote {path}; next: tracewatch check -c {path}")


@app.command()
def run(config: ConfigFiles) -> None:
    """Run the daemon until SIGTERM or Ctrl-C; what is in hand is finished first.

    Example: `tracewatch run -c tracewatch.yaml -c production.yaml`
    """
    loaded = _load(config)
    from monitor.daemon import run_daemon  # noqa: PLC0415 - mlflow takes seconds to import
    from monitor.logs import set_up_logs  # noqa: PLC0415

    raise typer.Exit(run_daemon(loaded, set_up_logs(loaded.log, mask=_MASK)))


@app.command()
def check(config: ConfigFiles) -> None:
    """Validate the configuration, try every connection, and print the most judge calls a month. Exit 1 if one fails.

    Example: `tracewatch check -c tracewatch.yaml`
    """
    loaded = _load(config)
    from monitor.commands.checks import run_checks  # noqa: PLC0415
    from monitor.commands.judge_calls import judge_calls_a_month  # noqa: PLC0415

    console = Console(soft_wrap=True, highlight=False)
    failed = judges = 0
    for result in run_checks(loaded):
        failed += not result.passed
        # A scorer that cannot be built may turn out to be a judge: the worst case counts it.
        judges += result.name.startswith("scorer ") and not result.words.startswith("code")
        sign = "[green]ok    [/green]" if result.passed else "[red]FAILED[/red]"
        console.print(sign, end=" ")
        console.print(printable(_MASK(f"{result.name}: {result.words}")), markup=False)
    for line in judge_calls_a_month(loaded, judges):
        console.print(f"worst case, {line}", markup=False)
    if failed:
        raise typer.Exit(NO)


@app.command()
def demo(
    *,
    once: Annotated[bool, typer.Option("--once", help="End by itself when the story is told.")] = False,
    as_json: AsJson = False,
) -> None:
    """Tell the whole story on this machine: a real Kafka, MLflow and a scripted model; nothing to configure.

    Example: `tracewatch demo --once`
    """
    from monitor.demo.story import tell  # noqa: PLC0415 - mlflow takes seconds to import

    raise typer.Exit(tell(once=once, as_json=as_json, console=_errors() if as_json else Console()))


@app.command()
def evaluate(
    config: ConfigFiles,
    *,
    candidate: Annotated[str | None, typer.Option(help="Only this version; all of them if left out.")] = None,
    as_json: AsJson = False,
    fail_on_regression: FailOnRegression = False,
) -> None:
    """Compare candidate versions with the baseline on the dataset, now.

    Example, as a gate before a deployment: `tracewatch evaluate -c tracewatch.yaml --candidate v2 --fail-on-regression`
    """
    loaded = _load(config)
    if as_json and candidate is None:
        candidate = _only_candidate(loaded)
    from monitor.daemon import evaluate_once  # noqa: PLC0415 - mlflow takes seconds to import
    from monitor.evaluation.progress import EvaluationBar  # noqa: PLC0415
    from monitor.logs import LogSettings, set_up_logs  # noqa: PLC0415

    set_up_logs(LogSettings(format=loaded.log.format, level="warning"), mask=_MASK)
    versions = 0 if loaded.evaluation is None else 2 if candidate else len(loaded.evaluation.versions)
    with contextlib.redirect_stdout(sys.stderr), EvaluationBar(_errors(), versions) as bar:
        result = evaluate_once(loaded, candidate, bar)
    for version, cause in result.unavailable.items():
        _errors().print(printable(_MASK(f"version {version} could not be run: {cause}")), style="red", markup=False)
    for comparison in result.comparisons.values():
        _show(comparison, as_json=as_json)
    if result.unavailable:
        raise typer.Exit(UNREACHABLE)
    if fail_on_regression and any(each["regressed"] for each in result.comparisons.values()):
        raise typer.Exit(NO)


@app.command()
def compare(
    baseline_run: Annotated[str, typer.Argument(help="MLflow run id of the baseline.")],
    candidate_run: Annotated[str, typer.Argument(help="MLflow run id of the candidate.")],
    *,
    tracking_uri: Annotated[
        str | None, typer.Option(help="Where the runs are; MLflow's own setting if left out.")
    ] = None,
    margin: Annotated[float, typer.Option(min=0.001, max=0.999, help="Difference that does not matter.")] = 0.05,
    as_json: AsJson = False,
    fail_on_regression: FailOnRegression = False,
) -> None:
    """Compare two MLflow evaluation runs row by row, whoever made them.

    Example: `tracewatch compare 1f0c... 9ab2... --tracking-uri http://127.0.0.1:5000`
    """
    with contextlib.redirect_stdout(sys.stderr):
        from monitor.evaluation.comparison import compare_runs, comparison_json  # noqa: PLC0415 - mlflow is slow
        from monitor.evaluation.mlflow_runs import load_run  # noqa: PLC0415
        from monitor.mlflow_connection import apply_client_limits  # noqa: PLC0415

        apply_client_limits()
        runs = [load_run(run_id, tracking_uri) for run_id in (baseline_run, candidate_run)]
        comparison = comparison_json(compare_runs(*runs, margin=margin))
    _show(comparison, as_json=as_json)
    if fail_on_regression and comparison["regressed"]:
        raise typer.Exit(NO)


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
    loaded = _load(config)
    if loaded.source.kind != "kafka":
        _errors().print(f"publish needs `source.kind: kafka`, not {loaded.source.kind!r}", style="red", markup=False)
        raise typer.Exit(WRONG)
    from rich.progress import Progress  # noqa: PLC0415

    from consumers.kafka_publish import publish_lines  # noqa: PLC0415 - kafka takes a while to import

    with events.open("rb") as lines:
        total = sum(1 for line in lines if line.rstrip(b"\r\n"))
        lines.seek(0)
        with Progress(console=_errors(), transient=True) as progress:
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
    loaded = _load(config)
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
        with _errors().status(f"reading {source}") as shown:
            work.run(messages, lambda found: shown.update(f"{found:,} messages of {source}"))
    finally:
        if as_json:
            typer.echo(json.dumps(summary.as_json()))
        else:
            Console(highlight=False).print(*summary_lines(summary), sep="\n")


@app.command()
def explain(
    config: ConfigFiles,
    trace_id: Annotated[str, typer.Argument(metavar="TRACE_ID", help="MLflow's id, or the application's own.")],
    *,
    content: Annotated[
        bool, typer.Option("--content", help="Show rationales and errors too: they may quote customers.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tell one trace's whole story: where it came from, each decision and why, each verdict or why there is none.

    Exit 1 if the ledger knows nothing of it; then what that may mean is shown.

    Example: `tracewatch explain -c tracewatch.yaml order-17`
    """
    loaded = _load(config)
    from monitor.commands.explain import explain as story_of  # noqa: PLC0415 - mlflow takes seconds to import
    from monitor.commands.explain import story_json, story_lines  # noqa: PLC0415
    from monitor.ledger import open_configured  # noqa: PLC0415

    ledger = open_configured(loaded.ledger)
    try:
        story = story_of(loaded, ledger, trace_id, with_content=content)
    finally:
        ledger.close()
    if as_json:
        typer.echo(json.dumps(story_json(story, loaded)))
    else:
        Console(highlight=False).print(*story_lines(story, loaded), sep="\n")
    if not story.known:
        raise typer.Exit(NO)


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
    loaded = _load(config)
    from monitor.commands.reset import plan_reset, reset_table  # noqa: PLC0415 - kafka takes a while to import
    from monitor.commands.reset import reset as set_anew  # noqa: PLC0415
    from monitor.ledger import open_configured  # noqa: PLC0415 - sqlalchemy takes a while to import

    ledger = open_configured(loaded.ledger)
    try:
        steps = plan_reset(loaded.source, ledger.positions, to, partition)
        Console(highlight=False).print(reset_table(loaded.source.topic, steps))
        if not yes:
            _ask("set these positions?")
        set_anew(loaded.source, ledger.positions, steps)
    finally:
        ledger.close()
    typer.echo(f"group {loaded.source.group_id} goes on from the new positions")


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
    loaded = _load(config)
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
def status(config: ConfigFiles) -> None:
    """Show what the daemon knows: positions, accounting, pass rates, alerts, dataset, jobs and comparisons.

    Example: `tracewatch status -c tracewatch.yaml`
    """
    loaded = _load(config)
    from monitor.clock import SystemClock  # noqa: PLC0415
    from monitor.commands.status import status_tables  # noqa: PLC0415
    from monitor.ledger import open_configured  # noqa: PLC0415 - sqlalchemy takes a while to import

    ledger = open_configured(loaded.ledger)
    try:
        Console().print(*map(Printable, status_tables(loaded, ledger, SystemClock())), sep="\n")
    finally:
        ledger.close()


@app.command()
def migrate(
    config: ConfigFiles,
    *,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 1 if a migration is pending.")] = False,
) -> None:
    """Bring the ledger's schema to the newest revision. The daemon does it itself unless `ledger.migrate: manual`.

    Example: `tracewatch migrate -c tracewatch.yaml --check`
    """
    loaded = _load(config)
    from monitor.clock import SystemClock  # noqa: PLC0415
    from monitor.commands.migration import migrate_ledger, pending_migration  # noqa: PLC0415 - sqlalchemy is slow

    if not check:
        typer.echo(migrate_ledger(loaded.ledger, SystemClock()))
        return
    pending, words = pending_migration(loaded.ledger)
    typer.echo(words)
    if pending:
        raise typer.Exit(NO)


@app.command("config-schema")
def config_schema() -> None:
    """Print the JSON Schema of the configuration, with every key's meaning and default, for editors.

    Example: `tracewatch config-schema > tracewatch.schema.json`
    """
    from monitor.config import config_schema as schema  # noqa: PLC0415

    typer.echo(json.dumps(schema(), indent=2))


def _load(paths: list[Path]) -> "Config":
    from monitor.config import load_config  # noqa: PLC0415 - half of the packages come with it
    from monitor.logs import mask_tracebacks  # noqa: PLC0415

    loaded = load_config(paths, os.environ)
    _MASK.learn(loaded, os.environ)
    mask_tracebacks(_MASK)
    return loaded


def _ask(question: str) -> None:
    """Go on after a yes; nobody to ask is a wrong command line, and a no is an answer."""
    if not sys.stdin.isatty():
        _errors().print("nobody is there to be asked: give --yes", style="red", markup=False)
        raise typer.Exit(WRONG)
    if not typer.confirm(question):
        raise typer.Exit(NO)


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


def _only_candidate(config: "Config") -> str | None:
    evaluation = config.evaluation
    candidates = [name for name in evaluation.versions if name != evaluation.baseline] if evaluation else []
    if len(candidates) > 1:
        message = f"--json prints one comparison: choose one of {', '.join(candidates)} with --candidate"
        raise typer.BadParameter(message)
    return candidates[0] if candidates else None


def _show(comparison: Any, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(comparison))
        return
    from monitor.evaluation.table import changed_rows, comparison_table  # noqa: PLC0415

    Console().print(Printable(comparison_table(comparison)), Printable(changed_rows(comparison)), sep="\n")


def _errors() -> Console:
    return Console(stderr=True, soft_wrap=True, highlight=False)


def _complain(error: Exception) -> None:
    text = printable(_MASK(str(error) or type(error).__name__), keep="\n")
    _errors().print(text, style="red", markup=False)
