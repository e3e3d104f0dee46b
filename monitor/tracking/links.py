"""Where MLflow's own pages show traces and runs."""

from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, urlsplit


@dataclass(frozen=True, kw_only=True, slots=True)
class MlflowLinks:
    """Addresses of pages of one experiment. `server` is a tracking server's, without credentials."""

    server: str
    experiment_id: str

    @classmethod
    def to(cls, tracking_uri: str, experiment_id: str) -> Self | None:
        """The links into a tracking server; None where the store is a database, which has no pages."""
        parts = urlsplit(tracking_uri)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            return None
        # The user and password of the address are ours, and nobody else's.
        host = parts.netloc.rpartition("@")[2]
        return cls(server=f"{parts.scheme}://{host}{parts.path.rstrip('/')}", experiment_id=experiment_id)

    @property
    def experiment(self) -> str:
        """The experiment's traces."""
        return f"{self._experiment}/traces"

    @property
    def datasets(self) -> str:
        """The experiment's datasets."""
        return f"{self._experiment}/datasets"

    def trace(self, trace_id: str) -> str:
        """One trace, open above the list of them."""
        return f"{self._experiment}/traces?selectedEvaluationId={quote(trace_id, safe='', errors='replace')}"

    def run(self, run_id: str) -> str:
        """One run."""
        return f"{self._experiment}/runs/{quote(run_id, safe='', errors='replace')}"

    @property
    def _experiment(self) -> str:
        return f"{self.server}/#/experiments/{quote(self.experiment_id, safe='')}"
