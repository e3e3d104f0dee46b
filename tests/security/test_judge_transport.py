"""The judge behind TLS with an authority of its own, and behind a proxy: scoring, and the looks whether it is there."""

import pytest
from guard import guarded, server_context

from scorers.errors import JudgeUnavailable
from scorers.judges import ask_canary, check_judge
from scorers.settings import JudgeSettings

KEY = "judge-key-5d10"


@pytest.fixture
def upstream(judge_endpoint):
    """Where the endpoint listens, without the path."""
    return judge_endpoint.base_url.removesuffix("/v1")


def settings_of(address, **keys):
    """How the judge at the address is reached."""
    return JudgeSettings(base_url=f"{address}/v1", api_key=KEY, model="scripted", timeout="30s", **keys)


def test_an_endpoint_whose_certificate_is_of_an_authority_of_its_own_is_reached(upstream, authority):
    """With its file, by the look at the start as well as by a question."""
    with guarded(upstream, f"Bearer {KEY}", server_context(authority.issue("judge"))) as guard:
        settings = settings_of(guard.address, ca_file=authority.file)
        check_judge(settings)
        ask_canary(settings, "scripted")
        assert [shown for shown, _ in guard.seen] == [f"Bearer {KEY}"] * 2


@pytest.mark.parametrize("look", [check_judge, lambda settings: ask_canary(settings, "scripted")], ids=["look", "ask"])
def test_an_endpoint_whose_authority_is_not_known_is_shown_no_key(upstream, authority, stranger, look):
    """The certificate is what is wrong, and said so."""
    with guarded(upstream, None, server_context(authority.issue("judge"))) as guard:
        with pytest.raises(JudgeUnavailable, match=r"(?i)certificate.verify.failed"):
            look(settings_of(guard.address, ca_file=stranger.file))
        assert guard.seen == []


def test_a_proxy_takes_the_questions(upstream, monkeypatch):
    """The name of the endpoint is the proxy's to resolve; the environment's own proxy is not asked."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with guarded(upstream) as proxy:
        settings = settings_of("http://judge.invalid:8000", proxy=proxy.address)
        check_judge(settings)
        ask_canary(settings, "scripted")
        assert len(proxy.targets) == 2
        assert all(target.startswith("http://judge.invalid:8000/v1/") for target in proxy.targets)
