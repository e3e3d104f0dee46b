"""Links into MLflow's pages: only where there are pages, without credentials, with every id in its place."""

import pytest

from monitor.tracking.links import MlflowLinks


@pytest.mark.parametrize(
    "uri", ["sqlite:///mlflow.db", "postgresql://h/db", "file:///tmp/x", "javascript:alert(1)", "http:"]
)
def test_a_store_without_pages_has_no_links(uri: str) -> None:
    """Only an http server can be led to."""
    assert MlflowLinks.to(uri, "1") is None


def test_links_lead_to_the_server_below_its_prefix_and_carry_no_credentials() -> None:
    """A user and a password in the tracking URI are the daemon's own."""
    links = MlflowLinks.to("https://anna:secret@mlflow.example:8443/prefix/", "12")
    assert links is not None
    assert links.experiment == "https://mlflow.example:8443/prefix/#/experiments/12/traces"
    assert links.datasets == "https://mlflow.example:8443/prefix/#/experiments/12/datasets"
    assert links.run("abc") == "https://mlflow.example:8443/prefix/#/experiments/12/runs/abc"


def test_an_id_stays_an_id_whatever_is_in_it() -> None:
    """It cannot leave its place in the address."""
    links = MlflowLinks(server="http://mlflow", experiment_id="1")
    place = "http://mlflow/#/experiments/1/traces?selectedEvaluationId="
    assert links.trace("a/../b?c=d&e#f\"'>") == f"{place}a%2F..%2Fb%3Fc%3Dd%26e%23f%22%27%3E"
