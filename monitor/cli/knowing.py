"""Commands that tell what the daemon knows."""

import json
from typing import Annotated

import typer
from rich.console import Console

from monitor.cli.application import NO, AsJson, ConfigFiles, app, load
from monitor.printable import Printable


@app.command()
def status(config: ConfigFiles, *, as_json: AsJson = False) -> None:
    """Show what the daemon knows: positions, accounting, pass rates, judges, alerts, dataset, jobs and comparisons.

    Example: `tracewatch status -c tracewatch.yaml`
    """
    loaded = load(config)
    from monitor.clock import SystemClock  # noqa: PLC0415
    from monitor.commands.status import status_json, status_tables  # noqa: PLC0415
    from monitor.ledger import open_configured  # noqa: PLC0415 - sqlalchemy takes a while to import

    ledger = open_configured(loaded.ledger)
    try:
        if as_json:
            typer.echo(json.dumps(status_json(loaded, ledger, SystemClock())))
        else:
            Console().print(*map(Printable, status_tables(loaded, ledger, SystemClock())), sep="\n")
    finally:
        ledger.close()


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
    loaded = load(config)
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
def backtest(
    config: ConfigFiles,
    since: Annotated[str, typer.Option("--since", help="From when: a date, a time, or 30d for so long ago.")],
    until: Annotated[str | None, typer.Option("--until", help="Up to when; now if left out.")] = None,
    *,
    suggest: Annotated[
        bool, typer.Option("--suggest", help="Propose targets, with the pages a month that each would have cost.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run the alert settings over the verdicts in the ledger, and show when they would have paged.

    Example: `tracewatch backtest -c tracewatch.yaml --since 30d --suggest`
    """
    loaded = load(config)
    from monitor.clock import SystemClock  # noqa: PLC0415
    from monitor.commands.backtest import backtest as run  # noqa: PLC0415 - mlflow takes seconds to import
    from monitor.commands.backtest import backtest_json, backtest_tables  # noqa: PLC0415
    from monitor.commands.moments import moment_ms  # noqa: PLC0415
    from monitor.ledger import open_configured  # noqa: PLC0415

    now_ms = SystemClock().now_ms()
    since_ms, until_ms = moment_ms("--since", since, now_ms), moment_ms("--until", until, now_ms)
    ledger = open_configured(loaded.ledger)
    try:
        found = run(loaded, ledger, since_ms or 0, until_ms or now_ms, suggest=suggest)
    finally:
        ledger.close()
    if as_json:
        typer.echo(json.dumps(backtest_json(found)))
    else:
        Console().print(*map(Printable, backtest_tables(found)), sep="\n")
