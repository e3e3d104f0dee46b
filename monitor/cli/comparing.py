"""Commands that compare versions."""

import contextlib
import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from monitor.cli.application import MASK, NO, UNREACHABLE, AsJson, ConfigFiles, FailOnRegression, app, errors, load
from monitor.printable import Printable, printable

if TYPE_CHECKING:
    from monitor.config import Config


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
    loaded = load(config)
    if as_json and candidate is None:
        candidate = _only_candidate(loaded)
    from monitor.daemon import evaluate_once  # noqa: PLC0415 - mlflow takes seconds to import
    from monitor.evaluation.progress import EvaluationBar  # noqa: PLC0415
    from monitor.logs import LogSettings, set_up_logs  # noqa: PLC0415

    set_up_logs(LogSettings(format=loaded.log.format, level="warning"), mask=MASK)
    versions = 0 if loaded.evaluation is None else 2 if candidate else len(loaded.evaluation.versions)
    with contextlib.redirect_stdout(sys.stderr), EvaluationBar(errors(), versions) as bar:
        result = evaluate_once(loaded, candidate, bar)
    for version, cause in result.unavailable.items():
        errors().print(printable(MASK(f"version {version} could not be run: {cause}")), style="red", markup=False)
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
        from monitor.evaluation.comparison import compare_runs  # noqa: PLC0415 - mlflow is slow
        from monitor.evaluation.comparison_json import comparison_json  # noqa: PLC0415
        from monitor.evaluation.mlflow_runs import load_run  # noqa: PLC0415
        from monitor.tracking.connection import apply_client_limits  # noqa: PLC0415

        apply_client_limits()
        runs = [load_run(run_id, tracking_uri) for run_id in (baseline_run, candidate_run)]
        comparison = comparison_json(compare_runs(*runs, margin=margin))
    _show(comparison, as_json=as_json)
    if fail_on_regression and comparison["regressed"]:
        raise typer.Exit(NO)


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
