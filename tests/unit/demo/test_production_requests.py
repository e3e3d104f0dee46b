"""The demo's traffic and scorers."""

from itertools import islice

from monitor.demo.crm import CUSTOMERS, find_customer
from monitor.demo.production_requests import PRODUCTION_REQUESTS, burst, varied
from monitor.demo.scorers import SALES_EMAIL_SCORERS


def test_the_seven_requests_are_distinct_and_of_known_customers():
    """Seven records in the dataset need seven distinct inputs."""
    assert len({tuple(request.inputs.values()) for request in PRODUCTION_REQUESTS}) == 7
    assert all(find_customer(request.customer_name) for request in PRODUCTION_REQUESTS)


def test_a_burst_never_repeats_a_request_and_reaches_every_customer():
    """Each trace of the burst has inputs of its own, and the order is fixed."""
    requests = list(burst(200))
    assert len(set(requests)) == len(requests) == 200
    assert {request.customer_name for request in islice(requests, 15)} == {customer.name for customer in CUSTOMERS}
    assert list(burst(200)) == requests


def test_traffic_without_end_never_repeats_a_request_even_with_another_seed():
    """Inputs that were seen would be records that the dataset has; one seed gives the same order again."""
    requests, others = (list(islice(varied(seed), 500)) for seed in (1, 2))
    assert len({*requests, *others}) == 1000
    assert list(islice(varied(1), 500)) == requests
    assert {request.customer_name for request in requests} == {customer.name for customer in CUSTOMERS}


def test_the_eight_scorers_have_the_names_of_the_guide():
    """The comparison's rows are named after the scorers."""
    assert sorted(scorer["name"] for scorer in SALES_EMAIL_SCORERS) == [
        "concise_communication",
        "follows_instructions",
        "includes_next_steps",
        "mentions_contact_name",
        "professional_tone",
        "relevance_to_query",
        "retrieval_groundedness",
        "safety",
    ]
