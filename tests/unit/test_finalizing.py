"""The request that finalizes an order, in the records of certbot's ACME client: same words, same arguments."""

from __future__ import annotations

import json

from certbot_guard.finalizing import Finalizing

SENDING, RECEIVED = "Sending POST request to %s:\n%s", "Received response:\nHTTP %d\n%s\n\n%s"
ORDER = {"status": "ready", "authorizations": ["https://ca.test/authz/1"],
         "finalize": "https://ca.test/order/1/finalize"}


def shown(order: object) -> tuple:
    return 201, "Content-Type: application/json", order if isinstance(order, str) else json.dumps(order)


def test_the_request_for_the_url_that_an_order_has_named_is_heard() -> None:
    orders = Finalizing()
    assert not orders.hear(SENDING, (ORDER["finalize"], "{}"))  # no order has named it yet
    assert not orders.hear(RECEIVED, shown(ORDER))
    assert not orders.hear(SENDING, (ORDER["authorizations"][0], "{}"))
    assert orders.hear(SENDING, (ORDER["finalize"], "{}"))


def test_an_escaped_url_is_the_same() -> None:
    orders = Finalizing()
    orders.hear(RECEIVED, shown(json.dumps(ORDER).replace("/", "\\/")))
    assert orders.hear(SENDING, (ORDER["finalize"], "{}"))


def test_what_is_no_order_names_nothing() -> None:
    orders = Finalizing()
    for body in ('{"finalize', '["finalize"]', '{"finalize": 1}', '{"finalize": null}', '"finalize"', "[" * 99_999):
        assert not orders.hear(RECEIVED, shown(body))
    for arguments in ((), None, ("https://ca.test/",)):
        assert not orders.hear(SENDING, arguments) and not orders.hear("JWS payload:\n%s", arguments)


def test_a_ca_that_names_ever_new_urls_fills_no_memory() -> None:
    orders = Finalizing()
    urls = [f"https://ca.test/order/{number}" for number in range(1000)]
    for url in [*urls, "https://ca.test/" + "x" * 10_000]:
        orders.hear(RECEIVED, shown({**ORDER, "finalize": url}))
        orders.hear(RECEIVED, shown({**ORDER, "finalize": url}))
    heard = [url for url in urls if orders.hear(SENDING, (url, "{}"))]
    assert urls[-1] in heard and len(heard) < 100
    assert not orders.hear(SENDING, ("https://ca.test/" + "x" * 10_000, "{}"))


def test_records_without_arguments_are_passed_over() -> None:
    assert not Finalizing().hear(RECEIVED, ())
