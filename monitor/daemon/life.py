"""The daemon's life: wait for what it needs, run, and stop in a fixed order."""

import os
import signal
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial

from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

from consumers.decoding import REASONS
from consumers.errors import MemberFenced
from monitor.alerting import Alerting
from monitor.clock import Clock, SystemClock
from monitor.config import Config
from monitor.daemon import assembly
from monitor.daemon.evaluate import evaluator_of
from monitor.duty import Duty
from monitor.errors import ServiceUnavailable
from monitor.evaluation.evaluator import Evaluator
from monitor.evaluation.settings import ScheduleSettings
from monitor.exposition import HttpPort, application
from monitor.figures import FigureReader
from monitor.health import Health
from monitor.leadership import RENEWALS_A_LIFE, Leadership
from monitor.ledger.credentials import follow_credentials
from monitor.ledger.file_lock import FileLock
from monitor.ledger.ledger import Ledger, open_configured
from monitor.ledger.rows import LeaseToken
from monitor.masking import Mask
from monitor.metrics import GroupMetrics, KnownLabels, ProcessMetrics
from monitor.mlflow_transport import configure_mlflow_transport
from monitor.pipeline.effects import Effects
from monitor.pipeline.intake import IntakeLoop, IntakeParts
from monitor.pipeline.judging import Judging
from monitor.pipeline.owed import publish_unpublished, work_off_parked
from monitor.pipeline.patience import Patience
from monitor.pipeline.quarantine import TooManyInvalid
from monitor.pipeline.sampler import Sampler
from monitor.pipeline.watermarks import PositionBeyondEnd
from monitor.presence import Presence
from monitor.schedule import Cron, Every, Schedule, deadline_s
from monitor.shutdown import exit_within, stop_on_signals
from monitor.traces.mlflow_store import MlflowTraceStore
from monitor.traces.redaction import Redaction
from monitor.versions import __version__
from scorers.errors import JudgeUnavailable
from scorers.judge_transport import endpoint_state
from scorers.judges import ask_canary, check_judge, configure_judge
from scorers.registry import MlflowScorerRegistry
from scorers.suite import ScorerSuite

_PROBE_EVERY = timedelta(seconds=15)
_SIGN_EVERY = timedelta(seconds=15)
_RETENTION_EVERY = timedelta(minutes=10)
_PUBLISH_GRACE_MS = 60_000
_GRACE_S = 5.0
_OVERDUE_GRACE_S = 300.0
_REFUSED = 2
# What somebody has to look at before the daemon may go on; the text says what to do.
_ENDS_ON_PURPOSE = (PositionBeyondEnd, TooManyInvalid, MemberFenced)
_UPKEEP = ("alerts", "parked", "publish", "dataset")


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
        self._patience = Patience(health=self._health, stop=stop, log=log, longest=config.pipeline.retry_up_to)

    def run(self, on_start: Callable[[str], None] = lambda _address: None) -> None:
        """Run until the stop event is set. See `run_daemon` for what it raises."""
        settings = self._config.http
        app = application(self._registry, self._health, lambda: not self._stop.is_set(), settings)
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
            follow_credentials(ledger.database.engine, settings.url.get_secret_value)
            configure_mlflow_transport(self._config.mlflow)
            presence = Presence(ledger.replicas, holder, self._clock, self._stop, self._log)
            self._patience.call("ledger", presence.begin)
            stack.callback(presence.end)
            traces = MlflowTraceStore(self._config.mlflow.tracking_uri, self._config.experiment)
            suite = self._build_suite(traces)
            metrics = self._build_metrics(suite, ledger)
            effects = self._build_effects(ledger, traces, suite, metrics)
            loop = self._build_loop(effects, metrics)
            evaluator = evaluator_of(self._config)
            leadership = Leadership(ledger.lease, holder, settings.lease_ttl, self._clock, self._log)
            stack.callback(leadership.resign)
            with self._schedule(effects, leadership, presence, evaluator, traces):
                try:
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

    def _build_suite(self, traces: MlflowTraceStore) -> ScorerSuite:
        self._patience.call("mlflow", traces.probe)
        configure_judge(self._config.judge, self._stop)
        suite = assembly.build_suite(self._config, MlflowScorerRegistry(traces.experiment_id))
        if any(scorer.kind == "judge" for scorer in suite):
            self._patience.call("judge", lambda: check_judge(self._config.judge))
        else:
            self._patience.note_up("judge")
        return suite

    def _build_metrics(self, suite: ScorerSuite, ledger: Ledger) -> ProcessMetrics:
        config = self._config
        known = KnownLabels(
            app=config.app,
            version=__version__,
            config=config.digest,
            topics=(config.source.topic,),
            scorers=[scorer.name for scorer in suite],
            judges=[scorer.name for scorer in suite if scorer.kind == "judge"],
            dead_letter_reasons=(*REASONS, "trace_rejected"),
            sampling=_known_sampling(config),
            labels=config.labels,
        )
        metrics = ProcessMetrics(self._registry, known, self._health, endpoint_state)
        reader = FigureReader(
            ledger=ledger,
            clock=self._clock,
            window=config.statistics.window,
            targets={each.name: each.target for each in config.scorers if each.target is not None},
            dataset=config.dataset.name if config.dataset else None,
            deadline_s=partial(_deadline_s, _plans(config), self._clock.now_ms() / 1000),
            scorers=frozenset(scorer.name for scorer in suite),
            pots=assembly.spending_of(config, ledger, self._clock).pots,
        )
        self._registry.register(GroupMetrics(config.app, reader.read, self._clock))
        return metrics

    def _build_effects(
        self, ledger: Ledger, traces: MlflowTraceStore, suite: ScorerSuite, metrics: ProcessMetrics
    ) -> Effects:
        return Effects(
            policy=assembly.policy_of(self._config, list(suite)),
            ledger=ledger,
            traces=traces,
            redaction=Redaction(self._config.redaction),
            judging=Judging(
                suite=suite,
                intake=ledger.intake,
                metrics=metrics,
                patience=self._patience,
                clock=self._clock,
                spending=assembly.spending_of(self._config, ledger, self._clock),
                canary=partial(ask_canary, self._config.judge),
            ),
            curation=assembly.curation_of(self._config, ledger),
            patience=self._patience,
            clock=self._clock,
            log=self._log,
        )

    def _build_loop(self, effects: Effects, metrics: ProcessMetrics) -> IntakeLoop:
        config = self._config
        suite = list(effects.judging.suite)
        parts = IntakeParts(
            source=assembly.build_source(config),
            dead_letters=assembly.build_dead_letters(config),
            decode=partial(assembly.decode_with, config.source, self._clock),
            is_ours=partial(assembly.is_ours, config.source.where),
            sampler=Sampler(config.sampling, assembly.subjects_of(config, suite), effects.ledger.budget),
            effects=effects,
            positions=effects.ledger.positions,
            metrics=metrics,
            patience=self._patience,
            clock=self._clock,
            log=self._log,
        )
        return IntakeLoop(parts, config.pipeline, effects.policy.scorers, config.dead_letters)

    @contextmanager
    def _schedule(
        self,
        effects: Effects,
        leadership: Leadership,
        presence: Presence,
        evaluator: Evaluator,
        traces: MlflowTraceStore,
    ) -> Iterator[None]:
        config, ledger = self._config, effects.ledger
        leadership.seek()
        schedule = Schedule(self._log)

        def duty(name: str, work: Callable[..., object]) -> Duty:
            return Duty(
                name=name,
                work=work,
                leadership=leadership,
                jobs=ledger.jobs,
                clock=self._clock,
                log=self._log,
                mask=self._mask,
            )

        every = Every(interval=config.pipeline.upkeep_every)
        alerting = Alerting(
            ledger, assembly.watched_of(config), config.alerts, self._log, effects.judging.spending.pots
        )
        schedule.add("lease", Every(interval=config.ledger.lease_ttl / RENEWALS_A_LIFE), leadership.seek)
        schedule.add("presence", Every(interval=_SIGN_EVERY), presence.beat)
        schedule.add("probe", Every(interval=_PROBE_EVERY), partial(self._probe, ledger, traces))
        schedule.add("alerts", every, duty("alerts", lambda token: alerting.look(token, self._clock.now_ms())))
        schedule.add(
            "parked", every, duty("parked", lambda token: self._work_off(effects, lambda: leadership.token == token))
        )
        schedule.add("publish", every, duty("publish", lambda _token: self._publish_left(effects)))
        schedule.add("retention", Every(interval=_RETENTION_EVERY), duty("retention", partial(self._forget, ledger)))
        if effects.curation is not None:
            schedule.add("dataset", every, duty("dataset", effects.curation.curate))
        reevaluation = assembly.reevaluation_of(config, ledger, evaluator, self._clock, effects.judging.spending)
        if reevaluation is not None and config.evaluation is not None and config.evaluation.schedule is not None:
            plan = config.evaluation.schedule
            schedule.add("evaluation", _when(plan), duty("evaluation", lambda token: reevaluation.run(token=token)))
        with schedule:
            yield

    def _work_off(self, effects: Effects, is_ours: Callable[[], bool]) -> int:
        settings = self._config.pipeline
        return work_off_parked(
            effects, is_ours, workers=settings.workers, newest_first=settings.parked_order == "newest"
        )

    def _publish_left(self, effects: Effects) -> int:
        return publish_unpublished(effects, self._clock.now_ms() - _PUBLISH_GRACE_MS)

    def _forget(self, ledger: Ledger, token: LeaseToken) -> None:
        # Writers come first: between two transactions it rests as long as the last one took.
        deleted = ledger.retention.prune(
            self._config.retention, self._clock.now_ms(), token, lambda took_s: not self._stop.wait(took_s)
        )
        if any(deleted.values()):
            self._log.info("old rows forgotten", **{table: rows for table, rows in deleted.items() if rows})

    def _probe(self, ledger: Ledger, traces: MlflowTraceStore) -> None:
        for name, ask in (("ledger", ledger.probe), ("mlflow", traces.probe)):
            try:
                ask()
            except ServiceUnavailable as error:
                self._patience.note_down(name, error)
            else:
                self._patience.note_up(name)


def _when(plan: ScheduleSettings) -> Every | Cron:
    return Cron(expression=plan.cron) if plan.cron is not None else Every(interval=plan.interval or timedelta(days=1))


def _known_sampling(config: Config) -> list[tuple[str, str]]:
    rules = [f"rule:{number}" for number in range(1, len(config.sampling.rules) + 1)]
    known = [(decision, reason) for decision in ("kept", "left_out") for reason in ("rate", "budget", *rules)]
    return [*known, ("left_out", "evaluation")]


def _plans(config: Config) -> dict[str, Every | Cron]:
    plans: dict[str, Every | Cron] = dict.fromkeys(_UPKEEP, Every(interval=config.pipeline.upkeep_every))
    plans["retention"] = Every(interval=_RETENTION_EVERY)
    if config.evaluation is not None and config.evaluation.schedule is not None:
        plans["evaluation"] = _when(config.evaluation.schedule)
    return plans


def _deadline_s(
    plans: dict[str, Every | Cron], started_s: float, job: str, last_success_s: float | None
) -> float | None:
    """By when a job must succeed; one that never did is measured from the start."""
    plan = plans.get(job)
    if plan is None:
        return None
    due_s = deadline_s(plan, started_s if last_success_s is None else last_success_s)
    # Jobs of every few seconds wait for a service that is away: that is another alert's business for a while.
    return None if due_s is None else due_s + _OVERDUE_GRACE_S


def _holder() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
