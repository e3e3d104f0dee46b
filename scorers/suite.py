"""Scoring one stored trace exactly as ``mlflow.genai.evaluate`` would, with outages told apart from verdicts."""

import contextlib
import hashlib
import json
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mlflow.entities import Feedback, Trace
from mlflow.genai.evaluation.utils import standardize_scorer_value
from mlflow.utils.timeout import MlflowTimeoutError

from scorers.catalog import ConfiguredScorer
from scorers.errors import JudgeUnavailable, ScorerSettingsError
from scorers.feedbacks import error_feedback, one_feedback
from scorers.judge_transport import JudgeWitness, outage_of, witnessing
from scorers.values import Verdict, to_verdict

VERSION_KEY = "tracewatch.scorer_version"


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreOutcome:
    """One scorer's word on one trace.

    Attributes:
        scorer: its configured name.
        version: 12 hex digits of its definition.
        feedback: for MLflow, under the scorer's name, with trace id, root span id and the stable assessment id.
        verdict: what the feedback is worth.
        duration_s: seconds, without the wait for a free place among the calls to the judge.
        calls: requests that were sent to the judge's endpoint, those that failed included; 0 where none was asked.
        asked: questions to the judge, of which each may have been sent several times.
        unmetered: calls that may be billed for tokens that the endpoint has not reported.
        input_tokens: tokens that the judge read; None where no judge was asked or the endpoint reported none.
        output_tokens: tokens that the judge wrote, likewise.
    """

    scorer: str
    version: str
    feedback: Feedback
    verdict: Verdict
    duration_s: float
    calls: int
    asked: int
    unmetered: int
    input_tokens: int | None
    output_tokens: int | None


class ScorerSuite:
    """The configured scorers. Holds no state of a score: ``score`` may be called from many threads."""

    def __init__(self, scorers: Sequence[ConfiguredScorer], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._scorers = {scorer.name: scorer for scorer in scorers}
        if len(self._scorers) != len(scorers):
            names = [scorer.name for scorer in scorers]
            twice = next(name for name in names if names.count(name) > 1)
            raise ScorerSettingsError("scorers.name", twice, "every scorer has a name of its own")
        self._clock = clock

    def __iter__(self) -> Iterator[ConfiguredScorer]:
        return iter(self._scorers.values())

    def __len__(self) -> int:
        return len(self._scorers)

    def __getitem__(self, name: str) -> ConfiguredScorer:
        return self._scorers[name]

    def score(self, scorer: str | ConfiguredScorer, trace: Trace) -> ScoreOutcome:
        """Score a trace. A scorer that raises gives an error verdict, as in ``mlflow.genai.evaluate``.

        Raises:
            JudgeUnavailable: the judge's endpoint gave no answer (connection, timeout, 401, 403, 404, 429, 5xx) after
                its retries. Nothing is known about the trace: score it again later, or ``give_up``.
            KeyError: the suite has no scorer of that name.
        """
        configured = self._scorers[scorer] if isinstance(scorer, str) else scorer
        started = self._clock()
        with witnessing() as witness:
            feedback = _run(configured, trace, witness)
        took_s = max(0.0, self._clock() - started - witness.waited_s)
        return _outcome(configured, trace, feedback, took_s, witness)

    def give_up(self, scorer: str | ConfiguredScorer, trace: Trace, outage: JudgeUnavailable) -> ScoreOutcome:
        """The error verdict for a trace on which the judge keeps failing while it answers for others."""
        configured = self._scorers[scorer] if isinstance(scorer, str) else scorer
        feedback = error_feedback(configured.name, "JUDGE_UNAVAILABLE", str(outage))
        return _outcome(configured, trace, feedback, 0.0, JudgeWitness())


def assessment_id(trace_id: str, scorer: str, version: str) -> str:
    """The stable id of a scorer's assessment of a trace: ``a-`` and 32 hex digits of the three, line by line."""
    digest = hashlib.sha256(f"{trace_id}\n{scorer}\n{version}".encode()).hexdigest()
    return f"a-{digest[:32]}"


def scorer_arguments(trace: Trace) -> dict[str, Any]:
    """What ``mlflow.genai.evaluate`` hands to a scorer for a stored trace: inputs, outputs, expectations, trace.

    Inputs and outputs are the root span's; inputs that are JSON text are parsed; expectations are the trace's
    expectation assessments by name, ``{}`` without any (mlflow.genai.evaluation.utils, .entities.EvalItem).
    """
    root = _root_span(trace)
    inputs = root.inputs if root is not None else None
    if isinstance(inputs, str):
        with contextlib.suppress(ValueError):
            inputs = json.loads(inputs)
    return {
        "inputs": inputs,
        "outputs": root.outputs if root is not None else None,
        "expectations": {
            a.name: a.expectation.value for a in trace.info.assessments or [] if a.expectation is not None
        },
        "trace": trace,
    }


def _run(configured: ConfiguredScorer, trace: Trace, witness: JudgeWitness) -> Feedback:
    try:
        value = configured.scorer.run(**scorer_arguments(trace))  # type: ignore[no-untyped-call]
        feedbacks = standardize_scorer_value(configured.name, value)
    except Exception as error:  # a scorer may raise anything; evaluate turns it into a feedback, and so do we
        if (outage := _outage(configured, error, witness)) is not None:
            raise _with_usage(outage, witness) from error
        return error_feedback(configured.name, "SCORER_ERROR", str(error), traceback.format_exc())
    return one_feedback(configured.name, feedbacks, configured.settings.feedback)


def _outage(configured: ConfiguredScorer, error: Exception, witness: JudgeWitness) -> JudgeUnavailable | None:
    if witness.outage is not None:
        return witness.outage
    if configured.kind != "judge":
        return None
    if isinstance(error, MlflowTimeoutError) and witness.in_flight:
        # Nobody waits for the end of those in flight, and they may be billed.
        calls, unmetered = witness.calls + witness.in_flight, witness.unmetered + witness.in_flight
        return JudgeUnavailable(str(error), endpoint=witness.endpoint, timed_out=True, calls=calls, unmetered=unmetered)
    return outage_of(error)


def _with_usage(outage: JudgeUnavailable, witness: JudgeWitness) -> JudgeUnavailable:
    """The outage with what the whole score came to, of which its last question is only a part."""
    outage.calls = max(outage.calls, witness.calls)
    outage.unmetered = max(outage.unmetered, witness.unmetered)
    outage.asked = witness.asked
    outage.input_tokens, outage.output_tokens = witness.input_tokens, witness.output_tokens
    return outage


def _outcome(
    configured: ConfiguredScorer, trace: Trace, feedback: Feedback, duration_s: float, witness: JudgeWitness
) -> ScoreOutcome:
    root = _root_span(trace)
    feedback.trace_id = trace.info.trace_id
    feedback.assessment_id = assessment_id(trace.info.trace_id, configured.name, configured.version)
    # evaluate shows every assessment at the root span, whatever span the scorer named.
    feedback.span_id = root.span_id if root is not None else None
    feedback.metadata = {**(feedback.metadata or {}), VERSION_KEY: configured.version}
    return ScoreOutcome(
        scorer=configured.name,
        version=configured.version,
        feedback=feedback,
        verdict=to_verdict(feedback, configured.rules),
        duration_s=duration_s,
        calls=witness.calls,
        asked=witness.asked,
        unmetered=witness.unmetered,
        input_tokens=witness.input_tokens,
        output_tokens=witness.output_tokens,
    )


def _root_span(trace: Trace) -> Any:
    return next((span for span in trace.data.spans if span.parent_id is None), None)
