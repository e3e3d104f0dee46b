"""Secrets are found in whatever form they stand in a text."""

import base64
import io
import json
import logging
import sys
import threading
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from monitor.logs import LogSettings, mask_tracebacks, set_up_logs
from monitor.masking import Mask
from monitor.secret_files import FileSecret, SecretFile


class _Part(BaseModel):
    headers: dict[str, SecretStr] = {}
    key: SecretStr | None = None
    many: tuple[SecretStr, ...] = ()


class _Settings(BaseModel):
    part: _Part = _Part()
    url: SecretStr = SecretStr("sqlite:///tracewatch.db")
    address: str = "http://127.0.0.1"
    versions: dict[str, _Part] = {}


def _masked(text, **fields):
    return Mask.of(_Settings(**fields), {})(text)


def test_secrets_at_any_depth_are_masked():
    """In models, mappings and lists."""
    part = _Part(key="key-secret", headers={"X": "head-secret"}, many=("many-secret",))
    said = _masked("key-secret head-secret many-secret open", part=part)
    assert said == "*** *** *** open"
    assert _masked("head-secret", versions={"v1": part}) == "***"


@pytest.mark.parametrize("password", ["pa/ss word", "umläut\\n", 'quo"te', "tab\tstop", "a%20b"])
def test_a_secret_is_found_in_a_url_in_json_and_in_python_s_own_form(password):
    """Errors quote a URL, logs are JSON, exceptions show the form of Python."""
    for text in (password, quote(password, safe=""), json.dumps(password), repr(password)):
        said = _masked(f"<{text}>", part=_Part(key=password))
        assert password not in said
        assert json.dumps(password)[1:-1] not in said
        assert "***" in said


def test_of_a_url_only_the_password_is_secret():
    """The ledger's address may be told; its password not, in neither form, nor that of an address that is no secret."""
    url = "postgresql://anna:p%40ss-word@db/ledger"
    assert (
        _masked(f"cannot reach {url} with p@ss-word", url=url)
        == "cannot reach postgresql://anna:***@db/ledger with ***"
    )
    assert _masked("sqlite:///tracewatch.db") == "sqlite:///tracewatch.db"
    assert _masked("http://bob:open-sesame@h/", address="http://bob:open-sesame@h") == "http://bob:***@h/"


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("https://hooks.example.com/services/T01AB2CD/B9XY8ZW7/fEEdFACE99aa", ["T01AB2CD", "B9XY8ZW7", "fEEdFACE99aa"]),
        ("https://ops.example.com/hook?token=Qu3ry-T0ken&room=general", ["Qu3ry-T0ken"]),
        ("https://anna:pw-of-anna@ops.example.com/hook", ["pw-of-anna"]),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXr/#alerts", ["T1JJ3T3L2", "A1BRTD4JD", "TIiajkdnlazkcOXr"]),
        ("mailtos://anna:mail%20pass@smtp.example.com?to=ops@example.com", ["mail%20pass", "mail pass"]),
    ],
)
def test_of_a_webhook_s_or_a_chat_s_address_whatever_may_be_a_token_is_secret(url, secrets):
    """Its parts are masked alone and in it; words and hosts are not, so that no line gets holes by chance."""
    for secret in secrets:
        assert _masked(f"got {secret} back", part=_Part(key=url)) == "got *** back"
    assert _masked(f"cannot reach {url} now", part=_Part(key=url)) == "cannot reach *** now"
    for word in ("services", "general", "hooks.example.com", "ops.example.com", "smtp.example.com", "127.0.0.1:9093"):
        assert _masked(f"the {word} of it", part=_Part(key=url)) == f"the {word} of it"


def test_the_token_of_a_header_is_masked_without_its_scheme():
    """`Bearer TOKEN` is the secret; a library may show TOKEN alone."""
    said = _masked("got token-0123456789", part=_Part(headers={"Authorization": "Bearer token-0123456789"}))
    assert said == "got ***"


def test_variables_in_which_libraries_look_for_secrets_are_masked():
    """They are secrets although no configuration names them."""
    assert Mask.of(_Settings(), {"OPENAI_API_KEY": "sk-env-secret", "HOME": "/home/anna"})(
        "sk-env-secret in /home/anna"
    ) == ("*** in /home/anna")


def test_a_text_too_short_to_be_a_secret_does_not_spoil_every_line():
    """A password of three letters would be told by what is missing."""
    assert _masked("a cat sat", part=_Part(key="cat")) == "a cat sat"


def test_a_rotated_secret_is_masked_before_and_after(tmp_path):
    """The former value may still be good."""
    path = tmp_path / "key"
    path.write_text("former-secret")
    mask = Mask.of(_Part(key=FileSecret([SecretFile(path)])), {})
    assert mask("former-secret") == "***"
    path.write_text("new-secret-value")
    assert mask("former-secret new-secret-value") == "*** ***"


def test_one_secret_that_begins_with_another_is_masked_whole():
    """Nothing of the longer one is left."""
    assert _masked("abcdef-123456", part=_Part(key="abcdef", headers={"X": "abcdef-123456"})) == "***"


@given(
    secret=st.text(min_size=4, max_size=40).filter(lambda text: "://" not in text and text.strip()), around=st.text()
)
def test_no_text_keeps_a_secret_whatever_stands_around_it(secret, around):
    """For any secret and any text."""
    said = _masked(around + secret + around, part=_Part(key=secret))
    assert secret not in said or secret in "***"


@pytest.mark.parametrize("form", ["console", "json"])
def test_logs_mask_events_values_and_tracebacks(form):
    """Of structlog and of a library, also in the words of an exception and of its cause."""
    out = io.StringIO()
    log = set_up_logs(LogSettings(format=form), out, mask=_mask_of("hush-hush-77"))
    try:
        local = "hush-" + "hush-77"
        log.info("said hush-hush-77", key="hush-hush-77", nested={"a": [local]})
        logging.getLogger("kafka").warning("login with %s", local)
        try:
            _raise(ValueError(local))
        except ValueError as error:
            try:
                _raise(RuntimeError("outer"), error)
            except RuntimeError:
                log.exception("failed")
    finally:
        set_up_logs(LogSettings())
    text = out.getvalue()
    assert text.count("***") >= 5
    assert "hush-hush-77" not in text
    assert "Traceback" in text


def test_tracebacks_in_the_log_show_no_variables():
    """A library's traceback for consoles prints the value of each variable: passwords, and customers' texts."""
    out = io.StringIO()
    log = set_up_logs(LogSettings(format="console"), out)
    try:
        local = base64.b64encode(b"a customer's text").decode()
        try:
            _raise(ValueError("plain words"))
        except ValueError:
            log.exception("failed")
        assert local not in out.getvalue()
        assert "plain words" in out.getvalue()
    finally:
        set_up_logs(LogSettings())


def test_errors_that_nobody_catches_are_masked_in_every_thread(capsys, monkeypatch):
    """Python prints them by itself."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    mask_tracebacks(_mask_of("hush-hush-77"))

    def fail():
        raise ValueError("it was hush-hush-77")

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    try:
        fail()
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    said = capsys.readouterr().err
    assert said.count("ValueError: it was ***") == 2
    assert "hush" not in said


def _mask_of(secret):
    return Mask.of(_Part(key=secret), {})


def _raise(error, cause=None):
    raise error from cause
