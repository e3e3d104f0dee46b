"""One re-evaluation from the command line, with the same parts as the daemon's schedule."""

from monitor.clock import SystemClock
from monitor.config import Config
from monitor.daemon import assembly
from monitor.errors import MonitorError
from monitor.evaluation.evaluator import EvaluationResult, Evaluator, Progress, no_progress
from monitor.evaluation.subprocess_evaluator import SubprocessEvaluator
from monitor.ledger.ledger import open_configured
from monitor.tracking.transport import configure_mlflow_transport


class NotConfigured(MonitorError):
    """The configuration has no `evaluation:` or no `dataset:` section."""


def evaluator_of(config: Config) -> Evaluator:
    """The evaluator that runs in processes of its own."""
    timeout = {} if config.evaluation is None else {"timeout": config.evaluation.timeout}
    return SubprocessEvaluator(
        tracking_uri=config.mlflow.tracking_uri, experiment=config.experiment, mlflow=config.mlflow, **timeout
    )


def evaluate_once(config: Config, candidate: str | None = None, progress: Progress = no_progress) -> EvaluationResult:
    """Evaluate the baseline and the candidates now; the daemon, if it runs, shows the result.

    Raises:
        NotConfigured: there is nothing to evaluate in the configuration.
        MonitorError: what `Reevaluation.run` raises.
        LedgerUnavailable: the ledger does not answer.
    """
    configure_mlflow_transport(config.mlflow)
    ledger = open_configured(config.ledger)
    try:
        clock = SystemClock()
        spending = assembly.spending_of(config, ledger, clock)
        reevaluation = assembly.reevaluation_of(config, ledger, evaluator_of(config), clock, spending)
        if reevaluation is None:
            raise NotConfigured("evaluate needs the sections `evaluation:` and `dataset:` in the configuration")
        return reevaluation.run(candidate, progress)
    finally:
        ledger.close()
