"""Where the links in a message lead. Pure."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from monitor.alerts.kinds import AlertKind
from monitor.alerts.receivers import LinkSettings
from monitor.tracking.links import MlflowLinks

_OF_SERIES: Final[frozenset[AlertKind]] = frozenset({"production_regression", "unknown"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The addresses that links begin with. Without MLflow's address or experiment nothing leads there."""

    runbooks: str
    dashboard: str | None = None
    mlflow: MlflowLinks | None = None

    def runbook(self, kind: str) -> str:
        """The page that says what to do about this kind of alert."""
        return f"{self.runbooks.rstrip('/')}/{quote(kind, safe='')}.md"

    def board(self, app: str, kind: str, scorer: str, segment: str) -> str | None:
        """The dashboard with its variables set, as far as an alert of this kind is about one of their values."""
        if self.dashboard is None:
            return None
        chosen = {"var-app": app, "var-scorer": scorer, **_narrowed(kind, segment)}
        query = urlencode({name: value for name, value in chosen.items() if value}, errors="replace")
        return f"{self.dashboard}{'&' if urlsplit(self.dashboard).query else '?'}{query}"

    def trace(self, trace_id: str) -> str | None:
        """A trace in MLflow."""
        return None if self.mlflow is None else self.mlflow.trace(trace_id)

    def run(self, run_id: str) -> str | None:
        """A run in MLflow."""
        return None if self.mlflow is None else self.mlflow.run(run_id)


def _narrowed(kind: str, segment: str) -> dict[str, str]:
    # Only these have the segment of a series. Chosen, that of another kind, as `pot=scoring`, would empty every panel.
    if kind in _OF_SERIES:
        return {"var-segment": segment}
    if kind == "candidate_regression":
        return {"var-version": segment.removeprefix("version=")}
    return {}


def places_of(settings: LinkSettings, tracking_uri: str, experiment_id: str | None) -> Places:
    """The places that the configuration names; MLflow's pages are where its server is unless told otherwise."""
    return Places(
        runbooks=settings.runbooks,
        dashboard=settings.dashboard,
        mlflow=None if experiment_id is None else MlflowLinks.to(settings.mlflow or tracking_uri, experiment_id),
    )
