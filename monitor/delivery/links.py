"""Where the links in a message lead. Pure."""

from dataclasses import dataclass
from urllib.parse import quote, urlencode, urlsplit

from monitor.alerts.receivers import LinkSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The addresses that links begin with. Without MLflow's address or experiment nothing leads there."""

    runbooks: str
    dashboard: str | None = None
    mlflow: str | None = None
    experiment_id: str | None = None

    def runbook(self, kind: str) -> str:
        """The page that says what to do about this kind of alert."""
        return f"{self.runbooks.rstrip('/')}/{quote(kind, safe='')}.md"

    def board(self, app: str, scorer: str, segment: str) -> str | None:
        """The dashboard with its variables set."""
        if self.dashboard is None:
            return None
        chosen = {"var-app": app, "var-scorer": scorer, "var-segment": segment}
        query = urlencode({name: value for name, value in chosen.items() if value}, errors="replace")
        return f"{self.dashboard}{'&' if urlsplit(self.dashboard).query else '?'}{query}"

    def trace(self, trace_id: str) -> str | None:
        """A trace in MLflow."""
        return self._in_experiment(f"traces?selectedEvaluationId={quote(trace_id, safe='', errors='replace')}")

    def run(self, run_id: str) -> str | None:
        """A run in MLflow."""
        return self._in_experiment(f"runs/{quote(run_id, safe='', errors='replace')}")

    def _in_experiment(self, page: str) -> str | None:
        if self.mlflow is None or self.experiment_id is None:
            return None
        return f"{self.mlflow.rstrip('/')}/#/experiments/{quote(self.experiment_id, safe='')}/{page}"


def places_of(settings: LinkSettings, tracking_uri: str, experiment_id: str | None) -> Places:
    """The places that the configuration names; MLflow's pages are where its server is, without a login."""
    return Places(
        runbooks=settings.runbooks,
        dashboard=settings.dashboard,
        mlflow=settings.mlflow or _pages_of(tracking_uri),
        experiment_id=experiment_id,
    )


def _pages_of(tracking_uri: str) -> str | None:
    parts = urlsplit(tracking_uri)
    if parts.scheme not in ("http", "https"):
        return None
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
