"""From the configuration to parts: what each part is given, and nothing of what it does."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from consumers.dead_letters import DeadLetterQueue
from consumers.decoding import decode
from consumers.events import Event, TraceEvent
from consumers.file_source import FileSource
from consumers.kafka_dead_letters import KafkaDeadLetters
from consumers.kafka_source import KafkaSource
from consumers.letter_contents import LetterContents
from consumers.memory_source import MemoryDeadLetters
from consumers.messages import Message
from consumers.settings import SourceSettings
from consumers.source import TraceSource
from monitor.alerts.settings import Severity
from monitor.clock import Clock
from monitor.config import Config
from monitor.curation import Curation
from monitor.dataset.mlflow_store import MlflowDatasetStore
from monitor.evaluation.evaluator import Evaluator
from monitor.labels.feedback import Rules
from monitor.labels.quality import JudgeQuality
from monitor.labels.standing_reader import JudgeStandings
from monitor.ledger.ledger import Ledger
from monitor.overview import OverviewReader
from monitor.pipeline.effects import EffectsPolicy
from monitor.pipeline.sampler import Subject
from monitor.reevaluation import Reevaluation
from monitor.sampling import smallest_probability
from monitor.series.blindness import Sight
from monitor.series.units import in_ms
from monitor.series.view import SeriesView, SeriesViews
from monitor.series.watched import WatchedScorer
from monitor.spend.spending import Spending
from monitor.stats.series import Policy, Source
from monitor.status_page.facts import Asked, AskedScorer
from monitor.traces.redaction import Redaction
from monitor.versions import __version__
from scorers import heuristics
from scorers.catalog import ConfiguredScorer, build_scorer
from scorers.errors import ScorerSettingsError
from scorers.registry import ScorerRegistry
from scorers.settings import ScorerSettings
from scorers.suite import ScorerSuite


def build_suite(config: Config, registry: ScorerRegistry) -> ScorerSuite:
    """The configured scorers.

    Raises:
        ScorerSettingsError: one of them cannot be built.
    """
    return ScorerSuite([_build(number, settings, config, registry) for number, settings in enumerate(config.scorers)])


def _build(number: int, settings: ScorerSettings, config: Config, registry: ScorerRegistry) -> ConfiguredScorer:
    try:
        return build_scorer(settings, config.judge, registry)
    except ScorerSettingsError as error:
        key = f"scorers[{number}].{error.key}"
        raise ScorerSettingsError(key, error.value, error.allowed) from error


def build_source(config: Config) -> TraceSource:
    """The stream that the configuration names, not connected yet."""
    if config.source.kind == "file":
        return FileSource(_path(config.source))
    return KafkaSource(config.source)


def _path(source: SourceSettings) -> Path:
    if source.path is None:
        raise ValueError("source.path is checked with the configuration")
    return source.path


def build_dead_letters(config: Config) -> DeadLetterQueue:
    """Where invalid events go: a topic; those of a file stay in the file, and are counted and logged."""
    contents = letter_contents(config)
    return MemoryDeadLetters(contents) if config.source.kind == "file" else KafkaDeadLetters(config.source, contents)


def letter_contents(config: Config) -> LetterContents:
    """How much of a message its dead letter holds; what is redacted is what the configuration redacts in traces."""
    return LetterContents(payload=config.dead_letters.payload, redact=Redaction(config.redaction).document)


def decode_with(source: SourceSettings, clock: Clock, message: Message) -> Event:
    """The event in a message.

    Raises:
        InvalidEvent: it is none.
    """
    return decode(message, source.format, source.limits, clock.now_ms())


def is_ours(where: Mapping[str, str], event: TraceEvent) -> bool:
    """Whether an event of a shared topic belongs to this application: its tags, name and app version decide."""
    own = {"name": event.name, "app_version": event.app_version, **event.tags}
    return all(own.get(key) == value for key, value in where.items())


def subjects_of(config: Config, scorers: Sequence[ConfiguredScorer]) -> list[Subject]:
    """What may keep a trace, with the rates of its own."""
    subjects = [Subject(name=each.name, kind=each.kind, rate=each.settings.rate) for each in scorers]
    if config.dataset is not None:
        subjects.append(Subject(name=f"dataset:{config.dataset.name}", kind="dataset", rate=config.dataset.rate))
    return subjects


def policy_of(config: Config, scorers: Sequence[ConfiguredScorer]) -> EffectsPolicy:
    """What the configuration says about an event's effects."""
    return EffectsPolicy(
        scorers=tuple(each.name for each in scorers),
        judges=frozenset(each.name for each in scorers if each.kind == "judge"),
        segments=tuple(config.segments),
        judge_calls_per_hour=config.sampling.judge_calls_per_hour,
    )


def rules_of(config: Config) -> Rules:
    """How the values of each scorer are read, its own and people's."""
    return {each.name: each.rules for each in config.scorers}


def curation_of(config: Config, ledger: Ledger) -> Curation | None:
    """The dataset's curation, None without a dataset. Rows are shared out by the segments unless told otherwise."""
    if config.dataset is None:
        return None
    settings = config.dataset
    if not settings.quota_by:
        settings = settings.model_copy(update={"quota_by": tuple(config.segments)})
    store = MlflowDatasetStore(config.mlflow.tracking_uri, config.experiment, settings.name)
    return Curation(settings=settings, members=ledger.members, store=store)


def spending_of(config: Config, ledger: Ledger, clock: Clock) -> Spending:
    """The group's spend, with the limits and prices of the configuration."""
    return Spending(
        ledger.spend,
        config.spend,
        config.judging_models,
        clock,
        attempts=1 + config.judge.retries,
        evaluates=config.evaluates,
    )


def overview_of(config: Config, ledger: Ledger, clock: Clock) -> OverviewReader:
    """What reads all that the ledger knows."""
    return OverviewReader(
        ledger=ledger,
        clock=clock,
        window=config.statistics.window,
        dataset=None if config.dataset is None else config.dataset.name,
        scorers=frozenset(scorer.name for scorer in config.scorers),
        pots=spending_of(config, ledger, clock).pots,
        candidates=config.candidates,
        series=lambda now_ms: recorded_series_of(config, ledger, now_ms),
        judges=lambda now_ms: recorded_judges_of(config, ledger).read(now_ms),
    )


def asked_of(config: Config, deadline_s: Callable[[str, float | None], float | None]) -> Asked:
    """What the status page says of the configuration."""
    return Asked(
        app=config.app,
        version=__version__,
        labels=config.labels,
        scorers=tuple(AskedScorer(name=each.name, target=each.target, shadow=each.shadow) for each in config.scorers),
        min_verdicts=config.alerts.min_verdicts,
        stream=str(config.source.path) if config.source.kind == "file" else config.source.topic,
        reads_kafka=config.source.kind != "file",
        dataset=None if config.dataset is None else (config.dataset.name, config.dataset.max_rows),
        candidates=config.candidates if config.evaluates else (),
        observing=config.alerts.mode == "observe",
        deadline_s=deadline_s,
    )


def reevaluation_of(
    config: Config, ledger: Ledger, evaluator: Evaluator, clock: Clock, spending: Spending
) -> Reevaluation | None:
    """Re-evaluation of the dataset, None where no versions or no dataset are configured."""
    if config.evaluation is None or config.dataset is None:
        return None
    # A shadow stands beside its scorer in production alone, and decides nothing.
    deciding = tuple(each for each in config.scorers if not each.shadow)
    return Reevaluation(
        ledger=ledger,
        evaluator=evaluator,
        settings=config.evaluation,
        scorers=deciding,
        # Only of the ready-made heuristics is it certain before they are built.
        judges=frozenset(each.name for each in deciding if each.use not in heuristics.__all__),
        judge=config.judge,
        dataset=config.dataset.name,
        clock=clock,
        spending=spending,
    )


def severities_of(config: Config) -> dict[str, Severity]:
    """What the alerts of each scorer are worth, of those that alert."""
    return {each.name: each.severity for each in config.scorers if not each.shadow}


def watched_of(config: Config, scorers: Iterable[ConfiguredScorer]) -> list[WatchedScorer]:
    """What is asked of each scorer's series."""
    return [_watched(config, each.settings, each.version, judges=each.kind == "judge") for each in scorers]


def sight_of(config: Config) -> Sight:
    """What a series needs so that something can be said of it."""
    return Sight(
        min_verdicts=config.alerts.min_verdicts,
        quiet_ms=in_ms(config.alerts.unknown_after),
        window_ms=in_ms(config.statistics.window),
    )


def series_views_of(config: Config, ledger: Ledger, scorers: Iterable[ConfiguredScorer]) -> SeriesViews:
    """How the series of the configured scorers are read."""
    watched = {each.name: each for each in watched_of(config, scorers)}
    return SeriesViews(ledger=ledger, scorers=watched, sight=sight_of(config))


def recorded_scorers_of(config: Config, ledger: Ledger) -> dict[str, WatchedScorer]:
    """The configured scorers that have series, as the ledger last saw them: nothing is built for it.

    Raises:
        LedgerUnavailable: the ledger does not answer.
    """
    rows = sorted(ledger.series.all(), key=lambda row: row.last_block)
    versions = {row.scorer: row.scorer_version for row in rows}
    return {
        each.name: _watched(config, each, versions[each.name], judges=may_judge(each))
        for each in config.scorers
        if each.name in versions
    }


def recorded_series_of(config: Config, ledger: Ledger, now_ms: int) -> list[SeriesView]:
    """The series of the configured scorers as the ledger last saw them.

    Raises:
        LedgerUnavailable: the ledger does not answer.
    """
    scorers = recorded_scorers_of(config, ledger)
    return SeriesViews(ledger=ledger, scorers=scorers, sight=sight_of(config)).read(now_ms)


def is_budgeted(config: Config, *, judges: bool) -> bool:
    """Whether the judge budget may scale a scorer's rates."""
    return judges and config.sampling.judge_calls_per_hour is not None


def may_judge(settings: ScorerSettings) -> bool:
    """Whether a scorer is a judge, as far as can be told before it is built: of a registered one it cannot."""
    return settings.use is None or (settings.use not in heuristics.__all__ and ":" not in settings.use)


def recorded_judges_of(config: Config, ledger: Ledger) -> JudgeStandings:
    """How the configured judges stand is read by this; their versions are those that the ledger last saw.

    Raises:
        LedgerUnavailable: the ledger does not answer.
    """
    scorers = recorded_scorers_of(config, ledger)
    return JudgeStandings(
        ledger=ledger,
        settings=config.labelling,
        judges=[each.name for each in config.scorers if may_judge(each)],
        versions={name: each.version for name, each in scorers.items()},
        shadows={each.name: each.shadow_of for each in config.scorers if each.shadow_of is not None},
        window=config.statistics.window,
    )


def quality_of(config: Config, ledger: Ledger, versions: Mapping[str, str]) -> JudgeQuality:
    """How what labels say of the scorers is read; `versions` are those in force."""
    return JudgeQuality(labels=ledger.labels, versions=versions, window=config.labelling.window)


def _watched(config: Config, settings: ScorerSettings, version: str, *, judges: bool) -> WatchedScorer:
    policy = _policy(config, settings)
    budgeted = is_budgeted(config, judges=judges)
    statistics = config.statistics
    waits = {"verdict": timedelta(0), "session": config.sessions.quiet, "block": statistics.unit_block}
    return WatchedScorer(
        name=settings.name,
        version=version,
        policy=policy,
        unit=settings.unit,
        settles_ms=in_ms(statistics.block + statistics.close_after + waits[settings.unit]),
        # A target is a pass rate; what is learnt is kept as finely graded as the scorer gives it.
        measure="pass" if policy.source == "target" or settings.limits is None else "value",
        smallest_probability=smallest_probability(config.sampling, settings.rate, budgeted=budgeted),
        alerting=not settings.shadow,
        teacher=config.evaluation.baseline if policy.source == "baseline" and config.evaluation else None,
    )


def _policy(config: Config, settings: ScorerSettings) -> Policy:
    statistics = config.statistics
    source: Source = settings.reference or ("learned" if settings.target is None else "target")
    return Policy(
        source=source,
        target=settings.target,
        reference_verdicts=statistics.reference_verdicts,
        tolerance=statistics.tolerance,
        smallest_drop=statistics.smallest_drop,
        threshold=config.alerts.false_alarm_every / timedelta(hours=1),
        window_ms=in_ms(statistics.window),
    )
