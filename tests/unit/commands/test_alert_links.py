"""`check` says when whoever is paged will find links that lead nowhere."""

from typing import Any

import pytest

from monitor.commands.alert_links import dead_links
from monitor.config import Config

WEBHOOK = {"name": "ops", "kind": "webhook", "url": "http://127.0.0.1:1/hook"}


def config(uri: str, receivers: list[dict[str, Any]], **links: str) -> Config:
    """A configuration whose alerts have these links."""
    return Config.model_validate(
        {
            "app": "shop",
            "source": {"topic": "traces"},
            "mlflow": {"tracking_uri": uri},
            "scorers": [{"name": "short", "use": "AnswerLength", "max_length": 9}],
            "alerts": {"receivers": receivers, "links": links},
        }
    )


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (config("http://mlflow:5000", [WEBHOOK]), ["alerts.links.runbooks"]),
        (config("sqlite:///mlflow.db", [WEBHOOK], runbooks="https://wiki/x"), ["alerts.links.mlflow"]),
        (config("http://mlflow:5000", [WEBHOOK], runbooks="https://wiki/x"), []),
        (config("sqlite:///mlflow.db", []), []),
    ],
    ids=["a folder", "a store without pages", "all lead somewhere", "nobody is told"],
)
def test_a_link_that_is_no_address_is_told(settings: Config, named: list[str]) -> None:
    """With its key; where nobody is told of alerts there is nothing to say."""
    assert [line.split()[0] for line in dead_links(settings)] == named
