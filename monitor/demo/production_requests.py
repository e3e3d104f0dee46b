"""What users ask of the e-mail application: seven requests of an ordinary day, traffic without end, and a burst."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice, product

from monitor.demo.crm import CUSTOMERS


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One call of the application."""

    customer_name: str
    user_instructions: str

    @property
    def inputs(self) -> dict[str, str]:
        """The call's keyword arguments, which are also the trace's inputs."""
        return {"customer_name": self.customer_name, "user_instructions": self.user_instructions}


PRODUCTION_REQUESTS: tuple[Request, ...] = (
    Request(customer_name="Acme Corp", user_instructions="Follow up on the product demo on Monday."),
    Request(customer_name="TechStart", user_instructions="Tell them the state of their support tickets."),
    Request(customer_name="Global Retail", user_instructions="Send a summary of the quarterly review yesterday."),
    Request(
        customer_name="Acme Corp",
        user_instructions=(
            "Write a very detailed e-mail about every feature, price tier, implementation timeline and support option. "
            "Offer a call on Thursday at 14:00."
        ),
    ),
    Request(customer_name="TechStart", user_instructions="Write an enthusiastic thank-you for their interest."),
    Request(
        customer_name="Global Retail",
        user_instructions="Follow up on the quarterly review and propose a call next Tuesday at 10:00.",
    ),
    Request(customer_name="Acme Corp", user_instructions="Just check in with them."),
)

_ERRANDS = (
    "Follow up on our last meeting",
    "Thank them for their time",
    "Tell them the state of their support tickets",
    "Propose a call on Wednesday at 11:00",
    "Just check in with them",
)


def burst(requests: int) -> Iterator[Request]:
    """That many requests, no two alike, in a fixed order: the traffic that meets a bad release."""
    endless = (
        Request(customer_name=customer.name, user_instructions=f"{errand} (campaign {number}).")
        for number in count(1)
        for customer, errand in product(CUSTOMERS, _ERRANDS)
    )
    return islice(endless, requests)


def varied(seed: int) -> Iterator[Request]:
    """Requests without end, no two alike even of two seeds; one seed always gives the same."""
    kinds = (*PRODUCTION_REQUESTS, *burst(len(CUSTOMERS) * len(_ERRANDS)))
    chance = random.Random(seed)  # noqa: S311 - traffic, no secret
    for number in count(1):
        kind = chance.choice(kinds)
        errand = kind.user_instructions.partition(" (")[0].removesuffix(".")
        yield Request(customer_name=kind.customer_name, user_instructions=f"{errand} (campaign {seed}-{number}).")
