"""The guide's story on the real daemon, act by act."""

import json
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from consumers.kafka_publish import publish_lines
from monitor.daemon import evaluate_once
from monitor.demo.production_requests import PRODUCTION_REQUESTS, Request, burst
from monitor.demo.stage import DATASET, Stage, set_stage
from monitor.evaluation.candidate import FunctionCandidate
from monitor.evaluation.evaluator import EvaluationResult, EvaluationRow
from monitor.evaluation.progress import EvaluationBar
from monitor.evaluation.settings import VersionSettings
from monitor.evaluation.table import changed_rows, comparison_table
from monitor.ledger.ledger import Ledger, open_ledger
from monitor.ledger.rows import AlertRow

_PATIENCE_S = 300.0
_LOOK_EVERY_S = 0.25
_BURST = 24
_APP = "monitor.demo.sales_email:generate_sales_email"
_APP_ENVIRONMENT = ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL")


class StoryStuck(Exception):
    """An act did not come to its end in time."""


def tell(*, once: bool, as_json: bool, console: Console) -> int:
    """Tell the story on `console`, and return the exit code.

    With `once` it ends by itself, else it stays up until Ctrl-C. With `as_json` the comparison is printed to standard
    output as one object, and nothing else is.
    """
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="tracewatch-demo-") as directory,
        set_stage(Path(directory), lambda line: console.print(f"[dim]{line}[/dim]")) as stage,
    ):
        result = _Acts(stage, console).play()
        if as_json:
            print(json.dumps(result.comparisons["v2"], indent=2))  # noqa: T201 - the command's answer
        console.print(f"\nTold in {time.monotonic() - started:.0f} s.")
        if not once:
            _stay(stage, console)
    return 0


class _Acts:
    """The acts, in their order. Each waits for what the daemon wrote in the ledger, never for a time."""

    def __init__(self, stage: Stage, console: Console) -> None:
        self._stage = stage
        self._console = console
        self._scorers = len(stage.config.scorers)

    def play(self) -> EvaluationResult:
        """All four acts; returns the evaluation."""
        self._title("1. Production: v1 of the e-mail app answers seven requests; its traces go through Kafka")
        self._answer_and_publish("v1", PRODUCTION_REQUESTS)
        ledger = self._open_ledger()
        try:
            self._title("2. The daemon judges every trace with eight scorers and builds the dataset")
            self._await_verdicts(ledger, len(PRODUCTION_REQUESTS))
            self._await_dataset(ledger)
            self._title("3. v2 is evaluated against v1 on that dataset, with the same scorers")
            result = self._evaluate()
            self._title("4. A bad release, v1.1, goes live: the daemon notices")
            self._answer_and_publish("v1_1", tuple(burst(_BURST)))
            self._await_verdicts(ledger, len(PRODUCTION_REQUESTS) + _BURST)
            self._await_alert(ledger)
        finally:
            ledger.close()
        return result

    def _title(self, text: str) -> None:
        self._console.print(f"\n[bold]{text}[/bold]")

    def _answer_and_publish(self, version: str, requests: Sequence[Request]) -> None:
        settings = VersionSettings(function=f"{_APP}_{version}", environment=_APP_ENVIRONMENT)
        application = FunctionCandidate(version, settings)
        rows = [EvaluationRow(inputs=dict(request.inputs)) for request in requests]
        traces: list[bytes] = []
        try:
            with self._bar("requests answered", len(rows)) as advance:
                for answer in application.answer(rows, run_id="production"):
                    if answer.trace_json is not None:
                        traces.append(answer.trace_json.encode())
                    advance(len(traces))
        finally:
            application.close()
        publish_lines(self._stage.config.source, traces)

    def _open_ledger(self) -> Ledger:
        return open_ledger(self._stage.config.ledger.url.get_secret_value())

    def _await_verdicts(self, ledger: Ledger, traces: int) -> None:
        def verdicts() -> int:
            return sum(each.count for each in ledger.figures.verdict_counts() if each.segment == "all")

        self._await("verdicts in the ledger", traces * self._scorers, verdicts)

    def _await_dataset(self, ledger: Ledger) -> None:
        def in_mlflow() -> int:
            return sum(row.record_id is not None for row in ledger.members.active(DATASET))

        self._await("records in the MLflow dataset", len(PRODUCTION_REQUESTS), in_mlflow)

    def _await_alert(self, ledger: Ledger) -> None:
        def firing() -> list[AlertRow]:
            alerts = ledger.alerts.open_alerts()
            return [alert for alert in alerts if alert.state == "firing" and alert.kind == "production_regression"]

        self._await("alert firing", 1, lambda: min(1, len(firing())))
        for alert in firing():
            details = alert.details
            self._console.print(
                f"[bold red]FIRING[/bold red] {alert.scorer} in {alert.segment}: pass rate {details['after']:.3f} "
                f"in {details['verdicts']} verdicts, held to {details['before']:.3f}; "
                f"first version {details['first_version']}"
            )

    def _await(self, what: str, total: int, count: Callable[[], int]) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        with self._bar(what, total) as advance:
            while (done := count()) < total:
                advance(done)
                self._stage.check_daemon()
                if time.monotonic() > deadline:
                    raise StoryStuck(f"{done} of {total} {what} after {_PATIENCE_S:.0f} s; see {self._stage.log_file}")
                time.sleep(_LOOK_EVERY_S)
            advance(total)

    def _evaluate(self) -> EvaluationResult:
        with EvaluationBar(self._console, versions=2) as bar:
            result = evaluate_once(self._stage.config, "v2", bar)
        comparison = result.comparisons["v2"]
        self._console.print(comparison_table(comparison))
        self._console.print(changed_rows(comparison))
        return result

    def _bar(self, what: str, total: int) -> "_Bar":
        return _Bar(self._console, what, total)


class _Bar:
    """A progress bar; entering it gives the function that sets how much is done."""

    def __init__(self, console: Console, what: str, total: int) -> None:
        columns = (SpinnerColumn(), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
        self._progress = Progress(*columns, TimeElapsedColumn(), console=console)
        self._task = self._progress.add_task(what, total=total)

    def __enter__(self) -> Callable[[int], None]:
        self._progress.start()
        return lambda done: self._progress.update(self._task, completed=done)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def _addresses(stage: Stage) -> Iterable[str]:
    http = stage.config.http
    yield f"status page  http://{http.host}:{http.port}/"
    yield f"metrics      http://{http.host}:{http.port}/metrics   (ready: /readyz)"
    yield f"MLflow UI    mlflow ui --port 5000 --backend-store-uri {stage.config.mlflow.tracking_uri}"
    yield f"status       tracewatch status -c {stage.config_file}"
    yield f"daemon's log {stage.log_file}"


def _stay(stage: Stage, console: Console) -> None:
    console.print("\n[bold]Still running; look at[/bold]")
    for line in _addresses(stage):
        console.print(f"  {line}", highlight=False, soft_wrap=True)
    console.print("Ctrl-C ends it.")
    try:
        stage.daemon.wait()
    except KeyboardInterrupt:
        console.print("Ending.")
    else:
        stage.check_daemon()
