"""The trace store that is MLflow: over http, on SQLite or on PostgreSQL.

One `start_trace` a trace and one `log_spans` a batch: both upsert, which no other call of MLflow does.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from functools import partial

from mlflow.entities import Assessment, ExperimentTag, Trace, TraceInfo
from mlflow.exceptions import MlflowException
from mlflow.tracing.client import TracingClient

from monitor.traces.errors import TraceRejected, TraceStoreFailing, TraceStoreUnavailable
from monitor.traces.numbers import assessed_storably, with_storable_numbers
from monitor.traces.upsert import at_home, bare, not_overridden
from monitor.tracking.connection import connect, is_sqlite, mapped, ping

_RECENT = 4096
_WRITERS = 4
_WRITES_TAG = "tracewatch.takes_writes"
_mapped = partial(mapped, TraceStoreUnavailable, TraceRejected, failing=TraceStoreFailing)


class MlflowTraceStore:
    """Traces in one MLflow experiment, which is created if it is missing.

    Nothing is contacted before the first call, and a store that was away is connected to by a later call. A trace
    that MLflow has already keeps its experiment, which costs one read a batch.
    """

    def __init__(self, tracking_uri: str, experiment: str) -> None:
        self._tracking_uri = tracking_uri
        self._experiment = experiment
        self._connecting = threading.Lock()
        self._client: TracingClient | None = None
        self._experiment_id: str | None = None
        # SQLite has one writer: threads that queue here do not run into its busy timeout. A server may stand on SQLite
        # too, where 32 writers at once stalled it for a minute; a few are as fast as many.
        self._writing = threading.BoundedSemaphore(1 if is_sqlite(tracking_uri) else _WRITERS)
        self._recent_lock = threading.Lock()
        self._recent: OrderedDict[str, TraceInfo] = OrderedDict()

    @property
    def experiment_id(self) -> str:
        """The id of the experiment.

        Raises:
            TraceStoreUnavailable: MLflow is away, or the experiment was deleted.
        """
        return self._connected()[1]

    def put(self, trace: Trace, assessments: Sequence[Assessment] = ()) -> None:
        """Store a trace with its spans, its own assessments and those given.

        Raises:
            TraceStoreUnavailable: MLflow is away.
            TraceRejected: MLflow will never take it.
        """
        given = {trace.info.trace_id: assessments}
        try:
            self._put([trace], given)
        except TraceRejected:
            storable, stored = with_storable_numbers(trace), assessed_storably(assessments)
            if storable is trace and stored is assessments:
                raise
            self._put([storable], {trace.info.trace_id: stored})

    def put_many(self, traces: Sequence[Trace]) -> None:
        """Store several traces with one write of all their spans.

        Raises:
            TraceStoreUnavailable: MLflow is away; some may be stored.
            TraceRejected: MLflow will never take one of them; some may be stored.
        """
        if traces:
            self._put(traces, {})

    def publish(self, trace_id: str, assessments: Sequence[Assessment]) -> None:
        """Add assessments, by their ids, to a trace that is stored: one call if this store has put it just now.

        Raises:
            TraceStoreUnavailable: MLflow is away.
            TraceRejected: there is no such trace, or an assessment has no id.
        """
        if not assessments:
            return
        client, _ = self._connected()
        info, wanted = self._recently_put(trace_id), list(assessments)
        with _mapped():
            if info is None:
                info = client.store.get_trace_info(trace_id)
                wanted = not_overridden(wanted, {each.assessment_id or "": each for each in info.assessments})
            if wanted:
                addition = bare(info, wanted)
                with self._writing:
                    client.start_trace(addition)

    def get(self, trace_id: str) -> Trace | None:
        """The trace with spans, tags and assessments, or None.

        Raises:
            TraceStoreUnavailable: MLflow is away.
        """
        client, _ = self._connected()
        with _mapped():
            try:
                found: Trace = client.get_trace(trace_id)
            except MlflowException as error:
                if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"}:
                    return None
                raise
            return found

    def infos(self, trace_ids: Collection[str]) -> Mapping[str, TraceInfo]:
        """By id the tags, metadata and assessments of traces, without their spans, in one call.

        Raises:
            TraceStoreUnavailable: MLflow is away.
        """
        if not trace_ids:
            return {}
        client, _ = self._connected()
        with _mapped():
            return {info.trace_id: info for info in client.store.batch_get_trace_infos(list(trace_ids))}

    def probe(self) -> None:
        """Return if MLflow answers.

        Raises:
            TraceStoreUnavailable: it does not.
        """
        client, experiment_id = self._connected()
        with mapped(TraceStoreUnavailable, TraceStoreUnavailable):
            ping(self._tracking_uri)
            client.store.get_experiment(experiment_id)

    def takes_writes(self) -> bool:
        """Whether MLflow takes a small write now: a tag of the experiment."""
        try:
            client, experiment_id = self._connected()
            with mapped(TraceStoreUnavailable, TraceStoreUnavailable):
                client.store.set_experiment_tag(experiment_id, ExperimentTag(_WRITES_TAG, "yes"))
        except TraceStoreUnavailable:
            return False
        return True

    def _put(self, traces: Sequence[Trace], assessments: dict[str, Sequence[Assessment]]) -> None:
        client, experiment_id = self._connected()
        with _mapped():
            stored = {
                info.trace_id: info for info in client.store.batch_get_trace_infos([t.info.trace_id for t in traces])
            }
            infos = []
            for trace in traces:
                trace_id = trace.info.trace_id
                there = stored.get(trace_id)
                home = experiment_id if there is None else there.experiment_id
                info = at_home(trace.info, home, assessments.get(trace_id, ()))
                if there is not None:
                    by_id = {each.assessment_id or "": each for each in there.assessments}
                    info.assessments = not_overridden(info.assessments, by_id)
                infos.append(info)
            spans = [span for trace in traces for span in trace.data.spans]
            with self._writing:
                for info in infos:
                    client.start_trace(info)
                if spans:
                    client.log_spans(experiment_id, spans)
        self._remember(infos)

    def _connected(self) -> tuple[TracingClient, str]:
        with self._connecting:
            if self._client is None or self._experiment_id is None:
                with mapped(TraceStoreUnavailable, TraceStoreUnavailable):
                    client = connect(self._tracking_uri)
                    self._experiment_id = _experiment(client, self._experiment)
                    self._client = client
            return self._client, self._experiment_id

    def _remember(self, infos: Sequence[TraceInfo]) -> None:
        with self._recent_lock:
            for info in infos:
                self._recent[info.trace_id] = info
                self._recent.move_to_end(info.trace_id)
            while len(self._recent) > _RECENT:
                self._recent.popitem(last=False)

    def _recently_put(self, trace_id: str) -> TraceInfo | None:
        # Once only: a second publication may come long after a person has overridden the first.
        with self._recent_lock:
            return self._recent.pop(trace_id, None)


def _experiment(client: TracingClient, name: str) -> str:
    found = client.store.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.store.create_experiment(name))
        except MlflowException as error:
            # Another replica was faster.
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.store.get_experiment_by_name(name)
    if found is None or found.lifecycle_stage != "active":
        raise TraceStoreUnavailable(f"the MLflow experiment {name!r} is deleted: restore it or configure another")
    return str(found.experiment_id)
