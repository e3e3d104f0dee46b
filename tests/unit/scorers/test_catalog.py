"""Building scorers from settings: names, parameters, kinds and versions."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow.genai.scorers import Guidelines
from pydantic import ValidationError

from scorers.catalog import ConfiguredScorer, build_scorer, known_scorers
from scorers.errors import ScorerSettingsError, UnknownScorer
from scorers.registry import MemoryScorerRegistry
from scorers.settings import JudgeSettings, ScorerSettings

JUDGE = JudgeSettings(model="m1")
USER_MODULE = """
from mlflow.entities import Feedback
from mlflow.genai.scorers import Scorer, scorer

def greets(outputs, word="hello"):
    return word in str(outputs).lower()

@scorer
def decorated(outputs) -> bool:
    return True

class Shouts(Scorer):
    name: str = "shouts"
    times: int = 1
    def __call__(self, *, outputs=None):
        return str(outputs).count("!") >= self.times

async def later(outputs):
    return True

def asks_more(outputs, threshold):
    return True

def of_session(session):
    return True

NUMBER = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Writes a module of user code into the working directory and gives its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    names: list[str] = []

    def write(text: str = USER_MODULE) -> str:
        name = f"shop_{abs(hash(tmp_path))}_{len(names)}"
        (tmp_path / f"{name}.py").write_text(text)
        names.append(name)
        return name

    yield write
    for name in names:
        sys.modules.pop(name, None)


def build(judge: JudgeSettings = JUDGE, **settings: Any) -> ConfiguredScorer:
    """A configured scorer named ``s`` unless told otherwise."""
    return build_scorer(ScorerSettings(**({"name": "s"} | settings)), judge)


def test_builtin_scorers_get_the_configured_name_and_model() -> None:
    """`use` with parameters is the class itself, asking the configured model."""
    configured = build(name="concise", use="Guidelines", guidelines="Be short.")
    assert isinstance(configured.scorer, Guidelines)
    assert (configured.scorer.name, configured.scorer.model) == ("concise", "openai:/m1")
    assert configured.kind == "judge"
    assert len(configured.version) == 12
    assert int(configured.version, 16) >= 0
    assert build(use="Safety", model="m2").scorer.model == "openai:/m2"  # type: ignore[attr-defined]


def test_every_single_trace_scorer_of_mlflow_is_known_by_name() -> None:
    """Whatever mlflow.genai.scorers offers can be used, and session scorers say why they cannot."""
    assert {"Safety", "Correctness", "RetrievalGroundedness", "Fluency", "AnswerLength", "Latency"} <= set(
        known_scorers()
    )
    assert build(use="ResponseLength", max_length=5).kind == "code"
    assert build(use="RegexMatch", pattern="a").kind == "code"
    with pytest.raises(ScorerSettingsError, match="whole sessions"):
        build(use="ConversationCompleteness")


@pytest.mark.parametrize(
    ("name", "nearest"), [("Safty", "Safety"), ("guidelines", "Guidelines"), ("Length", "AnswerLength")]
)
def test_an_unknown_name_lists_the_nearest(name: str, nearest: str) -> None:
    """The error names what was probably meant."""
    with pytest.raises(UnknownScorer) as caught:
        build(use=name)
    assert nearest in caught.value.nearest
    assert nearest in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "key", "hint"),
    [
        ({"use": "Guidelines", "guidline": "x"}, "guidline", "guidelines"),
        ({"use": "Guidelines"}, "guidelines", "required"),
        ({"use": "Guidelines", "guidelines": 3}, "guidelines", "valid"),
        ({"use": "AnswerLength"}, "AnswerLength", "min_length"),
        ({"use": "Latency", "max_seconds": -1}, "max_seconds", "greater than 0"),
        ({"use": "Safety", "required_columns": []}, "required_columns", "parameters of Safety"),
        ({"make_judge": {"instructions": "no variables"}}, "make_judge.instructions", "variable"),
        ({"make_judge": {"instructions": "{{ outputs }}"}, "x": 1}, "x", "make_judge"),
        ({"use": "no_such_module_1:f"}, "use", "ModuleNotFoundError"),
        ({"use": "not a path:f"}, "use", "package.module:function"),
    ],
)
def test_bad_parameters_name_key_and_what_is_allowed(settings: dict[str, Any], key: str, hint: str) -> None:
    """Never a traceback: key, value, allowed."""
    with pytest.raises(ScorerSettingsError) as caught:
        build(**settings)
    assert caught.value.key == key
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"use": "Safety", "registered": "x"},
        {"use": "Safety", "limits": [0, 1]},
        {"use": "Safety", "rate": 1.5},
        {"use": "Safety", "name": "has space"},
    ],
)
def test_settings_that_are_not_one_scorer_are_refused(wrong: dict[str, Any]) -> None:
    """Exactly one of use, make_judge and registered, with rules that fit."""
    with pytest.raises(ValidationError):
        ScorerSettings(**({"name": "s"} | wrong))


def test_user_code_becomes_a_scorer_of_the_configured_name(module: Callable[[str], str]) -> None:
    """Functions, decorated scorers and scorer classes load by path, from the working directory, with parameters."""
    name = module(USER_MODULE)
    greets = build(use=f"{name}:greets", word="ciao")
    assert (greets.kind, greets.scorer.name) == ("code", "s")
    assert greets.scorer.run(outputs="Ciao Alice") is True
    assert build(use=f"{name}:decorated").scorer.run(outputs="x") is True
    assert build(use=f"{name}:Shouts", times=2).scorer.run(outputs="a!b") is False


@pytest.mark.parametrize(
    ("attribute", "parameters", "hint"),
    [
        ("greet", {}, "greets"),
        ("greets", {"wrod": "x"}, "word"),
        ("greets", {"outputs": "x"}, "word"),
        ("later", {}, "async"),
        ("asks_more", {}, "threshold"),
        ("of_session", {}, "whole sessions"),
        ("NUMBER", {}, "int"),
    ],
)
def test_user_code_that_cannot_score_is_refused_at_once(
    module: Callable[[str], str], attribute: str, parameters: dict[str, Any], hint: str
) -> None:
    """What would fail on every trace fails in the configuration, with the reason."""
    name = module(USER_MODULE)
    with pytest.raises(ScorerSettingsError, match=hint):
        build(use=f"{name}:{attribute}", **parameters)


def test_a_module_that_raises_on_import_is_a_settings_error(module: Callable[[str], str]) -> None:
    """The cause is named."""
    name = module("raise RuntimeError('no licence')")
    with pytest.raises(ScorerSettingsError, match="RuntimeError: no licence"):
        build(use=f"{name}:f")


def test_a_registered_scorer_is_found_by_name_and_takes_the_configured_one() -> None:
    """The registered scorer itself stays as it is."""
    registry = MemoryScorerRegistry(Guidelines(name="tone_judge", guidelines="Be kind.", model="openai:/x"))
    configured = build_scorer(ScorerSettings(name="tone", registered="tone_judge"), JUDGE, registry)
    assert (configured.scorer.name, configured.kind) == ("tone", "judge")
    found = registry.find("tone_judge")
    assert found is not None
    assert found.name == "tone_judge"
    with pytest.raises(UnknownScorer, match="tone_judge"):
        build_scorer(ScorerSettings(name="tone", registered="tone_juge"), JUDGE, registry)


def test_a_version_changes_with_the_definition_and_with_nothing_else(module: Callable[[str], str]) -> None:
    """What decides verdicts counts, with the revision; name, rate, target, severity and endpoint do not."""
    base = build(use="Guidelines", guidelines="Be short.").version
    same = [
        build(
            use="Guidelines", guidelines="Be short.", name="other", rate=0.1, target=0.9, severity="none", shadow=True
        ),
        build(JudgeSettings(model="m1", base_url="http://elsewhere/v1"), use="Guidelines", guidelines="Be short."),
        build(JudgeSettings(model="m2"), use="Guidelines", guidelines="Be short.", model="m1"),
    ]
    different = [
        build(use="Guidelines", guidelines="Be long."),
        build(JudgeSettings(model="m2"), use="Guidelines", guidelines="Be short."),
        build(use="Guidelines", guidelines="Be short.", passing=["no"]),
        build(use="Guidelines", guidelines="Be short.", revision=1),
        build(use="Guidelines", guidelines="Be short.", revision=2),
        build(use="Safety"),
        build(make_judge={"instructions": "Is {{ outputs }} short?"}),
        build(make_judge={"instructions": "Is {{ outputs }} short?", "feedback_value_type": "bool"}),
        build(use="AnswerLength", max_length=5),
        build(use="AnswerLength", max_length=6),
        build(use=f"{module('def f(outputs): return True')}:f"),
        build(use=f"{module('def f(outputs): return False')}:f"),
    ]
    assert {scorer.version for scorer in same} == {base}
    assert len({base, *(scorer.version for scorer in different)}) == len(different) + 1
    assert build(use=f"{module('def f(outputs): return True')}:f").version == different[-2].version


def test_a_version_is_the_same_in_every_process() -> None:
    """A version that moved would start every series anew: these were computed once and are kept."""
    assert build(use="AnswerLength", max_length=5).version == "6e983894b432"
    assert build(make_judge={"instructions": "Is {{ outputs }} short?"}).version == "cac102f984bc"
