"""The texts of examples: redacted, kept, and never waited for."""

import structlog
from sample_traces import sample_trace

from monitor.delivery.texts import ExampleTexts
from monitor.traces.errors import TraceStoreUnavailable
from monitor.traces.memory_store import MemoryTraceStore
from monitor.traces.redaction import OwnPattern, Redaction, RedactionSettings


class Store(MemoryTraceStore):
    """Counts how often it is asked, and may be away."""

    asked = 0
    away = False

    def get(self, trace_id):
        """The trace, or trouble."""
        self.asked += 1
        if self.away:
            raise TraceStoreUnavailable("MLflow is away")
        return super().get(trace_id)


def texts_of(store, *patterns):
    return ExampleTexts(store, Redaction(RedactionSettings(patterns=patterns)), structlog.get_logger())


def test_inputs_and_outputs_are_redacted_and_read_once():
    """A reminder of the same examples asks nothing; a trace that is gone is left out."""
    trace = sample_trace()
    store = Store()
    store.put(trace)
    plain = texts_of(store).of([trace.info.trace_id])[trace.info.trace_id]
    assert (plain.inputs, plain.outputs) == (trace.data.request, trace.data.response)
    texts = texts_of(store, OwnPattern(name="word", regex="yes"))
    for _ in range(3):
        found = texts.of([trace.info.trace_id, "tr-gone"])
        assert found[trace.info.trace_id].outputs == '{"answer": "[word]"}'
        assert "tr-gone" not in found
    assert store.asked == 1 + 1 + 3


def test_a_page_goes_out_while_mlflow_is_away():
    """Without texts; they are there once it is back."""
    trace = sample_trace()
    store = Store()
    store.put(trace)
    store.away = True
    texts = texts_of(store)
    assert texts.of([trace.info.trace_id]) == {}
    store.away = False
    assert set(texts.of([trace.info.trace_id])) == {trace.info.trace_id}
