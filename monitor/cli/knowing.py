"""Commands that tell what the daemon knows."""

import json
from typing import Annotated

import typer
from rich.console import Console

from monitor.cli.application import NO, AsJson, ConfigFiles, app, load
from monitor.printable import Printable


@app.command()
def status(config: ConfigFiles) -> None:
    """Show what the daemon knows: positions, accounting, pass rates, alerts, dataset, jobs and comparisons.

    Example: `tracewatch status -c tracewatch.yaml`
    """
    loaded = load(config)
    from monitor.clock import SystemClock  # noqa: PLC0415
    from monitor.commands.status import status_tables  # noqa: PLC0415
    from monitor.ledger import open_configured  # noqa: PLC0415 - sqlalchemy takes a while to import

    ledger = open_configured(loaded.ledger)
    try:
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
