"""Links that open at what is looked at: stack, selection and a what-if capacity."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from tests.e2e.conftest import Server, Visitor
from tests.e2e.test_compare import ONE, analyse

pytestmark = pytest.mark.e2e

Visit = Callable[..., Visitor]


def test_a_permalink_keeps_the_view(visit: Visit, server: Server) -> None:
    run = analyse(server, ONE, target="Tout est fermé.")["run_id"]
    visitor = visit()
    visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = visitor.open(f"/runs/{run}")
    assert page.url.endswith(run)
    page.check("#stack-view input[value=decoder]")
    page.wait_for_url(f"**/runs/{run}?view=decoder")
    visitor.until("recorded")
    page.focus("#grid-frame")
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    page.wait_for_function("() => decodeURIComponent(location.search).includes('\"layer\":1')")
    page.wait_for_selector("#selected-panel h3:has-text('Layer 2, decoder block')")
    page.click("#copy-link")
    page.wait_for_selector("#copy-link:has-text('Copied')")
    link = page.evaluate("navigator.clipboard.readText()")
    assert link == page.url
    seen = seen_by(visitor)
    page.reload()
    visitor.until("recorded")
    assert seen_by(visitor) == seen
    # Somebody else, in other colours, at the same place.
    reader = visit(color_scheme="dark")
    reader.open(link.removeprefix(server.url))
    assert seen_by(reader)["selected"] == seen["selected"]
    assert reader.page.evaluate("document.documentElement.dataset.bsTheme") == "dark"
    # Away and back.
    page.click("text=Compare with…")
    page.wait_for_selector(".compare")
    page.go_back()
    page.wait_for_selector("#selected-panel h3:has-text('Layer 2, decoder block')")
    visitor.until("recorded")
    assert page.url == link
    assert seen_by(visitor) == seen
    page.keyboard.press("Escape")
    page.wait_for_url(f"**/runs/{run}?view=decoder")


def seen_by(visitor: Visitor) -> dict[str, Any]:
    """What stands in the figures and in the selection, once it is drawn."""
    visitor.page.wait_for_selector("#selected-panel h2:has-text('Token')")
    return {
        "figures": visitor.figures(),
        "selected": visitor.page.inner_text("#selected-panel"),
        "view": visitor.page.locator("#stack-view input:checked").get_attribute("value"),
    }


def test_a_permalink_keeps_what_if(visit: Visit, server: Server) -> None:
    text = "the old man and the sea the old man"
    own, scarce = analyse(server, text)["run_id"], analyse(server, text, capacity=2)["run_id"]
    visitor = visit()
    page = visitor.open(f"/runs/{own}")
    page.focus("#capacity-slider")
    page.keyboard.press("Home")
    page.wait_for_url(f"**/runs/{own}?capacity=1")
    visitor.until("shown")
    supposed = visitor.figures()
    page.reload()
    visitor.until("shown")
    assert visitor.status() == "What if, not recorded"
    assert page.inner_text("#capacity-label") == "Room for 1 of 64 tokens per expert"
    assert visitor.figures() == supposed
    # One that was recorded at another capacity than the model's own is as recorded.
    visitor.open(f"/runs/{scarce}")
    assert visitor.status() == "As recorded"
    assert page.inner_text("#capacity-label") == "Room for 2 of 64 tokens per expert"
    recorded = visitor.figures()
    page.focus("#capacity-slider")
    page.keyboard.press("End")
    page.wait_for_url(f"**/runs/{scarce}?capacity=64")
    visitor.until("shown")
    assert visitor.figures() != recorded
    # What can't be read in an address counts as left out.
    for query in ("capacity=2", "capacity=0", "capacity=x", "capacity=99999&view=zz&pin=%7B"):
        visitor.open(f"/runs/{scarce}?{query}")
        assert visitor.status() == "As recorded", query
        assert visitor.figures() == recorded, query


def test_the_live_page_copies_the_runs_link_with_the_view(visit: Visit, server: Server) -> None:
    visitor = visit()
    visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = visitor.open(f"/?text={quote(ONE)}&view=decoder&source=target&target=Bonjour")
    page.click("#analyse-button")
    visitor.until("recorded")
    page.focus("#grid-frame")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#selected-panel h2:has-text('Token')")
    page.click("#copy-link")
    page.wait_for_selector("#copy-link:has-text('Copied')")
    link = page.evaluate("navigator.clipboard.readText()")
    assert re.fullmatch(
        rf"{re.escape(server.url)}/runs/{visitor.run_id()}\?view=decoder&pin=[^&]+", link
    )
    seen = seen_by(visitor)
    reader = visit()
    reader.open(link.removeprefix(server.url))
    assert seen_by(reader) == seen
