"""From a dashboard to the text of its file."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.dashboards.fleet import fleet
from deploy.dashboards.overview import overview

FOLDER: Final = Path(__file__).parents[1] / "grafana" / "dashboards"
_DASHBOARDS: Final[Mapping[str, Callable[[], Dashboard]]] = {"overview.json": overview, "fleet.json": fleet}


def all_rendered() -> dict[str, str]:
    """The text of each file, by name."""
    return {name: rendered(make()) for name, make in _DASHBOARDS.items()}


def rendered(dashboard: Dashboard) -> str:
    """The dashboard as Grafana reads it; its panels are numbered in their order."""
    document: dict[str, Any] = json.loads(json.dumps(dashboard.build(), cls=JSONEncoder), object_hook=_without_nulls)
    for number, panel in enumerate(document["panels"], start=1):
        panel["id"] = number
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _without_nulls(node: dict[str, Any]) -> dict[str, Any]:
    """What is not set is left out; a threshold without a value is the lowest, and means it."""
    return {key: value for key, value in node.items() if value is not None or key == "value"}
