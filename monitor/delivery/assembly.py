"""From a receiver's settings to the way to it."""

from monitor.alerts.receivers import ReceiverSettings
from monitor.delivery.alertmanager import AlertmanagerNotifier
from monitor.delivery.apprise_notifier import AppriseNotifier
from monitor.delivery.notifier import Notifier
from monitor.delivery.outbox import Receiver
from monitor.delivery.webhook import WebhookNotifier


def notifier_of(settings: ReceiverSettings) -> Notifier:
    """The notifier of a receiver; nothing is contacted."""
    if settings.kind == "alertmanager":
        return AlertmanagerNotifier(settings)
    return WebhookNotifier(settings) if settings.kind == "webhook" else AppriseNotifier(settings)


def receiver_of(settings: ReceiverSettings) -> Receiver:
    """The receiver with its notifier."""
    return Receiver(settings=settings, notifier=notifier_of(settings))
