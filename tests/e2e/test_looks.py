"""Widths, themes, accessibility, and that nothing leaves the machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.e2e.conftest import Visitor

pytestmark = pytest.mark.e2e

Visit = Callable[..., Visitor]
FORTY = (
    "The quick brown fox jumps over the lazy dog while seven curious engineers watch "
    "the router send each token to a different expert in every layer."
)
# Both stacks, the decoder's tokens generated and sampled: every control is there.
GENERATED = "/?view=both&max_new_tokens=8&do_sample=true&capacity=2&text=" + quote(FORTY)


def _compared(visitor: Visitor) -> str:
    """The address that compares what is shown with another text."""
    one = visitor.run_id()
    visitor.type("Nobody can read that, or so they say.")
    return f"/compare?a={one}&b={visitor.run_id()}"


def _drawn(page: Page) -> None:
    """Waits for the figures of a comparison."""
    page.wait_for_function(
        "() => document.querySelector('#changes-figure .js-plotly-plot')?.data?.length > 1"
    )


@pytest.mark.parametrize("width", [400, 1280, 2000])
def test_no_page_scrolls_sideways(visit: Visit, width: int) -> None:
    visitor = visit(width=width)
    page = visitor.open()
    visitor.type(FORTY)
    compared = _compared(visitor)
    visitor.type(FORTY)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    flow = page.locator("#flow-figure svg").first.bounding_box()
    assert flow
    assert flow["width"] >= 360
    assert flow["height"] > 250
    for path in (GENERATED, "/metrics", "/corpora", "/experts"):
        page.goto(visitor.server.url + path)
        page.wait_for_selector("#flow-figure-2 svg, article section, .nothing", state="attached")
        page.wait_for_timeout(1500)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    page.goto(visitor.server.url + compared)
    _drawn(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    cards = [card.bounding_box() for card in page.locator(".run-card").all()]
    assert cards[0]
    assert cards[1]
    assert (cards[0]["x"] == cards[1]["x"]) == (width == 400), "one column where it is narrow"


def test_theme_follows_the_system_and_is_remembered(visit: Visit) -> None:
    visitor = visit(color_scheme="dark")
    page = visitor.open()
    theme = "document.documentElement.dataset.bsTheme"
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(theme) == "dark"
    dark = page.evaluate(ground)
    light_on_dark = visitor.figure("flow-figure")
    page.click("#theme-toggle")
    page.wait_for_function(f"{theme} === 'light'")
    assert page.evaluate(ground) != dark
    page.wait_for_function(
        "old => JSON.stringify(document.getElementById('flow-figure').figure.layout.shapes)"
        " !== old",
        arg=json.dumps(light_on_dark[1], separators=(",", ":")),
    )
    page.reload()
    visitor.until("shown", "recorded")
    assert page.evaluate(theme) == "light"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(visit: Visit, scheme: str) -> None:
    visitor = visit(color_scheme=scheme)
    page = visitor.open()
    visitor.type("Everybody can read this.")
    link = page.get_attribute("#run-link", "href") or ""
    compared = _compared(visitor)
    empty = "/compare?a=nope"
    quiet = ("/metrics", "/runs", "/corpora", "/experts", empty, "/nothing/here")
    for path in ("/", link, GENERATED, compared, *quiet):
        page.goto(f"{visitor.server.url}{path}")
        page.wait_for_selector("main h1", state="attached")
        if path in ("/", link, GENERATED):
            visitor.until("recorded")
            page.wait_for_timeout(600)
        if path == GENERATED:
            page.wait_for_selector("#second-flow", state="visible")
            page.locator(".metric summary").first.click()
            page.wait_for_timeout(600)
        if path == compared:
            _drawn(page)
            page.click(".measures summary:has-text('Layer by layer')")
        found = Axe().run(page).response["violations"]
        serious = [
            (each["id"], [node["html"][:160] for node in each["nodes"]])
            for each in found
            if each["impact"] in ("serious", "critical")
        ]
        assert not serious, (path, serious)


def test_nothing_leaves_the_machine(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open()
    visitor.type("Everything stays here.")
    page.goto(visitor.server.url + "/docs")
    page.wait_for_selector(".opblock")
    assert visitor.hosts == {visitor.server.url.removeprefix("http://")}


def test_keys(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open()
    page.focus("#grid-frame")
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog[open]", state="detached")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "text-input"


def test_summaries_say_what_the_figures_show(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open()
    visitor.type("Read this aloud.")
    analysis = visitor.server.json(f"/api/v1/analyses/{visitor.run_id()}")
    summary = page.text_content("#grid-summary") or ""
    for token, experts in zip(
        analysis["tokens"], zip(*analysis["experts"], strict=True), strict=True
    ):
        assert f"{token}: {' '.join(str(chosen[0]) for chosen in experts)}" in summary
