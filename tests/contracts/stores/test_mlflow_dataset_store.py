"""What only the dataset store on MLflow can show: people's records, other applications, MLflow's reading, outages."""

import socket
import time

import mlflow
import pytest
from mlflow_stores import tracking
from sample_traces import sample_trace

from monitor.dataset.errors import DatasetStoreUnavailable
from monitor.dataset.mlflow_store import MlflowDatasetStore
from monitor.dataset.records import member_from_trace


@pytest.fixture
def store(mlflow_uri):
    """A store on an empty MLflow."""
    return MlflowDatasetStore(mlflow_uri, "shop", "production")


def _member(name="one", asked=None):
    return member_from_trace(
        sample_trace(name, asked), dataset="production", segment="all", probability=1, golden=False
    )


def test_mlflow_reads_the_dataset_by_its_name(store, mlflow_uri):
    """Anyone can load the dataset with MLflow's own calls; each record's source is a trace."""
    store.merge([_member()])
    with tracking(mlflow_uri):
        frame = mlflow.genai.datasets.get_dataset(name="production").to_df()
    assert frame["source_type"].tolist() == ["TRACE"]
    assert frame["source_id"].tolist() == [sample_trace().info.trace_id]
    assert frame["outputs"].tolist() == [{"answer": "yes"}]


def test_a_restarted_daemon_finds_its_dataset(store, mlflow_uri):
    """The dataset is created once, however many processes ensure it."""
    store.ensure()
    again = MlflowDatasetStore(mlflow_uri, "shop", "production")
    again.ensure()
    assert again.dataset_id == store.dataset_id


def test_applications_with_datasets_of_one_name_do_not_share_rows(store, mlflow_uri):
    """The dataset belongs to the experiment: forty deployments may all call theirs production."""
    other = MlflowDatasetStore(mlflow_uri, "other", "production")
    store.merge([_member()])
    assert other.rows() == []
    assert other.dataset_id != store.dataset_id


def test_records_that_people_add_are_rows_too(store):
    """They have no source trace, and no reconciliation removes them."""
    store.ensure()
    record = {"inputs": {"question": "by hand"}, "expectations": {"fact": "Rome"}}
    store._client.store.upsert_dataset_records(store.dataset_id, [record])
    store.merge([_member()])
    assert {row.trace_id for row in store.rows()} == {None, sample_trace().info.trace_id}


def test_a_dataset_that_somebody_deleted_is_made_again(store):
    """Ensuring it before each reconciliation is enough."""
    store.ensure()
    first = store.dataset_id
    store._client.store.delete_dataset(first)
    store.ensure()
    store.merge([_member()])
    assert store.dataset_id != first
    assert len(store.rows()) == 1


def test_more_rows_than_a_page_are_all_read(store):
    """A dataset of 1,100 rows is merged and read whole."""
    members = [_member(f"row {number}") for number in range(1100)]
    store.merge(members)
    assert len(store.rows()) == 1100


def test_an_unreachable_server_is_known_within_seconds():
    """The daemon waits itself, so it must be told at once."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = MlflowDatasetStore(f"http://127.0.0.1:{port}", "shop", "production")
    started = time.monotonic()
    for call in (store.ensure, store.rows, lambda: store.merge([_member()])):
        with pytest.raises(DatasetStoreUnavailable, match="refused"):
            call()
    assert time.monotonic() - started < 5
