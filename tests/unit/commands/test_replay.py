"""Which messages are taken in again, and what becomes of the others."""

import json
from functools import partial

import pytest
from rich.console import Console

from consumers.archive_file import NotAnArchive, archive_line, read_archive
from consumers.dead_letters import dead_letter
from consumers.decoding import decode
from consumers.letter_contents import REPLAY_HEADER, REPLAY_REASON_HEADER, LetterContents
from consumers.messages import Message
from consumers.replayable import replayable
from consumers.settings import DecodingLimits, SourceSettings
from monitor.commands.letter_tables import letter_table, summary_lines
from monitor.commands.moments import NoMoment, moment_ms
from monitor.commands.replay import Replay, ReplayRefused, ReplaySummary, Wanted, messages_of

NOW_MS = 1_790_000_000_000
SETTINGS = SourceSettings()


def event(**changes):
    return json.dumps({"trace_id": "t", "inputs": {}, "outputs": "x", **changes}).encode()


def message(value, offset=0, **changes):
    fields = {"topic": "traces", "partition": 0, "offset": offset, "timestamp_ms": NOW_MS, "key": None}
    return Message(**(fields | {"value": value} | changes))


def letter(original, reason="too_large", *, at_ms=NOW_MS, contents=None):
    """The message that stands in the dead-letter topic for `original`."""
    made = dead_letter(original, reason, "words", contents or LetterContents())
    fields = {"key": made.key, "value": made.value, "headers": made.headers}
    return Message(topic="traces.dead-letter", partition=0, offset=0, timestamp_ms=at_ms, **fields)


def replayed(messages, **wanted):
    """The summary of a dry run."""
    summary = ReplaySummary(source="letters", topic="traces", dry_run=True)
    as_event = partial(_decode, limits=DecodingLimits())
    Replay(SETTINGS, as_event, lambda event: event.name != "foreign", Wanted(**wanted), summary).run(messages)
    return summary


def _decode(found, limits):
    return decode(found, "tracewatch+json", limits, NOW_MS)


def test_a_letter_gives_back_the_message_exactly():
    """Own headers are told from the original's even where these bear the same names."""
    headers = (("tracewatch.reason", b"mine"), ("h", b"\xff"), ("h", b""))
    original = message(b"\xff\x00", 41, key=b"\xfe", headers=headers)
    found = replayable(letter(original, "not_utf8"))
    assert found.message == original
    assert (found.reason, found.kept) == ("not_utf8", "whole")
    value, key, sent = found.again()
    assert (value, key, sent[:3]) == (b"\xff\x00", b"\xfe", headers)
    assert dict(sent[3:]) == {REPLAY_HEADER: b"traces[0]@41", REPLAY_REASON_HEADER: b"not_utf8"}


def test_any_other_message_is_its_own():
    """A topic that is no dead-letter topic can be replayed as well; a key that is no position is no letter's."""
    plain = message(event(), 5)
    assert replayable(plain).message == plain
    for key in (None, b"", b"[]", b'["t", -1, 2]', b'["t", true, 2]', b"[" * 100_000):
        odd = message(event(), 5, key=key, headers=(("tracewatch.reason", b"not_json"),))
        assert replayable(odd).message == odd


def test_a_replay_of_a_replay_keeps_the_first_position():
    """The header leads to where the message came from, however often it was taken in again."""
    once = message(event(), 90, headers=replayable(letter(message(event(), 3))).again()[2])
    again = replayable(letter(once, "invalid_trace")).again()[2]
    assert again == ((REPLAY_HEADER, b"traces[0]@3"), (REPLAY_REASON_HEADER, b"invalid_trace"))


def test_only_what_decodes_now_is_sent():
    """What would be a dead letter again is not, unless all is asked for."""
    found = [letter(message(event(), 0)), letter(message(b"{", 1), "not_json"), letter(message(event(), 2), "not_json")]
    summary = replayed(found)
    assert summary.outcomes == {("too_large", "sent"): 1, ("not_json", "sent"): 1, ("not_json", "still_invalid"): 1}
    assert summary.still_invalid == {"not_json": 1}
    assert replayed(found, everything=True).sent == 3


def test_the_letter_of_a_replayed_message_is_sent_again_only_for_another_reason():
    """So no message goes round for ever; a fix that shows the next fault may be mended too."""
    marked = ((REPLAY_HEADER, b"traces[0]@1"), (REPLAY_REASON_HEADER, b"trace_rejected"))
    same = letter(message(event(), 8, headers=marked), "trace_rejected")
    other = letter(message(event(), 9, headers=marked), "too_large")
    assert replayed([same, other]).outcomes == {("trace_rejected", "failed_again"): 1, ("too_large", "sent"): 1}
    assert replayed([same, other], everything=True).sent == 2
    assert replayed([message(event(), 8, headers=marked)]).outcomes == {("no dead letter", "replayed_before"): 1}


def test_a_letter_that_came_twice_is_sent_once_and_foreign_events_never():
    """Dead letters are delivered at least once; a shared topic has other readers."""
    twice = letter(message(event(), 0))
    foreign = letter(message(event(name="foreign"), 1))
    summary = replayed([twice, twice, foreign], everything=True)
    assert {outcome for _, outcome in summary.outcomes} == {"repeated", "not_ours", "sent"}
    assert summary.sent == 1


def test_reasons_times_and_the_limit_choose():
    """Times are the letters', and the limit counts what is sent."""
    found = [letter(message(event(), n), "too_large", at_ms=NOW_MS + n) for n in range(10)]
    found.append(letter(message(event(), 99), "too_deep"))
    assert replayed(found, reasons=frozenset({"too_deep"})).sent == 1
    assert replayed(found, reasons=frozenset({"too_large"}), since_ms=NOW_MS + 3, until_ms=NOW_MS + 6).sent == 3
    assert replayed([letter(message(b"{", 100), "not_json"), *found], limit=4).sent == 4


def test_an_archive_holds_messages_byte_for_byte():
    """What `dead-letters --json` writes `replay` reads."""
    kept = [letter(message(b"\xff\x00", 3, key=b"\xfe", headers=(("h", b"\xfd"),))), message(None, 4)]
    lines = [archive_line(each) + b"\n" for each in kept]
    assert list(read_archive([*lines, b"\n"], "letters.jsonl")) == kept
    with pytest.raises(NotAnArchive, match=r"events\.jsonl:2: .*tracewatch publish"):
        list(read_archive([lines[0], event()], "events.jsonl"))
    [by_hand] = read_archive([b'{"value_base64": "e30="}'], "by-hand.jsonl")
    assert (by_hand.topic, by_hand.offset, by_hand.value) == ("by-hand.jsonl", 0, b"{}")


def test_the_whole_stream_is_never_replayed_by_mistake():
    """The stream's own topic needs a time; a stream that is a file keeps its events."""
    with pytest.raises(ReplayRefused, match="--since"):
        messages_of(SETTINGS, "traces", Wanted())
    with pytest.raises(ReplayRefused, match="kafka"):
        messages_of(SourceSettings(kind="file", path="events.jsonl"), "traces", Wanted(since_ms=1))


def test_moments_are_dates_times_or_a_while_ago():
    """Without a zone they are UTC; anything else is told with what is allowed."""
    assert moment_ms("--since", "2h", NOW_MS) == NOW_MS - 7_200_000
    assert moment_ms("--since", "1970-01-02", NOW_MS) == 86_400_000
    assert moment_ms("--since", "1970-01-01T01:00:00+01:00", NOW_MS) == 0
    assert moment_ms("--since", None, NOW_MS) is None
    with pytest.raises(NoMoment, match=r"--until 'tuesday'.*2h"):
        moment_ms("--until", "tuesday", NOW_MS)


def printed(*shown):
    console = Console(width=80, record=True, highlight=False)
    console.print(*shown, sep="\n")
    return console.export_text()


def test_the_summary_fits_a_terminal_and_takes_markup_as_text():
    """Reasons come out of a topic that others may write to."""
    summary = replayed([letter(message(b"{", n), "[red]x[/red]") for n in range(3)])
    summary.gone.append("traces[0]@9")
    text = printed(*summary_lines(summary))
    assert "[red]x[/red]" in text
    assert "dry run: would send 0 of 3 messages to traces" in text
    assert "gone: traces[0]@9" in text
    text = printed(letter_table([letter(message(b"{", n), "not_json") for n in range(3)]))
    assert "not_json" in text
    assert "whole" in text
