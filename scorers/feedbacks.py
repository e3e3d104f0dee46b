"""One scorer, one trace, one feedback: what to make of a scorer that returns none or several."""

import copy
from collections import Counter
from collections.abc import Sequence

from mlflow.entities import AssessmentError, AssessmentSource, AssessmentSourceType, Feedback

from scorers.values import is_no, same_category

SEVERAL_KEY = "tracewatch.feedbacks"


def one_feedback(name: str, feedbacks: Sequence[Feedback], choose: str | None = None) -> Feedback:
    """The one feedback that stands for what a scorer returned for a trace; a copy under the scorer's name.

    - one feedback: that one;
    - several with the scorer's own name that all read as yes or no (a groundedness verdict for each of several
      retrievers): the first that says no, else the first, so that all must say yes;
    - several of which one has an error: that error;
    - anything else, and none at all: an error that says so.

    Args:
        name: the configured name of the scorer.
        feedbacks: what ``mlflow.genai.evaluate`` would log for this scorer and trace.
        choose: the name (or its part after ``NAME/``) of the feedback that counts; others are left out.
    """
    candidates = [f for f in feedbacks if choose is None or f.name in {choose, f"{name}/{choose}"}]
    if not candidates:
        wanted = "no value" if not feedbacks else f"no feedback named {choose!r}, only {_names(feedbacks)}"
        return error_feedback(name, "NO_FEEDBACK", f"scorer {name!r} returned {wanted}")
    failed = next((f for f in candidates if f.error is not None), None)
    if failed is not None or len(candidates) == 1:
        return _named(name, failed or candidates[0], len(candidates))
    if len({f.name for f in candidates}) == 1 and same_category([f.value for f in candidates]):
        return _named(name, next((f for f in candidates if is_no(f.value)), candidates[0]), len(candidates))
    return error_feedback(
        name,
        "SEVERAL_FEEDBACKS",
        f"scorer {name!r} returned {len(candidates)} feedbacks ({_names(candidates)}); "
        "a verdict needs one: choose it with `feedback`",
    )


def error_feedback(name: str, code: str, message: str, stack_trace: str | None = None) -> Feedback:
    """A feedback with an error and no value, in the form in which ``mlflow.genai.evaluate`` logs a failed scorer."""
    return Feedback(
        name=name,
        source=AssessmentSource(source_type=AssessmentSourceType.CODE, source_id=name),
        error=AssessmentError(error_code=code, error_message=message, stack_trace=stack_trace),
    )


def _named(name: str, feedback: Feedback, of_several: int) -> Feedback:
    # A scorer may hand out the same object for every trace, from many threads.
    result = copy.copy(feedback)
    result.name = name
    result.metadata = {key: str(value) for key, value in (feedback.metadata or {}).items()}
    if of_several > 1:
        result.metadata[SEVERAL_KEY] = str(of_several)
    return result


def _names(feedbacks: Sequence[Feedback]) -> str:
    counts = Counter(f.name for f in feedbacks)
    return ", ".join(f"{name} x{count}" if count > 1 else name for name, count in counts.items())
