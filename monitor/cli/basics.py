"""Commands around the daemon itself: begin, check, run, migrate, show it all."""

import json
import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from monitor.cli.application import MASK, NO, UNREACHABLE, WRONG, AsJson, ConfigFiles, app, errors, load
from monitor.printable import printable

_DEFAULT_FILE = Path("tracewatch.yaml")


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
        errors().print(f"{path} exists already and is left as it is", style="red", markup=False)
        raise typer.Exit(WRONG) from None
    typer.echo(f"wrote {path}; next: tracewatch check -c {path}")


@app.command()
def run(config: ConfigFiles) -> None:
    """Run the daemon until SIGTERM or Ctrl-C; what is in hand is finished first.

    Example: `tracewatch run -c tracewatch.yaml -c production.yaml`
    """
    loaded = load(config)
    from monitor.daemon import run_daemon  # noqa: PLC0415 - mlflow takes seconds to import
    from monitor.logs import set_up_logs  # noqa: PLC0415

    raise typer.Exit(run_daemon(loaded, set_up_logs(loaded.log, mask=MASK)))


@app.command()
def check(config: ConfigFiles) -> None:
    """Validate the configuration, try every connection, and print the most judge calls a month. Exit 1 if one fails.

    Warns of scorers whose tests are slow because of their sampling.

    Example: `tracewatch check -c tracewatch.yaml`
    """
    loaded = load(config)
    from monitor.clock import SystemClock  # noqa: PLC0415
    from monitor.commands.alert_links import dead_links  # noqa: PLC0415
    from monitor.commands.checks import run_checks  # noqa: PLC0415
    from monitor.commands.judge_calls import judge_calls_a_month  # noqa: PLC0415
    from monitor.commands.slow_tests import slow_tests  # noqa: PLC0415

    console = Console(soft_wrap=True, highlight=False)
    failed = judges = 0
    for result in run_checks(loaded):
        failed += not result.passed
        # A scorer that cannot be built may turn out to be a judge: the worst case counts it.
        judges += result.name.startswith("scorer ") and not result.words.startswith("code")
        sign = "[green]ok    [/green]" if result.passed else "[red]FAILED[/red]"
        console.print(sign, end=" ")
        console.print(printable(MASK(f"{result.name}: {result.words}")), markup=False)
    for line in [*slow_tests(loaded, SystemClock()), *dead_links(loaded)]:
        console.print("[yellow]warning[/yellow]", end=" ")
        console.print(printable(MASK(line)), markup=False)
    for line in judge_calls_a_month(loaded, judges):
        console.print(f"worst case, {line}", markup=False)
    if failed:
        raise typer.Exit(NO)


@app.command("page-test")
def page_test(
    config: ConfigFiles,
    *,
    within: Annotated[float, typer.Option(min=1.0, help="Seconds that a receiver may take.")] = 60.0,
    hold: Annotated[
        str, typer.Option(metavar="TIME", help="How long an Alertmanager's fires; its group_wait has to be shorter.")
    ] = "60s",
) -> None:
    """Send a test alert to every receiver, wait until it is accepted, and resolve it. Exit 3 if one is not reached.

    At an Alertmanager it fires for a while, as one that ends within `group_wait` is told to nobody; Ctrl-C ends it.

    Example: `tracewatch page-test -c tracewatch.yaml --hold 90s`
    """
    loaded = load(config)
    from monitor.clock import SystemClock, parse_duration  # noqa: PLC0415
    from monitor.commands.page_test import Hold  # noqa: PLC0415
    from monitor.commands.page_test import page_test as tests_of  # noqa: PLC0415 - httpx and MLflow are slow to import
    from monitor.replica.shutdown import stop_on_signals  # noqa: PLC0415

    try:
        held = parse_duration(hold)
    except ValueError as error:
        raise typer.BadParameter(f"--hold {hold!r}: {error}") from None
    if not loaded.alerts.receivers:
        errors().print("alerts.receivers names nobody: there is nobody to tell", style="red", markup=False)
        raise typer.Exit(WRONG)
    console = Console(soft_wrap=True, highlight=False)
    missed = 0
    with stop_on_signals(signal.SIGTERM, signal.SIGINT) as stop:
        waiting = Hold(time=held, stop=stop, say=lambda words: typer.echo(printable(MASK(words)), err=True))
        for result in tests_of(loaded, SystemClock(), within, waiting):
            missed += not result.reached
            console.print("[green]ok    [/green]" if result.reached else "[red]FAILED[/red]", end=" ")
            console.print(printable(MASK(f"receiver {result.name}: {result.words}")), markup=False)
    if loaded.alerts.mode == "observe":
        console.print("alerts.mode is `observe`: the daemon itself tells nobody", markup=False)
    if missed:
        raise typer.Exit(UNREACHABLE)


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

    raise typer.Exit(tell(once=once, as_json=as_json, console=errors() if as_json else Console()))


@app.command()
def migrate(
    config: ConfigFiles,
    *,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 1 if a migration is pending.")] = False,
) -> None:
    """Bring the ledger's schema to the newest revision. The daemon does it itself unless `ledger.migrate: manual`.

    Example: `tracewatch migrate -c tracewatch.yaml --check`
    """
    loaded = load(config)
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
