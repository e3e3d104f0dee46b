"""The command line. Commands import what they need when they run, so that `--help` answers at once."""

import os
import sys
from typing import NoReturn

from consumers.errors import ConsumersError, SourceUnavailable
from monitor.cli import basics, comparing, demonstrating, knowing, stream  # noqa: F401 - they register their commands
from monitor.cli.application import UNREACHABLE, WRONG, app, complain
from monitor.errors import MonitorError, ServiceUnavailable
from monitor.evaluation.errors import CandidateUnavailable, EvaluatorFailed
from scorers.errors import JudgeUnavailable, ScorerError

__all__ = ["app", "main"]

_AWAY = (ServiceUnavailable, SourceUnavailable, JudgeUnavailable, CandidateUnavailable, EvaluatorFailed)


def main() -> NoReturn:
    """Run the command line and exit. Everything that is wrong on purpose is one clear message, never a traceback."""
    # Users' scorers and versions lie in the working directory, which an installed script does not have on its path.
    if (here := os.getcwd()) not in sys.path and "" not in sys.path:  # noqa: PTH109 - sys.path holds texts
        sys.path.insert(0, here)
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    try:
        app()
    except _AWAY as error:
        complain(error)
        sys.exit(UNREACHABLE)
    except (MonitorError, ConsumersError, ScorerError, OSError) as error:
        complain(error)
        sys.exit(WRONG)
    sys.exit(0)
