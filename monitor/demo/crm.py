"""What the sales team knows about its three customers: the documents that the e-mail application retrieves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Customer:
    """One customer's record; `meeting` and `support` are sentences as somebody typed them into the CRM."""

    name: str
    contact: str
    meeting: str
    support: str
    account_manager: str

    @property
    def slug(self) -> str:
        """The name as it stands in a document's address."""
        return self.name.lower().replace(" ", "-")


CUSTOMERS: tuple[Customer, ...] = (
    Customer(
        name="Acme Corp",
        contact="Alice Chen",
        meeting=(
            "Latest meeting: product demo on Monday. Alice liked the enterprise features. Alice asked about analytics, "
            "real-time dashboards, API integrations, custom reports, multi-user access, SSO and export. "
            "Alice asked for the price for 500+ users."
        ),
        support=(
            "Support tickets: #123 API latency: resolved last week. #124 bulk import: requested. "
            "#125 question about GDPR: open."
        ),
        account_manager="Sarah Johnson",
    ),
    Customer(
        name="TechStart",
        contact="Bob Martinez",
        meeting="Latest meeting: first sales call last Thursday. Bob asked for prices.",
        support=(
            "Support tickets: #456 login: open, critical. #457 slow performance: open. #458 CRM integration: fails."
        ),
        account_manager="Mike Thompson",
    ),
    Customer(
        name="Global Retail",
        contact="Carol Wang",
        meeting="Latest meeting: quarterly review yesterday. Carol praised the performance.",
        support="Support tickets: none.",
        account_manager="Sarah Johnson",
    ),
)


def find_customer(name: str) -> Customer | None:
    """The customer of that name (letter case and outer spaces do not matter), or None."""
    wanted = name.strip().casefold()
    return next((customer for customer in CUSTOMERS if customer.name.casefold() == wanted), None)
