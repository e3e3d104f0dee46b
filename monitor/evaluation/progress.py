"""An evaluation's progress on the terminal."""

from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from monitor.evaluation.evaluator import EvaluationProgress


class EvaluationBar:
    """The progress that an evaluator takes, as a bar: rows answered and scored, of all versions."""

    def __init__(self, console: Console, versions: int) -> None:
        columns = (SpinnerColumn(), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
        self._progress = Progress(*columns, TimeElapsedColumn(), console=console)
        self._task = self._progress.add_task("rows answered and scored, of all versions", total=None)
        self._versions = versions
        self._done: dict[tuple[str | None, str], int] = {}

    def __call__(self, event: EvaluationProgress, /) -> None:
        """Take note."""
        if event.stage in ("answered", "scored"):
            self._done[event.version, event.stage] = event.done
            total = 2 * self._versions * event.total
            self._progress.update(self._task, completed=sum(self._done.values()), total=total)

    def __enter__(self) -> Self:
        """Show the bar."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave it as it stands."""
        self._progress.stop()
