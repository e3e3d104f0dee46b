"""What is said about a comparison in words, on the terminal and in the report."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

ROWS_NAMED = 5
_INPUT_CHARS = 60


def signed(value: float | None) -> str:
    """A difference with its sign and three digits; an en dash where there is none."""
    return "–" if value is None else f"{value:+.3f}"  # noqa: RUF001 - the typographic sign for 'none'


def pretty(value: Any) -> str:
    """A JSON value for people: text as it is, an object with one text in it as that text."""
    if isinstance(value, dict) and len(value) == 1:
        (value,) = value.values()
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, default=str)


def cut(text: str, characters: int) -> str:
    """The text up to so many characters, and how many more there are."""
    rest = len(text) - characters
    return text if rest <= 0 else f"{text[:characters]}… ({rest} more characters)"


def remarks(value: Mapping[str, Any]) -> list[str]:
    """What the numbers of a comparison do not say by themselves, a sentence each.

    Args:
        value: what `comparison_json` gives, also that of an earlier release.
    """
    return [*_of_rows(value), *_of_stopping(value), *_of_scorers(value)]


def _of_rows(value: Mapping[str, Any]) -> Iterator[str]:
    if few := value.get("cannot_decide"):
        yield (
            f"{few['rows']} rows cannot decide: even if all of them changed the same way, "
            f"{few['fewest_rows']} would be needed."
        )
    versions = {side: value[side]["version"] for side in ("baseline", "candidate")}
    unpaired = value.get("unpaired", {})
    for key, side, what in (("removed", "baseline", "Removed"), ("added", "candidate", "Added")):
        if unpaired.get(side):
            yield f"{what}, only {versions[side]} has them: {_rows(value.get(key, ()), unpaired[side])}."
    if errors := value.get("app_errors"):
        yield f"Rows without an answer of the application, each a fail of that version: {_both(errors, versions)}."


def _of_stopping(value: Mapping[str, Any]) -> Iterator[str]:
    early = value.get("early_stop")
    if early is None:
        return
    if early["stopped"]:
        yield (
            f"Stopped early after {early['rows']} of {early['planned']} rows: {early['answers_saved']} answers and "
            f"{early['judge_calls_saved']} judge calls saved."
        )
    else:
        yield f"All {early['planned']} rows were run: nothing was proved before they ended."
    needed = next((metric["evidence_needed"] for metric in value["metrics"] if "evidence_needed" in metric), None)
    at = "" if needed is None else f", at {needed:g} or more"
    yield f"The evidence alone decides{at}; p is that of a fixed number of rows, and does not decide."


def _of_scorers(value: Mapping[str, Any]) -> Iterator[str]:
    versions = {side: value[side]["version"] for side in ("baseline", "candidate")}
    graded = [metric["scorer"] for metric in value["metrics"] if metric.get("measure") == "mean_score"]
    if graded:
        yield f"Mean scores, not pass rates: {', '.join(graded)}."
    if repeats := value.get("repeats"):
        agreements = [
            f"{metric['scorer']} {metric['self_agreement']:.3f}"
            for metric in value["metrics"]
            if metric.get("self_agreement") is not None
        ]
        yield f"Each answer was judged {repeats} times. Self-agreement: {', '.join(agreements) or 'none known'}."
    for metric in value["metrics"]:
        if any(metric["errors"].values()):
            yield f"{metric['scorer']} could not judge, and leaves out: {_both(metric['errors'], versions)}."
        if repeat_errors := metric.get("repeat_errors"):
            yield f"{metric['scorer']} had errors in single repeats: {_both(repeat_errors, versions)}."
        if note := metric.get("note"):
            yield f"{metric['scorer']} decides nothing: {note}."


def _both(counts: Mapping[str, int], versions: Mapping[str, str]) -> str:
    return " and ".join(f"{counts[side]} ({versions[side]})" for side in ("baseline", "candidate") if counts[side])


def _rows(rows: Sequence[Mapping[str, Any]], count: int) -> str:
    named = [cut(" ".join(_inline(row["inputs"]).split()), _INPUT_CHARS) for row in rows[:ROWS_NAMED]]
    words = f"{count} row" if count == 1 else f"{count} rows"
    if not named:
        return words
    more = f" and {count - len(named)} more" if count > len(named) else ""
    return f"{words} ({'; '.join(named)}{more})"


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {pretty(each)}" for key, each in value.items())
    return pretty(value)
