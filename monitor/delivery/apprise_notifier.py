"""Alerts to chat and mail services: the one border to the library apprise, which is imported when it is needed.

A message is plain text: nothing in it is markup, a template, an escape or an emoji. apprise loads no picture of its own
project into messages, follows no redirect and keeps nothing on disk.
"""

from typing import TYPE_CHECKING, Any

from monitor.alerts.receivers import ReceiverSettings
from monitor.delivery.errors import DeliveryFailed
from monitor.delivery.message import Message
from monitor.masking import Mask

if TYPE_CHECKING:
    from apprise import Apprise

_WORDS = 200


class AppriseNotifier:
    """One service. What it takes is as its own documentation says; most have no id by which to know a repetition."""

    def __init__(self, settings: ReceiverSettings) -> None:
        self._settings = settings
        self._mask = Mask.of(settings, {})

    def tell(self, message: Message, now_ms: int) -> None:
        """Send the message.

        Raises:
            DeliveryFailed: the service was not reached, or has not taken it.
        """
        del now_ms
        import apprise  # noqa: PLC0415 - only who has such a receiver pays for it

        kind = apprise.NotifyType.SUCCESS if message.transition == "resolved" else apprise.NotifyType.FAILURE
        service = self._service()
        try:
            result = service.notify(
                title=message.title, body=message.text, notify_type=kind, body_format=apprise.NotifyFormat.TEXT
            )
        except Exception as error:  # noqa: BLE001 - plugins of a hundred services: what they raise is not ours to list
            raise DeliveryFailed(self._words(f"{type(error).__name__}: {error}")) from None
        if not result:
            raise DeliveryFailed(self._words(_reasons(result)))

    def probe(self) -> str:
        """Understand the address: whether the service is there, only a message can tell.

        Raises:
            DeliveryFailed: apprise does not understand the address.
        """
        names = [str(each.service_name) for each in self._service()]
        return f"{', '.join(names)}: the address is understood; `tracewatch page-test` tries it"

    def _service(self) -> "Apprise":
        import apprise  # noqa: PLC0415

        asset = apprise.AppriseAsset(
            app_id="Tracewatch",
            app_desc="Tracewatch",
            app_url="",
            image_url_mask="",
            image_url_logo="",
            http_redirects=False,
            async_mode=False,
            pem_autogen=False,
            pgp_autogen=False,
            storage_mode=apprise.PersistentStoreMode.MEMORY,
        )
        (address,) = self._settings.addresses
        services = apprise.Apprise(asset=asset)
        if not services.add(address.get_secret_value()) or len(services) != 1:
            raise DeliveryFailed("apprise does not understand this address")
        for service in services:
            # What is too long for a service would otherwise never arrive; what matters stands first.
            if service.overflow_mode == apprise.OverflowMode.UPSTREAM:
                service.overflow_mode = apprise.OverflowMode.TRUNCATE
        return services

    def _words(self, words: str) -> str:
        return self._mask(" ".join(words.split()))[:_WORDS]


def _reasons(result: Any) -> str:
    """What the library logged of it, which names the cause and not the address."""
    logs = [str(entry.message) for entry in result.logs()] if hasattr(result, "logs") else []
    return "; ".join(logs) or "the service has not taken it"
