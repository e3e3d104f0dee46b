"""The daemon's life: wait for what it needs, run, and stop in a fixed order."""

import os
import signal
import socket
import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial

from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

from consumers.decoding import REASONS
from consumers.errors import MemberFenced
from monitor.clock import Clock, SystemClock
from monitor.config import Config
from monitor.daemon import assembly
from monitor.daemon.duties import Duties, deadlines, planned_jobs
from monitor.daemon.evaluate import evaluator_of
from monitor.delivery.links import places_of
from monitor.errors import ServiceUnavailable
from monitor.evaluation.evaluator import Evaluator
from monitor.figures import FigureReader
from monitor.health import Health
from monitor.http_port.exposition import HttpPort, application
from monitor.ledger.file_lock import FileLock
from monitor.ledger.label_rows import LABELS
from monitor.ledger.ledger import Ledger, open_configured
from monitor.masking import Mask
from monitor.metrics import GroupMetrics, KnownLabels, ProcessMetrics
from monitor.pipeline.effects import Effects
from monitor.pipeline.feedback import FeedbackEffects
from monitor.pipeline.intake import IntakeLoop, IntakeParts
from monitor.pipeline.judging import Judging
from monitor.pipeline.patience import Patience
from monitor.pipeline.quarantine import TooManyInvalid
from monitor.pipeline.sampler import Sampler
from monitor.pipeline.watermarks import PositionBeyondEnd
from monitor.replica.leadership import Leadership
from monitor.replica.presence import Presence
from monitor.replica.shutdown import exit_within, stop_on_signals
from monitor.status_page.facts import Own
from monitor.status_page.page import StatusPage
from monitor.traces.mlflow_store import MlflowTraceStore
from monitor.traces.redaction import Redaction
from monitor.tracking.links import MlflowLinks
from monitor.tracking.transport import configure_mlflow_transport
from monitor.versions import __version__
from scorers.errors import JudgeUnavailable
from scorers.judge_transport import endpoint_state
from scorers.judges import ask_canary, check_judge, configure_judge
from scorers.registry import MlflowScorerRegistry
from scorers.suite import ScorerSuite

_GRACE_S = 5.0
_REFUSED = 2
# What somebody has to look at before the daemon may go on; the text says what to do.
_ENDS_ON_PURPOSE = (PositionBeyondEnd, TooManyInvalid, MemberFenced)


def run_daemon(
    config: Config, log: FilteringBoundLogger, *, on_start: Callable[[str], None] = lambda _address: None
) -> int:
    """Run until SIGTERM or SIGINT, and return the exit code.

    `on_start` is told the address of the HTTP port as soon as it answers.

    Raises:
        ScorerSettingsError: a scorer cannot be built.
        AddressInUseError: the HTTP port is taken.
    """
    with stop_on_signals(signal.SIGTERM, signal.SIGINT) as stop:
        Daemon(config, log, stop, SystemClock(), partial(exit_within, _GRACE_S)).run(on_start)
    return 0


class Daemon:
    """One replica. `last_resort` is told the exit code when the stream has been left and only cleaning up remains."""

    def __init__(
        self,
        config: Config,
        log: FilteringBoundLogger,
        stop: threading.Event,
        clock: Clock,
        last_resort: Callable[[int], None] = lambda _code: None,
    ) -> None:
        self._last_resort = last_resort
        self._defect = False
        self._config = config
        self._log = log
        self._stop = stop
        self._clock = clock
        self._registry = CollectorRegistry()
        self._mask = Mask.of(config, os.environ)
        self._health = Health(("kafka", "mlflow", "ledger", "judge"), self._mask)
        self._deadline_s = deadlines(config, clock.now_ms() / 1000)
        self._links: MlflowLinks | None = None
        # Before anything is reached: a process that waits for a service is scraped as well.
        self._metrics = ProcessMetrics(self._registry, _known_labels(config), self._health, endpoint_state)
        self._page = StatusPage(assembly.asked_of(config, self._deadline_s), self._own, clock, self._mask)
        self._patience = Patience(health=self._health, stop=stop, log=log, longest=config.pipeline.retry_up_to)

    def run(self, on_start: Callable[[str], None] = lambda _address: None) -> None:
        """Run until the stop event is set. See `run_daemon` for what it raises."""
        settings, config = self._config.http, self._config
        self._log.info(
            "daemon starts", app=config.app, version=__version__, config=config.digest, topic=config.source.topic
        )
        app = application(self._registry, self._health, lambda: not self._stop.is_set(), settings, self._page)
        port = HttpPort(app, settings)
        with port:
            self._log.info("http port answers", address=port.address)
            on_start(port.address)
            try:
                self._run()
            except (ServiceUnavailable, JudgeUnavailable):
                if self._defect or not self._stop.is_set():
                    raise
        self._log.info("stopped")

    def _run(self) -> None:
        with ExitStack() as stack:
            settings, holder = self._config.ledger, _holder()
            stack.enter_context(self._patience.call("ledger", lambda: FileLock(settings.url.get_secret_value())))
            ledger = self._patience.call("ledger", lambda: open_configured(settings))
            stack.callback(ledger.close)
            configure_mlflow_transport(self._config.mlflow)
            self._page.reads(assembly.overview_of(self._config, ledger, self._clock))
            presence = Presence(ledger.replicas, holder, self._clock, self._stop, self._log)
            self._patience.call("ledger", presence.begin)
            stack.callback(presence.end)
            traces = MlflowTraceStore(self._config.mlflow.tracking_uri, self._config.experiment)
            suite = self._build_suite(traces)
            self._expose_figures(suite, ledger)
            self._links = self._mlflow_links(traces.experiment_id)
            effects = self._build_effects(ledger, traces, suite)
            feedback = self._build_feedback(effects)
            loop = self._build_loop(effects, feedback)
            evaluator = evaluator_of(self._config)
            leadership = Leadership(ledger.lease, holder, settings.lease_ttl, self._clock, self._log)
            stack.callback(leadership.resign)
            duties = self._duties(
                effects=effects,
                feedback=feedback,
                leadership=leadership,
                presence=presence,
                evaluator=evaluator,
                traces=traces,
                lag=lambda: loop.lag,
            )
            leadership.seek()
            # Alerts are told, and shown, while the judge is waited for: a regression goes on firing meanwhile.
            with duties.schedule() as schedule:
                try:
                    if self._judge_answers(suite):
                        duties.add_judging(schedule)
                        loop.run(self._stop)
                    self._last_resort(0 if presence.refusal is None else _REFUSED)
                except _ENDS_ON_PURPOSE as error:
                    self._log.error("the daemon ends", cause=str(error))
                    self._defect = True
                    self._last_resort(_REFUSED)
                    raise
                except BaseException:
                    self._log.exception("the daemon ends on a defect")
                    self._defect = True
                    self._last_resort(1)
                    raise
                finally:
                    # The schedule waits for its jobs when it ends: they are told to stop, an evaluation as well.
                    self._stop.set()
                    evaluator.cancel()
            if presence.refusal is not None:
                raise presence.refusal

    def _mlflow_links(self, experiment_id: str) -> MlflowLinks | None:
        # A browser may reach MLflow by another address than the daemon does, on the page as in alerts.
        return places_of(self._config.alerts.links, self._config.mlflow.tracking_uri, experiment_id).mlflow

    def _own(self) -> Own:
        """What this process knows, at any moment of its life."""
        return Own(
            dependencies=self._health.states(),
            judge=endpoint_state(),
            lags=self._metrics.lags(),
            links=self._links,
        )

    def _build_suite(self, traces: MlflowTraceStore) -> ScorerSuite:
        self._patience.call("mlflow", traces.probe)
        configure_judge(self._config.judge, self._stop)
        return assembly.build_suite(self._config, MlflowScorerRegistry(traces.experiment_id))

    def _judge_answers(self, suite: ScorerSuite) -> bool:
        """Wait for the judge, if one is asked anything; False if the daemon is to stop before it answers."""
        if not any(scorer.kind == "judge" for scorer in suite):
            self._patience.note_up("judge")
            return True
        try:
            self._patience.call("judge", lambda: check_judge(self._config.judge))
        except JudgeUnavailable:
            if not self._stop.is_set():
                raise
            return False
        return True

    def _expose_figures(self, suite: ScorerSuite, ledger: Ledger) -> None:
        config = self._config
        self._metrics.expect_judges(scorer.name for scorer in suite if scorer.kind == "judge")
        reader = FigureReader(
            ledger=ledger,
            clock=self._clock,
            quality=assembly.quality_of(config, ledger, {each.name: each.version for each in suite}).read,
            series=assembly.series_views_of(config, ledger, suite).read,
            targets={each.name: each.target for each in config.scorers if each.target is not None},
            dataset=config.dataset.name if config.dataset else None,
            deadline_s=self._deadline_s,
            planned_jobs=planned_jobs(config),
            scorers=frozenset(scorer.name for scorer in suite),
            pots=assembly.spending_of(config, ledger, self._clock).pots,
            receivers=[each.name for each in config.alerts.told],
            pagers=config.alerts.pagers,
            candidates=config.candidates,
            observes=config.alerts.mode == "observe",
        )
        self._registry.register(GroupMetrics(config.app, reader.read, self._clock))

    def _build_effects(self, ledger: Ledger, traces: MlflowTraceStore, suite: ScorerSuite) -> Effects:
        models = self._config.judging_models
        return Effects(
            policy=assembly.policy_of(self._config, list(suite)),
            ledger=ledger,
            traces=traces,
            redaction=Redaction(self._config.redaction),
            judging=Judging(
                suite=suite,
                intake=ledger.intake,
                metrics=self._metrics,
                patience=self._patience,
                clock=self._clock,
                spending=assembly.spending_of(self._config, ledger, self._clock),
                canary=lambda scorer: ask_canary(self._config.judge, models[scorer]),
                log=self._log,
            ),
            curation=assembly.curation_of(self._config, ledger),
            patience=self._patience,
            clock=self._clock,
            log=self._log,
        )

    def _build_feedback(self, effects: Effects) -> FeedbackEffects:
        return FeedbackEffects(
            scorers=effects.policy.scorers,
            rules=assembly.rules_of(self._config),
            ledger=effects.ledger,
            traces=effects.traces,
            redaction=effects.redaction,
            curation=effects.curation,
            patience=self._patience,
            shared=bool(self._config.source.where),
            log=self._log,
        )

    def _build_loop(self, effects: Effects, feedback: FeedbackEffects) -> IntakeLoop:
        config = self._config
        suite = list(effects.judging.suite)
        parts = IntakeParts(
            source=assembly.build_source(config),
            dead_letters=assembly.build_dead_letters(config),
            decode=partial(assembly.decode_with, config.source, self._clock),
            is_ours=partial(assembly.is_ours, config.source.where),
            sampler=Sampler(
                config.sampling, assembly.subjects_of(config, suite), effects.ledger.budget, config.labelling.rate
            ),
            effects=effects,
            feedback=feedback,
            positions=effects.ledger.positions,
            metrics=self._metrics,
            patience=self._patience,
            clock=self._clock,
            log=self._log,
        )
        return IntakeLoop(parts, config.pipeline, effects.policy.scorers, config.dead_letters)

    def _duties(
        self,
        *,
        effects: Effects,
        feedback: FeedbackEffects,
        leadership: Leadership,
        presence: Presence,
        evaluator: Evaluator,
        traces: MlflowTraceStore,
        lag: Callable[[], Mapping[tuple[str, int], int]],
    ) -> Duties:
        return Duties(
            config=self._config,
            effects=effects,
            feedback=feedback,
            leadership=leadership,
            presence=presence,
            evaluator=evaluator,
            traces=traces,
            patience=self._patience,
            stop=self._stop,
            clock=self._clock,
            mask=self._mask,
            log=self._log,
            lag=lag,
        )


def _known_labels(config: Config) -> KnownLabels:
    return KnownLabels(
        app=config.app,
        version=__version__,
        config=config.digest,
        topics=(config.source.topic,),
        scorers=[scorer.name for scorer in config.scorers],
        dead_letter_reasons=(*REASONS, "trace_rejected"),
        sampling=_known_sampling(config),
        labels=config.labels,
        receivers=[each.name for each in config.alerts.told],
    )


def _known_sampling(config: Config) -> list[tuple[str, str]]:
    rules = [f"rule:{number}" for number in range(1, len(config.sampling.rules) + 1)]
    known = [(decision, reason) for decision in ("kept", "left_out") for reason in ("rate", "budget", *rules)]
    return [*known, ("left_out", "evaluation"), ("kept", LABELS)]


def _holder() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
