"""The evaluator's task as JSON, from the daemon to the evaluator's own process, over a pipe and never an argument."""

from dataclasses import asdict, dataclass
from typing import Any

from monitor.evaluation.evaluator import EvaluationRequest, EvaluationRow
from monitor.settings import MlflowSettings
from scorers.settings import JudgeSettings, ScorerSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluatorTask:
    """All that the evaluator's process must know; the versions themselves are only names to it."""

    id: str
    dataset: str
    digest: str
    rows: tuple[EvaluationRow, ...]
    baseline: str
    versions: tuple[str, ...]
    scorers: tuple[ScorerSettings, ...]
    judge: JudgeSettings
    margin: float
    repeats: int
    early_stop: bool
    tracking_uri: str
    experiment: str
    mlflow: MlflowSettings

    @classmethod
    def of(
        cls, request: EvaluationRequest, tracking_uri: str, experiment: str, mlflow: MlflowSettings | None = None
    ) -> "EvaluatorTask":
        """The task of a request; `mlflow` says how the tracking server is reached."""
        return cls(
            id=request.id,
            dataset=request.dataset,
            digest=request.digest,
            rows=request.rows,
            baseline=request.baseline,
            versions=tuple(request.versions),
            scorers=request.scorers,
            judge=request.judge,
            margin=request.margin,
            repeats=request.repeats,
            early_stop=request.stops_early,
            tracking_uri=tracking_uri,
            experiment=experiment,
            mlflow=mlflow or MlflowSettings(),
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON, with the judge's key and MLflow's credentials in clear text."""
        mlflow = self.mlflow.model_dump(mode="json")
        for name in ("token", "password"):
            if (secret := getattr(self.mlflow, name)) is not None:
                mlflow[name] = secret.get_secret_value()
        plain = (
            "id", "dataset", "digest", "baseline", "versions", "margin", "repeats", "early_stop", "tracking_uri",
            "experiment",
        )  # fmt: skip
        return {
            **{name: getattr(self, name) for name in plain},
            "rows": [asdict(row) for row in self.rows],
            "scorers": [scorer.model_dump(mode="json") for scorer in self.scorers],
            "judge": self.judge.revealed(),
            "mlflow": mlflow,
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "EvaluatorTask":
        """Back from `to_dict`."""
        return cls(
            **{
                **value,
                "versions": tuple(value["versions"]),
                "rows": tuple(EvaluationRow(**row) for row in value["rows"]),
                "scorers": tuple(ScorerSettings.model_validate(scorer) for scorer in value["scorers"]),
                "judge": JudgeSettings.model_validate(value["judge"]),
                "mlflow": MlflowSettings.model_validate(value["mlflow"]),
            }
        )
