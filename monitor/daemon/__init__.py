"""The daemon: the one place that turns a configuration into running parts."""

from monitor.daemon.evaluate import evaluate_once
from monitor.daemon.life import run_daemon

__all__ = ["evaluate_once", "run_daemon"]
