"""One replica of the pipeline on the shipped in-memory stream and stores, and a ledger in a file."""

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog
from mlflow.genai.scorers import Scorer
from mlflow.genai.scorers import scorer as scorer_of
from prometheus_client import CollectorRegistry

from consumers.decoding import REASONS, decode
from consumers.events import TraceEvent
from consumers.memory_source import MemoryDeadLetters, MemorySource, MemoryTopic
from consumers.messages import Message, TopicPartition
from consumers.settings import DeadLetterSettings, DecodingLimits
from consumers.source import PolledBatch
from monitor.clock import ManualClock
from monitor.curation import Curation
from monitor.dataset.memory_store import MemoryDatasetStore
from monitor.dataset.settings import DatasetSettings
from monitor.health import Health
from monitor.ledger.ledger import Ledger, open_ledger
from monitor.metrics import KnownLabels, ProcessMetrics
from monitor.pipeline.effects import Effects, EffectsPolicy
from monitor.pipeline.feedback import FeedbackEffects
from monitor.pipeline.intake import IntakeLoop, IntakeParts
from monitor.pipeline.judging import Judging
from monitor.pipeline.patience import Patience
from monitor.pipeline.sampler import Sampler, Subject
from monitor.pipeline.settings import PipelineSettings
from monitor.sampling import SamplingSettings
from monitor.settings import SpendSettings
from monitor.spend.spending import Spending
from monitor.traces.memory_store import MemoryTraceStore
from monitor.traces.redaction import Redaction, RedactionSettings
from scorers.catalog import ConfiguredScorer
from scorers.settings import ScorerSettings
from scorers.suite import ScorerSuite
from scorers.values import ValueRules

NOW_MS = 1_764_000_000_000
_PATIENCE_S = 120.0


class Killed(RuntimeError):
    """Stands for `kill -9`: nothing that comes after it happens."""


class StoppingSource(MemorySource):
    """Stops the loop at the first poll at which the test's condition holds, and fails one that never does."""

    def __init__(self, stage: "Stage", until: Callable[[], bool], stop: threading.Event) -> None:
        super().__init__(stage.topic)
        self._stage = stage
        self._until = until
        self._stop = stop
        self._deadline_s = time.monotonic() + _PATIENCE_S
        self.out_of_patience = False
        self.polls = 0
        self.most_paused = 0

    def poll(self, timeout_s: float) -> PolledBatch:
        """Poll, or tell the loop to end."""
        self.polls += 1
        self.most_paused = max(self.most_paused, len(self._paused))
        holds = self._until()
        self.out_of_patience = not holds and time.monotonic() > self._deadline_s
        if holds or self.out_of_patience:
            self._stop.set()
            return PolledBatch()
        return super().poll(min(timeout_s, 0.005))

    def committed(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The committed offsets, unless the test wants the stream to fail."""
        if (failure := next(self._stage.source_fails, None)) is not None:
            self._stage.clock.advance(timedelta(seconds=2))
            raise failure
        return super().committed(tps)


@dataclass(kw_only=True)
class Stage:
    """What outlives a replica (stream, stores, clock, the ledger's file), and the settings of the next one."""

    ledger_url: str
    topic: MemoryTopic = field(default_factory=lambda: MemoryTopic(partitions=2))
    traces: MemoryTraceStore = field(default_factory=MemoryTraceStore)
    letters: MemoryDeadLetters = field(default_factory=MemoryDeadLetters)
    dataset: MemoryDatasetStore = field(default_factory=MemoryDatasetStore)
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW_MS))
    judged: list[str] = field(default_factory=list)
    scorers: dict[str, tuple[str, Callable[[Any], Any]]] = field(default_factory=dict)
    sampling: SamplingSettings = field(default_factory=lambda: SamplingSettings(rate=1.0))
    label_rate: float = 0.0
    shared: bool = False
    redaction: Redaction = field(default_factory=lambda: Redaction(RedactionSettings()))
    pipeline: PipelineSettings = field(
        default_factory=lambda: PipelineSettings(commit_every=timedelta(0), workers=4, retry_up_to=timedelta(0))
    )
    dead_letters: DeadLetterSettings = field(default_factory=lambda: DeadLetterSettings(hold=timedelta(0)))
    dataset_settings: DatasetSettings | None = None
    spend: SpendSettings = field(default_factory=SpendSettings)
    canary: Callable[[str], None] = lambda _scorer: None
    is_ours: Callable[[TraceEvent], bool] = lambda _event: True
    ledgers: list[Ledger] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    source: StoppingSource | None = None
    loop: IntakeLoop | None = None
    source_fails: Iterator[Exception] = field(default_factory=lambda: iter(()))
    health: Health = field(default_factory=lambda: Health(("kafka", "mlflow", "ledger", "judge")))

    def open(self) -> Ledger:
        """Another connection to the ledger, closed with the test."""
        self.ledgers.append(open_ledger(self.ledger_url))
        return self.ledgers[-1]

    def event(self, source_id: str, /, partition: int = 0, **more: Any) -> Message:
        """Put an event into the stream."""
        inputs = {"question": source_id}
        document = {"trace_id": source_id, "inputs": inputs, "outputs": "yes", "timestamp_ms": NOW_MS, **more}
        return self.topic.append(json.dumps(document).encode(), partition=partition, timestamp_ms=NOW_MS)

    def scorer(self, name: str, kind: str = "judge", answer: Callable[[Any], Any] = lambda _inputs: True) -> None:
        """Add a scorer that notes each call."""
        self.scorers[name] = (kind, answer)

    def suite(self) -> ScorerSuite:
        """The scorers, each an MLflow scorer made of a function."""
        return ScorerSuite([self._configured(name, *what) for name, what in self.scorers.items()])

    def _configured(self, name: str, kind: str, answer: Callable[[Any], Any]) -> ConfiguredScorer:
        def judge(inputs: Any) -> Any:
            self.judged.append(f"{name}:{inputs['question']}")
            return answer(inputs)

        made: Scorer = scorer_of(judge, name=name)
        settings = ScorerSettings(name=name, use="tests:judge")
        return ConfiguredScorer(name=name, scorer=made, kind=kind, version="0" * 12, settings=settings)  # type: ignore[arg-type]

    def patience(self) -> Patience:
        """Tries again at once."""
        return Patience(health=self.health, stop=self.stop, log=structlog.get_logger(), longest=timedelta(0))

    def effects(self, ledger: Ledger, traces: Any = None) -> Effects:
        """The effects of a replica on this ledger."""
        suite, patience = self.suite(), self.patience()
        known = KnownLabels(app="shop", version="0", config="0", dead_letter_reasons=tuple(REASONS))
        metrics = ProcessMetrics(CollectorRegistry(), known, self.health)
        curation = None
        if self.dataset_settings is not None:
            curation = Curation(settings=self.dataset_settings, members=ledger.members, store=self.dataset)
        return Effects(
            policy=EffectsPolicy(
                scorers=tuple(self.scorers),
                judges=frozenset(name for name, (kind, _) in self.scorers.items() if kind == "judge"),
                segments=("app_version",),
                judge_calls_per_hour=self.sampling.judge_calls_per_hour,
            ),
            ledger=ledger,
            traces=traces or self.traces,
            redaction=self.redaction,
            judging=Judging(
                suite=suite,
                intake=ledger.intake,
                metrics=metrics,
                patience=patience,
                clock=self.clock,
                spending=self.spending(ledger),
                canary=self.canary,
                log=structlog.get_logger(),
            ),
            curation=curation,
            patience=patience,
            clock=self.clock,
            log=structlog.get_logger(),
        )

    def feedback(self, effects: Effects) -> FeedbackEffects:
        """What feedback causes on the same parts."""
        return FeedbackEffects(
            scorers=effects.policy.scorers,
            rules={name: ValueRules() for name in self.scorers},
            ledger=effects.ledger,
            traces=effects.traces,
            redaction=effects.redaction,
            curation=effects.curation,
            patience=effects.patience,
            shared=self.shared,
            log=effects.log,
        )

    def spending(self, ledger: Ledger) -> Spending:
        """The group's spend; judges without an endpoint of their own make no calls unless a test says so."""
        models = dict.fromkeys(self.scorers, "scripted")
        return Spending(ledger.spend, self.spend, models, self.clock, attempts=1, evaluates=False)

    def sampler(self, ledger: Ledger) -> Sampler:
        """The sampler of a replica on this ledger."""
        subjects = [Subject(name=name, kind=kind, rate=None) for name, (kind, _) in self.scorers.items()]  # type: ignore[arg-type]
        if self.dataset_settings is not None:
            name = f"dataset:{self.dataset_settings.name}"
            subjects.append(Subject(name=name, kind="dataset", rate=self.dataset_settings.rate))
        return Sampler(self.sampling, subjects, ledger.budget, self.label_rate)

    def run(
        self,
        until: Callable[[], bool] | None = None,
        *,
        change: Callable[[Ledger], Ledger] = lambda ledger: ledger,
        traces: Any = None,
    ) -> None:
        """Run one replica until the condition holds (default: all is committed), then drain it."""
        self.stop.clear()
        ledger = change(self.open())
        effects = self.effects(ledger, traces)
        self.source = StoppingSource(self, until or self.all_committed, self.stop)
        parts = IntakeParts(
            source=self.source,
            dead_letters=self.letters,
            decode=partial(_decode, self.clock),
            is_ours=self.is_ours,
            sampler=self.sampler(ledger),
            effects=effects,
            feedback=self.feedback(effects),
            positions=ledger.positions,
            metrics=effects.judging.metrics,
            patience=effects.patience,
            clock=self.clock,
            log=structlog.get_logger(),
        )
        self.loop = IntakeLoop(parts, self.pipeline, effects.policy.scorers, self.dead_letters)
        self.loop.run(self.stop)
        assert not self.source.out_of_patience, "what the test waits for never happened"

    def all_committed(self) -> bool:
        """Whether Kafka knows that every event is done."""
        return sum(self.topic.commits.values()) == sum(len(log) for log in self.topic.logs)

    def counts(self) -> Mapping[tuple[str, str], int]:
        """(scorer, outcome) -> events, after a check that they add up."""
        ledger = self.open()
        assert ledger.positions.mismatches() == []
        return {(row.scorer, row.outcome): row.count for row in ledger.positions.accounted()}

    def killed_in(self, part: str, method: str, *, before: bool = False) -> Callable[[Ledger], Ledger]:
        """A change of a ledger by which the process dies right after (or before) a write of that part."""

        def change(ledger: Ledger) -> Ledger:
            real = getattr(ledger, part)

            def write(_self: Any, *args: Any, **kwargs: Any) -> Any:
                if not before:
                    getattr(real, method)(*args, **kwargs)
                raise Killed(method)

            kind = type(f"Killed{part}", (type(real),), {method: write, "__slots__": ()})
            return replace(ledger, **{part: kind(ledger.database)})

        return change


def _decode(clock: ManualClock, message: Message) -> TraceEvent:
    return decode(message, "tracewatch+json", DecodingLimits(), clock.now_ms())


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A stage with one judge, `safe`, and one scorer in code, `short`."""
    made = Stage(ledger_url=f"sqlite:///{tmp_path}/ledger.db")
    made.scorer("safe")
    made.scorer("short", kind="code")
    yield made
    for ledger in made.ledgers:
        ledger.close()
