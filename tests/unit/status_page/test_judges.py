"""What the page says of the judges themselves."""

import re

from status_pages import page, standing

from monitor.labels.standing import FrozenSet
from monitor.status_page.rendering import page_html


def _words(view):
    return " ".join(
        re.sub(r"<[^>]+>", " ", page_html(view, refresh=False)).replace("\N{NARROW NO-BREAK SPACE}", " ").split()
    )


def test_a_judge_shows_what_people_say_of_it_and_whether_it_has_moved():
    """Labels, agreement and corrected rate with their intervals, the frozen set, and the shadow's agreement."""
    words = _words(page(judges=(standing(),)))
    assert "47 and 13 that nobody asked for" in words
    assert "83.0 % 70.0 % to 91.0 %" in words
    assert "78.7 % 66.7 % to 90.6 %" in words
    assert "has moved 38 rows, 9 judged otherwise" in words
    assert "shadow safety: agrees on 95.0 %" in words
    assert "people agree with this scorer on 83% of 47 labelled traces" in words


def test_what_is_not_known_of_a_judge_is_not_made_up():
    """No label and no frozen set: no figure stands there."""
    bare = standing(
        labels=0, listed=0, agreement=None, corrected=None, warning=None, frozen=FrozenSet(rows=0), shadows=()
    )
    words = _words(page(judges=(bare,)))
    section = words[words.index("Judges and people") :]
    assert "none yet" in section
    assert "%" not in section.partition("Labels on traces")[0]
