"""What stands for a scorer that returns none or several feedbacks."""

from mlflow.entities import Feedback

from scorers.feedbacks import SEVERAL_KEY, one_feedback


def test_several_yes_or_no_of_one_name_are_taken_together() -> None:
    """All must say yes: a groundedness verdict for each retriever gives the first no, with its own rationale."""
    given = [Feedback(name="g", value="yes", rationale="r1"), Feedback(name="g", value="no", rationale="r2")]
    one = one_feedback("g", given)
    assert (one.value, one.rationale, one.metadata) == ("no", "r2", {SEVERAL_KEY: "2"})
    assert one_feedback("g", [given[0], given[0]]).value == "yes"


def test_an_error_among_several_is_the_error_of_all() -> None:
    """A part that failed is never hidden by the parts that did not."""
    one = one_feedback("g", [Feedback(name="g", value="yes"), Feedback(name="g", error=ValueError("lost"))])
    assert one.error is not None
    assert one.error.error_message == "lost"


def test_several_that_do_not_go_together_are_an_error_that_names_them() -> None:
    """Numbers are not averaged and names not guessed; the error says how to choose."""
    given = [
        Feedback(name="rel/precision", value=0.5),
        Feedback(name="rel", value="yes"),
        Feedback(name="rel", value="no"),
    ]
    one = one_feedback("rel", given)
    assert one.error is not None
    assert "rel/precision, rel x2" in str(one.error.error_message)
    assert one_feedback("rel", given, choose="precision").value == 0.5
    assert one_feedback("rel", given, choose="rel").value == "no"
    numbers = one_feedback("n", [Feedback(name="n", value=1), Feedback(name="n", value=2)])
    assert numbers.error is not None


def test_nothing_returned_is_an_error_and_not_silence() -> None:
    """Evaluate logs no assessment for None; a monitor that owes a verdict says that there is none."""
    nothing, missing = one_feedback("s", []), one_feedback("s", [Feedback(name="s", value=1)], choose="other")
    assert "returned no value" in str(nothing.error and nothing.error.error_message)
    assert "no feedback named 'other'" in str(missing.error and missing.error.error_message)


def test_the_scorers_own_object_is_left_alone() -> None:
    """A scorer may return one shared object from many threads; it is copied before it is named."""
    shared = Feedback(name="theirs", value=True, metadata={"n": 1})  # type: ignore[dict-item]
    one = one_feedback("ours", [shared])
    assert (one.name, shared.name, one.metadata, shared.metadata) == ("ours", "theirs", {"n": "1"}, {"n": 1})
