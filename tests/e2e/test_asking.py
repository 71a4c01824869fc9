"""What the page asks the server for while somebody types, and when it gets no answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Route

from tests.e2e.conftest import Visitor

pytestmark = pytest.mark.e2e

Visit = Callable[..., Visitor]
DRAWINGS = "**/api/v1/drawings"
# A browser says these by itself.
_LOST = ("ERR_FAILED", "ERR_CONNECTION", "ERR_EMPTY", "status of 503")


def texts(page: Page) -> list[str]:
    """The texts that are asked for from now on."""
    asked: list[str] = []
    page.on(
        "request",
        lambda request: (
            asked.append(json.loads(request.post_data or "{}")["text"])
            if request.url.endswith("/drawings")
            else None
        ),
    )
    return asked


def forgive(visitor: Visitor) -> None:
    """Forgets what the browser said of lost connections."""
    visitor.problems = [p for p in visitor.problems if not any(word in p for word in _LOST)]


def test_one_request_in_flight_and_the_newest_text_next(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open()
    under_way, most = 0, 0

    def slowly(route: Route) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)

        def go_on() -> None:
            nonlocal under_way
            under_way -= 1
            route.continue_()

        # Playwright's own thread must go on meanwhile: the page answers through it.
        page.wait_for_timeout(250)
        go_on()

    page.route(DRAWINGS, slowly)
    asked = texts(page)
    page.evaluate("window.paintings = 0")
    page.evaluate(
        "document.getElementById('token-grid').addEventListener('painted', () => paintings++)"
    )
    page.fill("#text-input", "")
    page.locator("#text-input").press_sequentially("twenty four small letters", delay=90)
    while_typing = page.evaluate("window.paintings")
    visitor.until("shown", "recorded")
    assert most == 1
    assert asked[-1] == "twenty four small letters"
    assert len(asked) == len(set(asked)), "nothing is asked for twice"
    assert len(asked) < 20, "not every key is worth a request"
    assert while_typing >= 4


def test_a_connection_that_is_cut_heals_by_itself(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open()
    figures = visitor.figures()
    page.route(DRAWINGS, lambda route: route.abort())
    page.fill("#text-input", "typed while the line is dead")
    visitor.until("error")
    assert "does not answer" in visitor.status()
    assert visitor.figures() == figures
    page.unroute(DRAWINGS)
    # Nothing is pressed.
    visitor.until("shown", "recorded", seconds=5)
    assert visitor.figures() != figures
    forgive(visitor)


def test_a_server_that_falls_silent_is_asked_again(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open()
    held: list[Route] = []
    page.route(DRAWINGS, lambda route: held.append(route), times=1)
    page.fill("#text-input", "nobody says a word")
    visitor.until("error", seconds=15)
    assert "does not answer" in visitor.status()
    visitor.until("shown", "recorded", seconds=5)
    assert len(held) == 1
    forgive(visitor)


def test_too_many_at_once_is_told_calmly_and_passes(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open()
    busy: Any = {"outcome": {"state": "busy", "message": "Many are typing here just now."}}
    figures = visitor.figures()
    page.route(DRAWINGS, lambda route: route.fulfill(json=busy))
    page.fill("#text-input", "patience is a virtue")
    page.wait_for_function(
        "document.getElementById('status').textContent.includes('Many are typing')"
    )
    assert page.get_attribute("#status", "data-state") == "working"
    assert visitor.figures() == figures
    page.unroute(DRAWINGS)
    visitor.until("shown", "recorded", seconds=5)
    assert visitor.figures() != figures


def test_an_example_right_after_typing_wins(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open()
    shown = page.input_value("#text-input")
    page.locator("#text-input").press_sequentially(" and more")
    page.click("text=a proverb")
    page.wait_for_function(
        "text => document.querySelector('#text-input').value === text", arg=shown
    )
    visitor.until("shown", "recorded")
    page.wait_for_timeout(1200)
    assert page.input_value("#text-input") == shown


def test_a_text_survives_other_pages_and_reloads(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open()
    page.fill("#text-input", "left in the middle of a")
    page.click("nav >> text=Metrics")
    page.wait_for_selector("h1 >> text=Metrics")
    page.click("nav >> text=Live")
    visitor.until("shown", "recorded")
    assert page.input_value("#text-input") == "left in the middle of a"
    page.wait_for_url("**/?text=*")  # the address is of the text before
    page.locator("#text-input").press_sequentially(" sentence")
    page.reload()
    visitor.until("shown", "recorded")
    assert page.input_value("#text-input") == "left in the middle of a sentence"


def test_an_update_is_small(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open()
    with page.expect_response(DRAWINGS) as answered:
        page.fill(
            "#text-input", "one two three four five six seven eight nine ten eleven twelve " * 2
        )
    sizes = answered.value.request.sizes()
    assert len(visitor.figure("token-grid")[0][0]["z"][0]) >= 15
    assert sizes["responseBodySize"] < 20_000
