"""The dataset store that is an MLflow evaluation dataset, through the tracking store's own calls.

`EvaluationDataset.merge_records` always writes to the process's global tracking URI, and refuses inputs that have a
key `goal`; the store below it does neither.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from typing import Any

from mlflow.entities import DatasetRecord
from mlflow.exceptions import MlflowException
from mlflow.tracing.client import TracingClient

from monitor.dataset.errors import DatasetRejected, DatasetStoreUnavailable
from monitor.dataset.records import Member, Row, inputs_digest
from monitor.tracking.connection import connect, mapped


class MlflowDatasetStore:
    """The dataset `name` of one MLflow experiment; both are created by `ensure`, or the first call that needs them."""

    def __init__(self, tracking_uri: str, experiment: str, name: str) -> None:
        self._tracking_uri = tracking_uri
        self._experiment = experiment
        self._name = name
        self._lock = threading.Lock()
        self._client: TracingClient | None = None
        self._dataset_id: str | None = None

    @property
    def dataset_id(self) -> str:
        """MLflow's id of the dataset.

        Raises:
            DatasetStoreUnavailable: MLflow is away.
        """
        return self._found()[1]

    def ensure(self) -> None:
        """Create the dataset if it is missing, or was deleted since.

        Raises:
            DatasetStoreUnavailable: MLflow is away.
        """
        with self._lock:
            self._dataset_id = None
        self._found()

    def merge(self, members: Sequence[Member]) -> dict[str, str]:
        """Add rows, or bring those with the same inputs up to date; returns inputs digest -> record id.

        Raises:
            DatasetStoreUnavailable: MLflow is away.
            DatasetRejected: MLflow will never take one of them, or the dataset was deleted.
        """
        if not members:
            return {}
        store, dataset_id = self._found()
        with mapped(DatasetStoreUnavailable, DatasetRejected), self._lock:
            store.upsert_dataset_records(dataset_id, [_record(member) for member in members])
        return self.find({member.inputs_digest for member in members})

    def find(self, digests: Collection[str]) -> dict[str, str]:
        """Inputs digest -> record id of those that the dataset has.

        Raises:
            DatasetStoreUnavailable: MLflow is away.
        """
        if not digests:
            return {}
        wanted = set(digests)
        by_digest = {inputs_digest(record.inputs): record.dataset_record_id for record in self._records()}
        return {digest: by_digest[digest] for digest in wanted & by_digest.keys()}

    def delete(self, record_ids: Collection[str]) -> None:
        """Delete records; ids that are not there are no error.

        Raises:
            DatasetStoreUnavailable: MLflow is away.
        """
        if not record_ids:
            return
        store, dataset_id = self._found()
        with mapped(DatasetStoreUnavailable, DatasetRejected), self._lock:
            store.delete_dataset_records(dataset_id, sorted(record_ids))

    def rows(self) -> list[Row]:
        """All records, sorted by inputs digest.

        Raises:
            DatasetStoreUnavailable: MLflow is away.
        """
        return [_row(record) for record in sorted(self._records(), key=lambda record: inputs_digest(record.inputs))]

    def _records(self) -> list[DatasetRecord]:
        store, dataset_id = self._found()
        with mapped(DatasetStoreUnavailable, DatasetRejected):
            records: list[DatasetRecord] = store._load_dataset_records(dataset_id)[0]  # noqa: SLF001 - the only read there is
            return records

    def _found(self) -> tuple[Any, str]:
        with self._lock, mapped(DatasetStoreUnavailable, DatasetRejected):
            if self._client is None:
                self._client = connect(self._tracking_uri)
            store = self._client.store
            if self._dataset_id is None:
                self._dataset_id = _find_or_create(store, self._experiment, self._name)
            return store, self._dataset_id


def _find_or_create(store: Any, experiment: str, name: str) -> str:
    experiment_id = _experiment_id(store, experiment)
    # By experiment as well: other applications on this server may have a dataset of this name.
    found = store.search_datasets(
        experiment_ids=[experiment_id], filter_string=f"name = '{name}'", order_by=["created_time ASC"]
    )
    if found:
        return str(found[0].dataset_id)
    return str(store.create_dataset(name=name, tags={}, experiment_ids=[experiment_id]).dataset_id)


def _experiment_id(store: Any, name: str) -> str:
    found = store.get_experiment_by_name(name)
    if found is None:
        try:
            return str(store.create_experiment(name))
        except MlflowException as error:
            # Another replica was faster.
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = store.get_experiment_by_name(name)
    return str(found.experiment_id)


def _record(member: Member) -> dict[str, Any]:
    return {
        "inputs": member.inputs,
        "outputs": member.outputs,
        "expectations": dict(member.expectations),
        "tags": dict(member.tags),
        "source": {"source_type": "TRACE", "source_data": {"trace_id": member.trace_id}},
    }


def _row(record: DatasetRecord) -> Row:
    return Row(
        record_id=record.dataset_record_id,
        inputs=record.inputs,
        expectations=record.expectations or {},
        trace_id=record.source_id if record.source_type == "TRACE" else None,
        tags=record.tags or {},
    )
