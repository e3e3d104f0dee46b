"""A trace's text in the prompts of MLflow's judges: put in once, and never searched for places itself.

MLflow 3.17 fills the places of a prompt one after the other, so that a question with `{{output}}` in it gets the answer
written into it. A text of half a megabyte of such places takes gigabytes, and what the judge reads is no longer what
the application was asked.
"""

import importlib
import pkgutil
import re
from types import ModuleType
from typing import Any

from mlflow.genai.judges import prompts

_FILL = "format_prompt"
_PLACE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
# The other modules of MLflow in which a prompt is filled.
_FURTHER = ("mlflow.genai.judges.instructions_judge", "mlflow.genai.judges.custom_prompt_judge")


def fill_once(prompt: str, **values: Any) -> str:
    """The prompt with each `{{name}}` replaced by the value of that name; other places stay as they are."""
    return _PLACE.sub(lambda place: str(values[place[1]]) if place[1] in values else place[0], prompt)


def render_texts_once() -> None:
    """From now on the judges of this process fill their prompts in one pass. May be called again.

    Raises:
        RuntimeError: this version of MLflow fills its prompts otherwise.
    """
    modules = list(_modules())
    if not modules:
        raise RuntimeError("this version of MLflow has no format_prompt: see scorers/prompt_rendering.py")
    for module in modules:
        setattr(module, _FILL, fill_once)


def _modules() -> list[ModuleType]:
    names = [f"{prompts.__name__}.{each.name}" for each in pkgutil.iter_modules(prompts.__path__)]
    return [module for module in map(importlib.import_module, (*names, *_FURTHER)) if hasattr(module, _FILL)]
