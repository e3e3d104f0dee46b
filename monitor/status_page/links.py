"""Texts that lead into MLflow, where there is a server to lead to. Pure."""

from typing import Any

from monitor.status_page.view import Link
from monitor.tracking.links import MlflowLinks


def trace_link(trace_id: str, links: MlflowLinks | None) -> Link:
    """A trace by its id, with MLflow's page of it where there is one."""
    return Link(text=trace_id, url=None if links is None else links.trace(trace_id))


def run_link(text: str, run_id: Any, links: MlflowLinks | None) -> Link:
    """A text that leads to a run."""
    known = links is not None and isinstance(run_id, str) and run_id
    return Link(text=text, url=links.run(run_id) if links is not None and known else None)
