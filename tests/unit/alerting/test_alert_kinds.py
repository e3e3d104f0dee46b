"""What alerts are worth, and who is told of them."""

from typing import Any, get_args

import pytest
from pydantic import ValidationError

from monitor.alerts.alert import Finding, graded
from monitor.alerts.kinds import DEFAULT_SEVERITY, HEALTH_KINDS, AlertKind, severity_of
from monitor.alerts.receivers import ReceiverSettings
from monitor.alerts.settings import AlertSettings


def receiver(**keys: Any) -> ReceiverSettings:
    return ReceiverSettings.model_validate({"name": "ops", "kind": "webhook", "url": "http://ops.example/hook", **keys})


def test_every_kind_has_a_default():
    """No alert is worth nothing by being forgotten."""
    assert set(DEFAULT_SEVERITY) == set(get_args(AlertKind))
    assert set(get_args(AlertKind)) >= HEALTH_KINDS


@pytest.mark.parametrize(
    ("kind", "at_most", "configured", "worth"),
    [
        ("production_regression", "page", {}, "page"),
        ("candidate_regression", "page", {}, "ticket"),
        ("candidate_regression", "page", {"candidate_regression": "page"}, "page"),
        ("production_regression", "ticket", {"production_regression": "page"}, "ticket"),
        ("production_regression", "none", {}, "none"),
        ("production_regression", "page", {"production_regression": "none"}, "none"),
        ("spend_exhausted", "ticket", {}, "ticket"),
        ("spend_exhausted", "page", {}, "page"),
        ("dead_letters", "page", {"dead_letters": "page"}, "page"),
    ],
)
def test_an_alert_is_worth_no_more_than_its_kind_and_what_it_is_about(kind, at_most, configured, worth):
    """The least of both counts, and a kind's worth may be configured."""
    assert severity_of(kind, at_most, configured) == worth
    finding = Finding(kind=kind, scorer="s", segment="all", severity=at_most, bad=True, details={})
    assert graded(finding, configured).severity == worth


def test_a_receiver_takes_what_it_is_configured_for():
    """Pages and tickets on everything; an Alertmanager hears of health from Prometheus; `none` is for nobody."""
    ops = receiver()
    assert ops.takes("production_regression", "page")
    assert ops.takes("dead_letters", "ticket")
    assert not ops.takes("production_regression", "none")
    manager = receiver(kind="alertmanager")
    assert manager.takes("judge_moved", "ticket")
    assert not manager.takes("accounting_mismatch", "page")
    assert receiver(kind="alertmanager", about=["health"]).takes("accounting_mismatch", "page")
    assert not receiver(severities=["page"]).takes("judge_moved", "ticket")


def test_observing_tells_nobody():
    """The receivers are configured and checked, and are told nothing."""
    assert AlertSettings(receivers=(receiver(),)).told == (receiver(),)
    assert AlertSettings(mode="observe", receivers=(receiver(),)).told == ()


@pytest.mark.parametrize(
    ("keys", "wrong"),
    [
        ({"url": None}, "exactly one of url and urls"),
        ({"urls": ["http://a.example"]}, "exactly one of url and urls"),
        ({"url": None, "urls": ["http://a.example", "http://b.example"]}, "one Alertmanager cluster"),
        ({"url": "ftp://a.example"}, "begins with http"),
        ({"url": "http://"}, "begins with http"),
        ({"username": "anna"}, "belong together"),
        ({"username": "anna", "password": "p", "token": "t"}, "either a token"),
        ({"kind": "alertmanager", "secret": "s"}, "webhooks alone"),
        ({"kind": "apprise", "url": "slack://a/b/c", "token": "t"}, "not for apprise"),
        ({"name": "a b"}, "pattern"),
        ({"severities": []}, "at least 1"),
        ({"severities": ["none"]}, "page"),
        ({"repeat": "1s"}, "greater than or equal"),
    ],
)
def test_a_wrong_receiver_is_told_what_is_wrong_with_it(keys, wrong):
    """And its secrets are not told."""
    with pytest.raises(ValidationError, match=wrong):
        receiver(**keys)


def test_names_of_receivers_differ():
    """They are labels and keys of rows."""
    with pytest.raises(ValidationError, match="given twice: ops"):
        AlertSettings(receivers=(receiver(), receiver()))


@pytest.mark.parametrize(
    ("receivers", "pagers"),
    [
        ([], ()),
        ([receiver(name="chat"), receiver(name="desk")], ("chat", "desk")),
        ([receiver(name="chat"), receiver(name="am", kind="alertmanager")], ("am",)),
        ([receiver(name="chat"), receiver(name="am", kind="alertmanager", severities=["ticket"])], ("chat",)),
        ([receiver(name="chat", about=["health"])], ()),
    ],
)
def test_prometheus_tells_in_the_place_of_those_whom_pages_rest_on(receivers, pagers):
    """Beside an Alertmanager nobody else counts: a second word at the same Alertmanager would be a second page."""
    assert AlertSettings(receivers=tuple(receivers)).pagers == pagers
    assert AlertSettings(receivers=tuple(receivers), mode="observe").pagers == ()
