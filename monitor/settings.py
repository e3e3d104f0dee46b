"""Settings of parts that are single modules; packages keep theirs beside their own code."""

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field

from monitor.clock import Duration


class MlflowSettings(BaseModel):
    """Where traces, assessments, datasets and evaluation runs are kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tracking_uri: str = Field(
        default="sqlite:///mlflow.db",
        pattern=r"^[a-z][a-z0-9+]*://",
        description="MLflow's tracking URI: sqlite:///FILE, postgresql://..., http://HOST:PORT.",
    )
    experiment: str | None = Field(
        default=None, min_length=1, description="Name of the experiment, made if missing; the app's name if left out."
    )


class StatisticsSettings(BaseModel):
    """The figures that the gauges show."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    window: Duration = Field(
        default=timedelta(hours=24), ge=timedelta(minutes=1), description="Stretch of event time behind the pass rates."
    )
