"""The page My data comes again when the answer is ready, but never under the hands of somebody who writes."""

from __future__ import annotations

from typing import Any

from tests.browser.helping import choose


def test_the_page_comes_again_by_itself_but_not_while_somebody_writes(site: Any, page: Any) -> None:
    page.goto(site.url + "/")
    choose(page, "accept")
    ready = {"status": 202}
    asking = "**/_consent/data?format=json"
    page.route(asking, lambda route: route.fulfill(status=ready["status"], json={"state": "x"}))
    page.goto(site.url + "/_consent/data")
    page.evaluate("window.first = true")
    address = page.locator("#marketing-address")
    address.fill("mina@alder-quay.example")
    ready["status"] = 200
    with page.expect_response(asking):
        pass
    page.wait_for_timeout(300)  # a reload would have begun
    assert page.evaluate("window.first") is True
    assert address.input_value() == "mina@alder-quay.example"

    ready["status"] = 202
    page.goto(site.url + "/_consent/data")
    with page.expect_navigation():
        ready["status"] = 200
