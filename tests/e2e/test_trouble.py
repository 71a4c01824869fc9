"""What somebody meets when things go wrong: a clear line, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import Route

from tests.e2e.conftest import Server, Visitor

pytestmark = pytest.mark.e2e

Visit = Callable[..., Visitor]


def test_empty_text_keeps_the_diagrams(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open()
    before = visitor.figures()
    for blank in ("", "   ", "\n\t "):
        page.fill("#text-input", blank)
        visitor.until("idle")
        assert "Type a sentence" in visitor.status()
        assert visitor.figures() == before


def test_text_over_the_limit_keeps_text_and_diagrams(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open()
    before = visitor.figures()
    for long in ("word " * 700, "x" * 100_000):
        page.fill("#text-input", long)
        visitor.until("error")
        assert "the limit is 512" in visitor.status()
        assert page.input_value("#text-input") == long
        assert visitor.figures() == before
        page.fill("#text-input", "short again")
        visitor.until("shown", "recorded")
        page.fill("#text-input", "")
        before = visitor.figures()


@pytest.mark.parametrize(
    "text",
    [
        "🎉🦊",
        "שלום עולם, مرحبا",
        "a\u0000b\u0007c\u200b",
        "<extra_id_0> filled <extra_id_1>",
        "<img src=x onerror=alert(1)><script>alert(2)</script><b>bold</b>",
        "</s></textarea><a href='javascript:alert(3)'>x</a>",
        "{{7*7}} ${7*7} %{text} <extra></extra>",
    ],
)
def test_strange_text_is_drawn_and_never_executed(visit: Visit, text: str) -> None:
    visitor = visit()
    page = visitor.open()
    visitor.type(text)
    analysis = visitor.server.json(f"/api/v1/analyses/{visitor.run_id()}")
    assert analysis["text"] == page.input_value("#text-input")
    assert page.locator("#flow-figure b, #flow-figure script, #flow-figure img").count() == 0
    labels = page.locator("#flow-figure text").all_text_contents()
    assert any("</s>" in label for label in labels)


def test_half_a_character_is_refused_in_words(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open()
    before = visitor.figures()
    page.evaluate("window.dash_clientside.set_props('text-input', {value: 'half \\ud800 of one'})")
    visitor.until("error")
    assert "half of a character" in visitor.status()
    assert visitor.figures() == before


def test_an_exception_in_the_server_is_told(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open()
    before = visitor.figures()

    def spoil(route: Route) -> None:
        # A request without its text: what no page sends, and the server can't expect.
        body = json.loads(route.request.post_data or "{}")
        body.pop("text")
        route.continue_(post_data=json.dumps(body))

    page.route("**/api/v1/drawings", spoil)
    page.fill("#text-input", "this one will fail")
    visitor.until("error")
    assert "went wrong on the server" in visitor.status()
    assert "Traceback" not in page.inner_text("body")
    assert page.input_value("#text-input") == "this one will fail"
    assert visitor.figures() == before
    assert "KeyError" in visitor.server.log.read_text()
    page.unroute("**/api/v1/drawings")
    visitor.type("this one works again")
    visitor.problems = [p for p in visitor.problems if "status of 500" not in p]


def test_a_model_that_fails_leaves_the_current_one_working(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open()
    before = visitor.figures()
    page.select_option("#model-select", "broken")
    visitor.until("error")
    assert visitor.status() == (
        "The model broken can't be used: the folder holds no weights (*.safetensors or *.bin)."
    )
    assert visitor.figures() == before
    page.select_option("#model-select", "switch-mini-8")
    visitor.type("the bundled one still works")


def test_server_killed_and_back(visit: Visit, own_server: Server) -> None:
    visitor = visit(own_server)
    page = visitor.open()
    visitor.type("Recorded before the power went.")
    link = page.get_attribute("#run-link", "href")
    figures = visitor.figures()
    own_server.kill()
    page.fill("#text-input", "typed while nobody answers")
    visitor.until("error", seconds=30)
    assert "does not answer" in visitor.status()
    assert page.input_value("#text-input") == "typed while nobody answers"
    assert visitor.figures() == figures
    own_server.start()
    visitor.until("recorded", seconds=60)
    # What the browser itself says of lost connections is expected here.
    lost = ("ERR_CONNECTION", "ERR_EMPTY_RESPONSE", "the server did not respond")
    visitor.problems = [p for p in visitor.problems if not any(word in p for word in lost)]
    reader = visit(own_server)
    reader.open(link)
    assert reader.figures() == figures


def test_unknown_addresses_say_so(visit: Visit) -> None:
    visitor = visit()
    page = visitor.page
    for path in ("/runs/00000000000000000000000000000000", "/runs/..%2f..%2fetc", "/nothing/here"):
        page.goto(visitor.server.url + path)
        page.wait_for_selector("main h1:has-text('There is no such')")
        assert "Traceback" not in page.inner_text("body")
