"""The status page in a real browser: on a phone and on a desk, in light and in dark, with texts that attack it."""

import re
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise

import pytest
from prometheus_client import CollectorRegistry

from monitor.clock import ManualClock
from monitor.health import Health
from monitor.http_port.exposition import HttpPort, HttpSettings, application
from monitor.ledger.ledger import open_ledger
from monitor.status_page.page import StatusPage
from tests.status_pages import NAMES, NOW_MS, TEXTS, asked_in, fill, own_in, reader

PHONE, DESK = (360, 740), (1280, 900)
# Whoever of them runs leaves a mark, or asks an address that is not ours.
ATTACKS = {
    "script": '"><script>ran=1</script></title></textarea><script>ran=1</script>',
    "handler": "'><img src=//evil.invalid/x onerror=ran=1><svg onload=ran=1>",
    "style": "</style><style>@import '//evil.invalid/';",
    "address": "javascript:ran=1//{{7*7}}{% raw %}${ran=1}",
    "document": "--><!--<base href=//evil.invalid><iframe srcdoc='<script>top.ran=1</script>'>",
    "refresh": "<meta http-equiv=refresh content=0;//evil.invalid>",
}


def plain(field):
    """What an ordinary application writes."""
    return {"scorer": "retrieval_groundedness", "kind": "dead_letters", "segment": "TechStart"}.get(
        field, f"the {field}"
    )


@pytest.fixture(scope="module")
def shown(tmp_path_factory, browser):
    """Opens the page of a ledger with these words in every field; gives the open page and all that it asked for."""
    with ExitStack() as stack:

        def serve(words):
            ledger = open_ledger(f"sqlite:///{tmp_path_factory.mktemp('page') / 'ledger.db'}")
            stack.callback(ledger.close)
            fill(ledger, words)
            clock = ManualClock(NOW_MS)
            status = StatusPage(asked_in(words), lambda: own_in(words), clock)
            status.reads(reader(ledger, clock, asked_in(words)))
            settings = HttpSettings(port=0)
            app = application(CollectorRegistry(), Health(()), lambda: True, settings, status)
            return stack.enter_context(HttpPort(app, settings)).address

        def show(words=plain, *, size=DESK, scheme="light", **context):
            address = serve(words)
            opened = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, **context)
            stack.callback(opened.close)
            page, asked, said = opened.new_page(), [], []
            page.on("request", lambda request: asked.append(request.url))
            page.on("console", lambda message: said.append(message.text))
            page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
            answer = page.goto(f"{address}/?refresh=no")
            assert answer.status == 200
            return page, [url for url in asked if url != f"{address}/?refresh=no"], said

        yield show


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_the_page_fits_its_screen_in_both_schemes(shown, tmp_path, size, scheme):
    """It needs no scrolling sideways, loads nothing, breaks no rule of its own policy, and has something to show."""
    page, others, said = shown(size=size, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert others == []
    assert said == []
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    dark = sum(map(int, re.findall(r"\d+", ground)[:3])) < 3 * 128
    assert dark == (scheme == "dark")
    screenshot = page.screenshot(path=tmp_path / f"status-{size[0]}-{scheme}.png", full_page=True)
    assert len(screenshot) > 30_000


def test_the_page_says_the_worst_first(shown):
    """Its title, its first heading and its order."""
    page, _, _ = shown()
    assert page.title() == "1 series has regressed · the app · Tracewatch"
    assert page.locator("h1").inner_text() == "1 series has regressed"
    sections = page.locator("h2").all_inner_texts()
    assert [text.split(" ")[0] for text in sections[:4]] == ["Open", "What", "Series", "Candidates"]
    assert page.locator(".alert .chip").first.inner_text() == "page"
    assert "94.0" in page.locator(".alert .change").first.inner_text()


def test_the_page_is_readable_for_who_does_not_see_it(shown):
    """Headings in order, a caption and header cells for each table on a phone too, a text for each drawing."""
    page, _, _ = shown(size=PHONE)
    levels = [
        int(each[1]) for each in page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(e => e.tagName)")
    ]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    tables = page.locator("table")
    assert tables.count() >= 7
    assert page.locator("table > caption").count() == tables.count()
    assert page.evaluate("[...document.querySelectorAll('svg')].every(e => e.ariaHidden === 'true' || e.ariaLabel)")
    tree = page.locator("table.series").aria_snapshot()
    assert "rowheader" in tree
    assert "cell" in tree
    assert page.evaluate("document.documentElement.lang") == "en"


def test_links_lead_into_mlflow_and_within_the_page(shown):
    """Traces, runs and the dataset there; each tile to a section that exists."""
    page, _, _ = shown()
    hrefs = page.evaluate("[...document.links].map(e => e.getAttribute('href'))")
    assert [each for each in hrefs if each.startswith("#") and page.locator(each).count() != 1] == []
    foreign = [each for each in hrefs if "://" in each]
    assert foreign
    assert all(each.startswith("http://mlflow.invalid:5000/#/experiments/7/") for each in foreign)
    assert {each for each in hrefs if "://" not in each and not each.startswith("#")} == {"metrics", "readyz", "?"}


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_texts_are_shown_as_texts(shown, attack):
    """In every field at once, and without the policy's help: none runs, none loads, none moves the page."""

    def words(field):
        return f"{field} {ATTACKS[attack]}"

    page, others, said = shown(words, size=PHONE, bypass_csp=True)
    assert page.evaluate("typeof ran") == "undefined"
    assert others == []
    assert said == []
    assert page.url.endswith("/?refresh=no")
    foreign = "script, iframe, img, object, embed, base, form, meta[http-equiv], style ~ style"
    assert page.locator(foreign).count() == 0
    names = page.evaluate("[...document.querySelectorAll('*')].flatMap(e => [...e.attributes].map(a => a.name))")
    assert [name for name in names if name.startswith("on") or name in ("style", "srcdoc")] == []
    assert set(page.evaluate("[...document.links].map(e => e.protocol)")) == {"http:"}
    text = page.evaluate("document.body.textContent")
    assert [field for field in (*TEXTS, *NAMES) if words(field) not in text and field != "kind"] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]


def test_the_policy_stops_what_escaping_would_let_through(shown):
    """A script, a handler, a style and an image that stand in the page by some mistake do nothing."""
    page, others, _ = shown()
    page.evaluate(
        """document.body.insertAdjacentHTML("beforeend",
            "<img src=//evil.invalid/x onerror=ran=1><style>body{display:none}</style><p style=position:fixed id=p>");
        document.body.append(Object.assign(document.createElement("script"), {textContent: "ran=1"}))"""
    )
    page.evaluate("new Promise(requestAnimationFrame)")
    assert page.evaluate("typeof ran") == "undefined"
    assert page.evaluate("getComputedStyle(document.body).display") == "block"
    assert page.evaluate("getComputedStyle(document.querySelector('#p')).position") == "static"
    assert others == []


def test_marks_that_turn_or_hide_text_are_spelt_out(shown):
    """A text cannot change how the texts around it read."""
    page, _, _ = shown(lambda field: f"{field}\u202edesrever\u2066\x1b[31m\x07\u200b", size=PHONE)
    text = page.evaluate("document.body.textContent")
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b\x00-\x08\x0b-\x1f]", text)
    assert "rationale\\u202edesrever\\u2066\\x1b[31m\\x07" in text


def test_very_long_texts_and_names_break_and_are_cut(shown):
    """A word without a blank is no reason to scroll sideways; a page of any text stays a page."""
    page, _, _ = shown(lambda field: f"{field}" + "W" * 5_000, size=PHONE)
    for width, height in (PHONE, (800, 600), DESK):
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    text = page.evaluate("document.body.textContent")
    assert "more characters)" in text
    assert "W" * 3_000 not in text


def test_strangers_are_shown_the_same_page_without_texts(browser, tmp_path):
    """At an open address without a login, as a browser meets it."""
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    fill(ledger, plain)
    clock = ManualClock(NOW_MS)
    asked = replace(asked_in(plain), observing=True)
    status = StatusPage(asked, lambda: own_in(plain), clock)
    status.reads(reader(ledger, clock, asked))
    settings = HttpSettings(host="0.0.0.0", port=0)  # noqa: S104 - that is what is tested
    app = application(CollectorRegistry(), Health(()), lambda: True, settings, status)
    with HttpPort(app, settings) as port, browser.new_page(viewport={"width": 360, "height": 740}) as page:
        page.goto(port.address.replace("0.0.0.0", "127.0.0.1"))  # noqa: S104
        text = page.evaluate("document.body.textContent")
        assert "Numbers only" in text
        assert "delivered to nobody" in text
        assert [field for field in TEXTS if plain(field) in text] == []
        assert "retrieval_groundedness" in text
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    ledger.close()
