"""Scorers registered in an MLflow experiment."""

from collections.abc import Iterable
from typing import Protocol

from mlflow.exceptions import MlflowException
from mlflow.genai.scorers import Scorer, get_scorer, list_scorers


class ScorerRegistry(Protocol):
    """Where ``registered: NAME`` is looked up."""

    def find(self, name: str) -> Scorer | None:
        """The newest version of the scorer with that name, None where there is none."""

    def names(self) -> Iterable[str]:
        """All names that ``find`` knows."""


class MlflowScorerRegistry:
    """The scorers of one experiment of the current tracking URI."""

    def __init__(self, experiment_id: str) -> None:
        self._experiment_id = experiment_id

    def find(self, name: str) -> Scorer | None:
        """The newest version of the scorer; raises MlflowException where MLflow cannot be asked."""
        try:
            return get_scorer(name=name, experiment_id=self._experiment_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise

    def names(self) -> list[str]:
        """Names of all scorers registered in the experiment."""
        return sorted(scorer.name for scorer in list_scorers(experiment_id=self._experiment_id))


class MemoryScorerRegistry:
    """Registered scorers given by hand."""

    def __init__(self, *scorers: Scorer) -> None:
        self._scorers = {scorer.name: scorer for scorer in scorers}

    def find(self, name: str) -> Scorer | None:
        """The scorer with that name."""
        return self._scorers.get(name)

    def names(self) -> list[str]:
        """Their names, sorted."""
        return sorted(self._scorers)
