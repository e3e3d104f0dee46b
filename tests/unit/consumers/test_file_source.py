"""A file as a stream."""

import pytest

from consumers.errors import SourceUnavailable
from consumers.file_source import FileSource
from consumers.messages import TopicPartition


@pytest.fixture
def path(tmp_path):
    """A file of three events, the last of which is not finished."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"a": 1}\n\xff\r\n{"c"')
    return path


def _started(path):
    source = FileSource(path)
    source.start()
    batch = source.poll(0)
    assert batch.assigned == (TopicPartition(str(path), 0),)
    assert not batch.messages
    return source


def test_lines_are_messages_and_an_unfinished_line_waits(path):
    """Offsets are line numbers; what has no line end yet is not read."""
    source = _started(path)
    assert [(message.offset, message.value) for message in source.poll(0).messages] == [(0, b'{"a": 1}'), (1, b"\xff")]
    assert source.poll(0).messages == ()
    with path.open("ab") as file:
        file.write(b": 3}\n")
    assert [(message.offset, message.value) for message in source.poll(0).messages] == [(2, b'{"c": 3}')]
    assert source.lag() == {TopicPartition(str(path), 0): 0}
    source.close()


def test_a_seek_goes_to_a_line(path):
    """The ledger says where to go on."""
    source = _started(path)
    source.seek(TopicPartition(str(path), 0), 1)
    assert [message.offset for message in source.poll(0).messages] == [1]
    source.close()


def test_pause_commit_and_bounds(path):
    """A paused file is silent; commits live as long as the process; bounds count finished lines."""
    source, tp = _started(path), TopicPartition(str(path), 0)
    source.pause([tp])
    assert source.poll(0).messages == ()
    source.resume([tp])
    assert len(source.poll(0).messages) == 2
    source.commit({tp: 2})
    assert source.committed([tp]) == {tp: 2}
    assert source.bounds([tp]) == {tp: (0, 2)}
    source.close()


def test_a_missing_file_is_named(tmp_path):
    """Like a missing broker: wait, and say for what."""
    with pytest.raises(SourceUnavailable, match=r"missing\.jsonl"):
        FileSource(tmp_path / "missing.jsonl").start()
    with pytest.raises(SourceUnavailable, match=r"missing\.jsonl"):
        FileSource(tmp_path / "missing.jsonl").probe()
