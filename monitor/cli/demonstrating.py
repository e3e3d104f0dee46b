"""Commands for a demo whose services run elsewhere, as in deploy/compose: its traffic and its model."""

import signal
from typing import Annotated

import typer

from monitor.cli.application import WRONG, ConfigFiles, app, errors, load


@app.command("demo-traffic", hidden=True)
def demo_traffic(
    config: ConfigFiles,
    *,
    rate: Annotated[str, typer.Option(metavar="N/s", help="Requests: 2/s, 30/m, 100/h.")] = "1/s",
    version: Annotated[str, typer.Option(help="The version that answers: v1, v1.1 (the bad one), v2.")] = "v1",
    bad_after: Annotated[
        str, typer.Option(metavar="TIME|never", help="When v1.1 takes over, from the first answer on: 10m.")
    ] = "never",
    seed: Annotated[int | None, typer.Option(help="For the same requests each time; random if left out.")] = None,
) -> None:
    """Let the demo's e-mail application answer requests, and publish its traces to the stream, until SIGTERM or Ctrl-C.

    Example: `tracewatch demo-traffic -c tracewatch.yaml --rate 2/s --bad-after 10m`
    """
    loaded = load(config)
    if loaded.source.kind != "kafka":
        errors().print(f"demo-traffic needs `source.kind: kafka`, not {loaded.source.kind!r}", style="red")
        raise typer.Exit(WRONG)
    import random  # noqa: PLC0415
    from functools import partial  # noqa: PLC0415

    from monitor.clock import SystemClock, parse_duration  # noqa: PLC0415
    from monitor.demo.traffic import TrafficPlan, parse_rate, send_traffic  # noqa: PLC0415 - mlflow is slow to import
    from monitor.replica.shutdown import stop_on_signals  # noqa: PLC0415

    try:
        bad = None if bad_after == "never" else parse_duration(bad_after)
    except ValueError as error:
        raise typer.BadParameter(f"--bad-after {bad_after!r}: {error}") from None
    chosen = random.randrange(10**6) if seed is None else seed  # noqa: S311 - traffic, no secret
    plan = TrafficPlan(per_s=parse_rate(rate), version=version, bad_after=bad, seed=chosen)
    with stop_on_signals(signal.SIGTERM, signal.SIGINT) as stop:
        sent = send_traffic(loaded.source, plan, stop, SystemClock(), partial(typer.echo, err=True))
    typer.echo(f"published {sent} traces to {loaded.source.topic}", err=True)


@app.command("demo-endpoint", hidden=True)
def demo_endpoint(
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8080,
) -> None:
    """Serve the scripted, OpenAI-compatible model of the demo until SIGTERM or Ctrl-C.

    Example: `tracewatch demo-endpoint --host 0.0.0.0 --port 8080`
    """
    from monitor.demo.scripted_endpoint import ScriptedEndpoint  # noqa: PLC0415
    from monitor.replica.shutdown import stop_on_signals  # noqa: PLC0415

    with stop_on_signals(signal.SIGTERM, signal.SIGINT) as stop, ScriptedEndpoint(host=host, port=port) as endpoint:
        typer.echo(endpoint.base_url)
        stop.wait()
