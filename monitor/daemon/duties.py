"""What a replica does by the clock: keeping its lease and its health known, and the duties of the lease holder."""

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from structlog.typing import FilteringBoundLogger

from monitor.alerting.candidates import CandidateFindings
from monitor.alerting.look import Alerting
from monitor.alerting.spend import SpendFindings
from monitor.alerting.streams import StreamFindings
from monitor.alerting.work import WorkFindings
from monitor.clock import Clock
from monitor.config import Config
from monitor.daemon import assembly
from monitor.daemon.delivering import job_of, outbox_of, sending_of
from monitor.delivery.outbox import Outbox
from monitor.errors import ServiceUnavailable
from monitor.evaluation.evaluator import Evaluator
from monitor.evaluation.settings import ScheduleSettings
from monitor.labels.quality import doubt
from monitor.labels.reading import LabelReading
from monitor.labels.rejudging import MovedFindings, Rejudging, held_back
from monitor.ledger.ledger import Ledger
from monitor.ledger.rows import LeaseToken
from monitor.masking import Mask
from monitor.pipeline.effects import Effects
from monitor.pipeline.feedback import FeedbackEffects
from monitor.pipeline.owed import publish_unpublished, work_off_parked
from monitor.pipeline.patience import Patience
from monitor.reevaluation import Reevaluation
from monitor.replica.duty import Duty
from monitor.replica.leadership import RENEWALS_A_LIFE, Leadership
from monitor.replica.presence import Presence
from monitor.replica.schedule import Cron, Every, Schedule, deadline_s
from monitor.series.closing import Closing
from monitor.series.finder import SeriesFinder
from monitor.traces.mlflow_store import MlflowTraceStore

_PROBE_EVERY = timedelta(seconds=15)
_LAG_EVERY = timedelta(seconds=15)
_SIGN_EVERY = timedelta(seconds=15)
_RETENTION_EVERY = timedelta(minutes=10)
_PUBLISH_GRACE_MS = 60_000
_OVERDUE_GRACE_S = 300.0
_UPKEEP = ("alerts", "parked", "publish", "feedback")


@dataclass(frozen=True, kw_only=True, slots=True)
class Duties:
    """What is done by the clock, and with what. `lag` gives how far the stream is ahead, by (topic, partition)."""

    config: Config
    effects: Effects
    feedback: FeedbackEffects
    leadership: Leadership
    presence: Presence
    evaluator: Evaluator
    traces: MlflowTraceStore
    patience: Patience
    stop: threading.Event
    clock: Clock
    mask: Mask
    log: FilteringBoundLogger
    lag: Callable[[], Mapping[tuple[str, int], int]]

    def schedule(self) -> Schedule:
        """The schedule of this replica, not running yet, without what asks the judge."""
        schedule = Schedule(self.log)
        self._add_own(schedule)
        self._add_upkeep(schedule)
        self._add_labels(schedule)
        return schedule

    def add_judging(self, schedule: Schedule) -> None:
        """Also do what asks the judge: once it has answered, as what it refuses by mistake is noted as a verdict."""
        every = Every(interval=self.config.pipeline.upkeep_every)
        schedule.add("parked", every, self._duty("parked", self._work_off))
        self._add_rejudging(schedule)
        self._add_evaluation(schedule)

    @property
    def _ledger(self) -> Ledger:
        return self.effects.ledger

    def _duty(self, name: str, work: Callable[[LeaseToken], object]) -> Duty:
        return Duty(
            name=name,
            work=work,
            leadership=self.leadership,
            jobs=self._ledger.jobs,
            clock=self.clock,
            log=self.log,
            mask=self.mask,
        )

    def _add_own(self, schedule: Schedule) -> None:
        """What every replica does for itself."""
        lease_every = Every(interval=self.config.ledger.lease_ttl / RENEWALS_A_LIFE)
        schedule.add("lease", lease_every, self.leadership.seek, pool="own")
        schedule.add("presence", Every(interval=_SIGN_EVERY), self.presence.beat, pool="own")
        schedule.add("probe", Every(interval=_PROBE_EVERY), self._probe, pool="own")
        schedule.add("lag", Every(interval=_LAG_EVERY), self._note_lag, pool="own")

    def _add_upkeep(self, schedule: Schedule) -> None:
        every = Every(interval=self.config.pipeline.upkeep_every)
        outbox = self._outbox()
        schedule.add("alerts", every, self._duty("alerts", self._close_and_look(outbox)), pool="alerts")
        for job, send in sending_of(outbox).items():
            schedule.add(job, every, self._duty(job, send))
        schedule.add("publish", every, self._duty("publish", self._publish_left))
        schedule.add("feedback", every, self._duty("feedback", self._publish_feedback))
        schedule.add("retention", Every(interval=_RETENTION_EVERY), self._duty("retention", self._forget))
        if self.effects.curation is not None:
            schedule.add("dataset", every, self._duty("dataset", self.effects.curation.curate))

    def _close_and_look(self, outbox: Outbox) -> Callable[[LeaseToken], None]:
        """Close the blocks whose time has come, see what the alert table makes of it, and note whom to tell."""
        config, ledger, alerts = self.config, self._ledger, self.config.alerts
        watched = assembly.watched_of(config, self.effects.judging.suite)
        severities = assembly.severities_of(config)
        closing = Closing(
            ledger.series,
            watched,
            settings=config.statistics,
            sessions=config.sessions,
            max_age=alerts.max_age,
            log=self.log,
        )
        finders = (
            SeriesFinder(
                ledger,
                watched,
                severities=severities,
                settings=config.statistics,
                sight=assembly.sight_of(config),
                alerts=alerts,
                warnings=self._doubts,
                held_back=held_back,
            ),
            MovedFindings(ledger.frozen, self._versions, severities, config.labelling.moved_alpha),
            CandidateFindings(ledger.evaluations, config.candidates, severities),
            SpendFindings(self.effects.judging.spending.pots),
            StreamFindings(ledger, alerts),
            WorkFindings(
                ledger,
                severities,
                alerts,
                None if config.dataset is None else config.dataset.name,
                deadlines(config, self.clock.now_ms() / 1000),
            ),
        )
        alerting = Alerting(ledger.alerts, finders, self.log, alerts.severity)

        def close_and_look(token: LeaseToken) -> None:
            # Before the look as well: what a killed holder saw and did not write down is told even if it ends now.
            outbox.note(token)
            closing.close(token, self.clock.now_ms())
            alerting.look(token, self.clock.now_ms())
            outbox.note(token)

        return close_and_look

    def _outbox(self) -> Outbox:
        return outbox_of(
            config=self.config,
            deliveries=self._ledger.deliveries,
            traces=self.traces,
            count=self.effects.judging.metrics.alert_delivered,
            stop=self.stop,
            clock=self.clock,
            log=self.log,
        )

    def _add_evaluation(self, schedule: Schedule) -> None:
        settings, spending = self.config.evaluation, self.effects.judging.spending
        work = assembly.reevaluation_of(self.config, self._ledger, self.evaluator, self.clock, spending)
        if work is not None and settings is not None and settings.schedule is not None:
            duty = self._duty("evaluation", partial(self._reevaluate, work))
            schedule.add("evaluation", _when(settings.schedule), duty)

    def _reevaluate(self, work: Reevaluation, token: LeaseToken) -> None:
        self.log.info("evaluation begins")
        result = work.run(token=token)
        for version, cause in result.unavailable.items():
            self.log.warning("candidate could not be run", evaluation=result.id, version=version, cause=cause)
        for version, comparison in result.comparisons.items():
            self.log.info(
                "candidate compared",
                evaluation=result.id,
                version=version,
                run_id=result.runs[version].run_id,
                rows=comparison["dataset"]["rows"],
                regressed=comparison["regressed"],
                verdicts={each["scorer"]: each["verdict"] for each in comparison["metrics"]},
            )

    def _work_off(self, token: LeaseToken) -> int:
        settings = self.config.pipeline
        return work_off_parked(
            self.effects,
            lambda: self.leadership.token == token,
            workers=settings.workers,
            newest_first=settings.parked_order == "newest",
        )

    def _publish_left(self, _token: LeaseToken) -> int:
        return publish_unpublished(self.effects, self.clock.now_ms() - _PUBLISH_GRACE_MS)

    @property
    def _versions(self) -> dict[str, str]:
        return {each.name: each.version for each in self.effects.judging.suite}

    def _doubts(self) -> dict[str, str]:
        """Scorer -> why its alerts are to be doubted, by what people say of its verdicts."""
        quality = assembly.quality_of(self.config, self._ledger, self._versions)
        found = quality.agreements(self.clock.now_ms())
        doubts = {scorer: doubt(agreement, self.config.labelling) for scorer, agreement in found.items()}
        return {scorer: words for scorer, words in doubts.items() if words is not None}

    def _add_labels(self, schedule: Schedule) -> None:
        settings, ledger, suite = self.config.labelling, self._ledger, self.effects.judging.suite
        rules = {each.name: each.rules for each in suite}
        reading = LabelReading(ledger.labels, self.traces, rules, settings.window)
        every = Every(interval=settings.read_every)
        schedule.add("labels", every, self._duty("labels", lambda token: reading.read(token, self.clock.now_ms())))

    def _add_rejudging(self, schedule: Schedule) -> None:
        settings, ledger = self.config.labelling, self._ledger
        if settings.rejudge is not None:
            rejudging = Rejudging(
                labels=ledger.labels,
                frozen=ledger.frozen,
                traces=self.traces,
                suite=self.effects.judging.suite,
                spending=self.effects.judging.spending,
                settings=settings,
                clock=self.clock,
                log=self.log,
            )
            schedule.add("rejudge", _when(settings.rejudge), self._duty("rejudge", rejudging.run))

    def _publish_feedback(self, _token: LeaseToken) -> int:
        return self.feedback.publish_waiting(self.clock.now_ms())

    def _forget(self, token: LeaseToken) -> None:
        # Writers come first: between two transactions it rests as long as the last one took.
        deleted = self._ledger.retention.prune(
            self.config.retention, self.clock.now_ms(), token, lambda took_s: not self.stop.wait(took_s)
        )
        if any(deleted.values()):
            self.log.info("old rows forgotten", **{table: rows for table, rows in deleted.items() if rows})

    def _note_lag(self) -> None:
        with contextlib.suppress(ServiceUnavailable):
            # The probe says that the ledger is away; what is not noted is not known.
            self._ledger.positions.note_lag(self.lag(), self.clock.now_ms())

    def _probe(self) -> None:
        for name, ask in (("ledger", self._ledger.probe), ("mlflow", self.traces.probe)):
            try:
                ask()
            except ServiceUnavailable as error:
                self.patience.note_down(name, error)
            else:
                self.patience.note_up(name)


def deadlines(config: Config, started_s: float) -> Callable[[str, float | None], float | None]:
    """By when a job must succeed, told its name and last success in seconds; one that never did counts from the start.

    None for a job without a plan.
    """
    return partial(_deadline_s, _plans(config), started_s)


def planned_jobs(config: Config) -> frozenset[str]:
    """The jobs that the lease holder does by the clock, whether or not one of them has ever reported."""
    return frozenset(_plans(config))


def _when(plan: ScheduleSettings) -> Every | Cron:
    return Cron(expression=plan.cron) if plan.cron is not None else Every(interval=plan.interval or timedelta(days=1))


def _plans(config: Config) -> dict[str, Every | Cron]:
    plans: dict[str, Every | Cron] = dict.fromkeys(_UPKEEP, Every(interval=config.pipeline.upkeep_every))
    plans |= {job_of(each.name): Every(interval=config.pipeline.upkeep_every) for each in config.alerts.told}
    if config.dataset is not None:
        plans["dataset"] = Every(interval=config.pipeline.upkeep_every)
    plans["retention"] = Every(interval=_RETENTION_EVERY)
    plans["labels"] = Every(interval=config.labelling.read_every)
    if config.labelling.rejudge is not None:
        plans["rejudge"] = _when(config.labelling.rejudge)
    if config.evaluates and config.evaluation is not None and config.evaluation.schedule is not None:
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
