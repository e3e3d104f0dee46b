"""The root of the configuration, composed of what each package says about itself."""

import hashlib
from collections import Counter
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from consumers.settings import DeadLetterSettings, SourceSettings
from monitor.alerts.settings import AlertSettings
from monitor.dataset.settings import DatasetSettings
from monitor.evaluation.settings import EvaluationSettings, ScheduleSettings
from monitor.http_port.exposition import HttpSettings
from monitor.labels.settings import LabellingSettings
from monitor.ledger.label_rows import LABELS
from monitor.ledger.settings import LedgerSettings, RetentionSettings
from monitor.logs import LogSettings
from monitor.pipeline.settings import PipelineSettings
from monitor.replica.schedule import check_cron
from monitor.sampling import SamplingSettings
from monitor.settings import MlflowSettings, SpendSettings
from monitor.stats.settings import SessionSettings, StatisticsSettings
from monitor.traces.redaction import RedactionSettings
from scorers.settings import JudgeSettings, ScorerSettings

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
LabelName = Annotated[str, Field(pattern=r"^[a-zA-Z][a-zA-Z0-9_]{0,62}$")]
_OWN_LABELS = ("alertname", "app", "kind", "scorer", "segment", "severity")
# With one of these each replica would tell of an alert of its own.
_LABELS_OF_REPLICAS = ("instance", "pod")


class Config(BaseModel):
    """Everything that one daemon, which watches one application, is told."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Tracewatch configuration")

    app: Name = Field(description="Name of the application; a label of every metric and alert.")
    labels: dict[LabelName, str] = Field(default_factory=dict, description="Further labels of alerts and build_info.")
    source: SourceSettings = Field(default_factory=SourceSettings, description="Where trace events come from.")
    dead_letters: DeadLetterSettings = Field(
        default_factory=DeadLetterSettings, description="What becomes of messages that are no trace events."
    )
    mlflow: MlflowSettings = Field(default_factory=MlflowSettings, description="Where traces and runs are kept.")
    ledger: LedgerSettings = Field(default_factory=LedgerSettings, description="The database of what is known.")
    retention: RetentionSettings = Field(
        default_factory=RetentionSettings, description="How long the ledger keeps what is done."
    )
    judge: JudgeSettings = Field(default_factory=JudgeSettings, description="The endpoint that judges ask.")
    sampling: SamplingSettings = Field(default_factory=SamplingSettings, description="How much traffic is judged.")
    dataset: DatasetSettings | None = Field(
        default_factory=lambda: DatasetSettings(name="production"),
        description="The evaluation dataset; none if null.",
    )
    segments: tuple[str, ...] = Field(
        default=(),
        description="Keys by whose values verdicts are told apart, such as app_version; 'all' always exists.",
    )
    scorers: tuple[ScorerSettings, ...] = Field(min_length=1, description="How a trace is judged.")
    evaluation: EvaluationSettings | None = Field(
        default=None, description="Comparison of versions on the dataset; none if left out."
    )
    labelling: LabellingSettings = Field(
        default_factory=LabellingSettings,
        description="Which traces people label, and what the judges are held against.",
    )
    alerts: AlertSettings = Field(default_factory=AlertSettings, description="When people are told.")
    spend: SpendSettings = Field(default_factory=SpendSettings, description="What judging may cost.")
    redaction: RedactionSettings = Field(
        default_factory=RedactionSettings, description="What is taken out of traces before they are stored or judged."
    )
    statistics: StatisticsSettings = Field(
        default_factory=StatisticsSettings, description="How verdicts become estimates and tests."
    )
    sessions: SessionSettings = Field(default_factory=SessionSettings, description="When a session is over.")
    pipeline: PipelineSettings = Field(default_factory=PipelineSettings, description="Work in hand of one process.")
    http: HttpSettings = Field(default_factory=HttpSettings, description="Where metrics and health are served.")
    log: LogSettings = Field(default_factory=LogSettings, description="What is logged.")

    @field_validator("labels")
    @classmethod
    def _labels_are_free(cls, labels: dict[str, str]) -> dict[str, str]:
        if taken := sorted(set(labels) & set(_OWN_LABELS)):
            raise ValueError(f"{', '.join(taken)}: set by tracewatch itself; choose other names")
        if theirs := sorted(set(labels) & set(_LABELS_OF_REPLICAS)):
            raise ValueError(f"{', '.join(theirs)}: an alert is of the application, not of one replica")
        return labels

    @field_validator("segments")
    @classmethod
    def _segments_differ(cls, segments: tuple[str, ...]) -> tuple[str, ...]:
        if "all" in segments:
            raise ValueError("'all' always exists; leave it out")
        if twice := _twice(segments):
            raise ValueError(f"given twice: {', '.join(twice)}")
        return segments

    @field_validator("scorers")
    @classmethod
    def _scorers_differ(cls, scorers: tuple[ScorerSettings, ...]) -> tuple[ScorerSettings, ...]:
        if twice := _twice(scorer.name for scorer in scorers):
            raise ValueError(f"every scorer needs a name of its own; given twice: {', '.join(twice)}")
        if any(scorer.name == LABELS for scorer in scorers):
            raise ValueError(f"no scorer is called {LABELS!r}: in the ledger that is the draw of traces to be labelled")
        return scorers

    @field_validator("evaluation")
    @classmethod
    def _cron_parses(cls, evaluation: EvaluationSettings | None) -> EvaluationSettings | None:
        if evaluation is not None:
            _check_plan("schedule", evaluation.schedule)
        return evaluation

    @field_validator("labelling")
    @classmethod
    def _rejudging_parses(cls, labelling: LabellingSettings) -> LabellingSettings:
        _check_plan("rejudge", labelling.rejudge)
        return labelling

    @model_validator(mode="after")
    def _prices_are_known(self) -> Self:
        limit = self.spend.limit
        if limit is not None and limit.unit == "dollars":
            unknown = sorted(set(self.judging_models.values()) - set(self.spend.prices))
            if unknown:
                raise ValueError(
                    f"spend.per_day {self.spend.per_day} is in dollars, and what {unknown[0]} costs is not known: set "
                    f"spend.prices.{unknown[0]}.input and .output, in dollars for a million tokens"
                )
        return self

    @property
    def evaluates(self) -> bool:
        """Whether versions are compared on the dataset."""
        return self.evaluation is not None and self.dataset is not None

    @property
    def candidates(self) -> tuple[str, ...]:
        """The versions that are compared with the baseline."""
        return () if self.evaluation is None else self.evaluation.candidates

    @property
    def judging_models(self) -> dict[str, str]:
        """Scorer -> the model that it would ask if it is a judge."""
        return {each.name: (each.model or self.judge.model).removeprefix("openai:/") for each in self.scorers}

    @model_validator(mode="after")
    def _letters_can_be_redacted(self) -> Self:
        if self.dead_letters.payload == "redacted" and not self.redaction.patterns:
            raise ValueError(
                "`dead_letters.payload: redacted` needs `redaction.patterns`, such as [email, phone, key]; "
                "`reference` keeps nothing of the message"
            )
        return self

    @model_validator(mode="after")
    def _texts_of_alerts_can_be_redacted(self) -> Self:
        bare = [each.name for each in self.alerts.receivers if each.content == "redacted"]
        if bare and not self.redaction.patterns:
            raise ValueError(
                f"`content: redacted` of the receiver {bare[0]!r} needs `redaction.patterns`, such as [email, phone, "
                "key]; `links` sends no text"
            )
        return self

    @model_validator(mode="after")
    def _figures_have_their_verdicts(self) -> Self:
        if self.retention.verdicts < (window := self.statistics.window):
            raise ValueError(f"retention.verdicts is shorter than statistics.window ({window}), which rests on them")
        if min(self.retention.verdicts, self.retention.traces) < (window := self.labelling.window):
            raise ValueError(
                f"retention.verdicts and retention.traces must not be shorter than labelling.window ({window}), which "
                "rests on them"
            )
        return self

    @model_validator(mode="after")
    def _verdicts_are_young_enough_to_bet(self) -> Self:
        closes = self.statistics.block + self.statistics.close_after
        if self.alerts.max_age <= closes:
            raise ValueError(
                f"alerts.max_age {self.alerts.max_age} must be longer than statistics.block and statistics.close_after "
                f"together ({closes}): a verdict would be too old for any alert before its block closes"
            )
        return self

    @model_validator(mode="after")
    def _shadows_have_their_scorer(self) -> Self:
        names = {scorer.name for scorer in self.scorers}
        for number, scorer in enumerate(self.scorers):
            if scorer.shadow_of is not None and (not scorer.shadow or scorer.shadow_of not in names - {scorer.name}):
                raise ValueError(
                    f"scorers[{number}].shadow_of {scorer.shadow_of!r}: a scorer with `shadow: true` names another one "
                    f"of the scorers here, {sorted(names - {scorer.name})}"
                )
        return self

    @model_validator(mode="after")
    def _references_exist(self) -> Self:
        for number, scorer in enumerate(self.scorers):
            if scorer.reference == "target" and scorer.target is None:
                raise ValueError(f"scorers[{number}].reference is `target`, and scorer {scorer.name!r} has none")
            if scorer.reference == "baseline" and self.evaluation is None:
                raise ValueError(
                    f"scorers[{number}].reference is `baseline`: which version that is, `evaluation.baseline` says, "
                    "and there is no `evaluation:`"
                )
        return self

    @model_validator(mode="after")
    def _segments_are_known(self) -> Self:
        mix = self.statistics.mix_adjustment
        keys = {each.split("=", 1)[0]: f"statistics.expected: {each}" for each in self.statistics.expected}
        keys |= {} if mix is None else {mix: f"statistics.mix_adjustment: {mix}"}
        for key, where in keys.items():
            if key not in self.segments:
                raise ValueError(f"{where}: {key!r} is not among `segments` {list(self.segments)}")
        return self

    @model_validator(mode="after")
    def _complete(self) -> Self:
        # The model is frozen for its users; here it is still being made.
        if self.source.group_id is None:
            object.__setattr__(self, "source", self.source.model_copy(update={"group_id": self.app}))
        if self.mlflow.experiment is None:
            object.__setattr__(self, "mlflow", self.mlflow.model_copy(update={"experiment": self.app}))
        return self

    @property
    def digest(self) -> str:
        """12 hex digits of everything configured but the secrets: replicas that differ run different configurations."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]

    @property
    def experiment(self) -> str:
        """Name of the MLflow experiment."""
        return self.mlflow.experiment or self.app


def config_schema() -> dict[str, Any]:
    """The JSON Schema of the configuration file, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}


def _check_plan(key: str, plan: ScheduleSettings | None) -> None:
    if plan is None or plan.cron is None:
        return
    try:
        check_cron(plan.cron)
    except ValueError as error:
        raise ValueError(
            f"{key}.cron {plan.cron!r} is no cron expression ({error}); "
            "allowed: five fields in UTC, such as '0 */6 * * *'"
        ) from error


def _twice(names: Any) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)
