"""From a token or an expert on the live page, or on a run's, to its place in the atlas."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.atlas_pass import make_pass, write_corpus
from tests.e2e.conftest import Server, Visitor

pytestmark = pytest.mark.e2e

Visit = Callable[..., Visitor]
TEXT = "The bank of the river."
LINKS = ".to-atlas:not([hidden]) a"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("to-atlas")


@pytest.fixture(scope="module")
def newest(data: Path) -> str:
    """The newer of two passes."""
    corpus = data / "corpus.jsonl"
    write_corpus(corpus, 5)
    return [make_pass(data, corpus, name) for name in ("older", "newer")][1]


@pytest.fixture(scope="module")
def atlas_server(data: Path, newest: str) -> Iterator[Server]:
    server = Server(data)
    server.start()
    yield server
    server.stop()


def in_view(page: Page, selector: str) -> None:
    """Waits until the top of an element is in the upper half of the window, and stays there."""
    page.wait_for_function(
        """async (selector) => {
            const top = () => document.querySelector(selector)?.getBoundingClientRect().top;
            const there = () => top() > -1 && top() < innerHeight / 2;
            if (!there()) return false;
            await new Promise((next) => setTimeout(next, 500));
            return there();
        }""",
        arg=selector,
    )


def first_expert(visitor: Visitor) -> str:
    """The expert of the first token in the first layer of the recorded text."""
    analysis = visitor.server.json(f"/api/v1/analyses/{visitor.run_id()}")
    return str(analysis["experts"][0][0][0])


def pin_first_cell(visitor: Visitor) -> None:
    """Selects the first token in the first layer."""
    visitor.click_first_cell("token-grid")
    visitor.page.wait_for_selector(LINKS)


def test_an_expert_of_a_token_leads_to_its_card(
    visit: Visit, atlas_server: Server, newest: str
) -> None:
    visitor = visit(atlas_server)
    page = visitor.open()
    visitor.type(TEXT)
    assert page.locator(LINKS).count() == 0
    expert = first_expert(visitor)
    pin_first_cell(visitor)
    page.click(f"{LINKS} >> text=Expert {expert} in the atlas")
    page.wait_for_url(f"**/experts?run={newest}&**")
    card = f"#expert-{expert}"
    page.wait_for_selector(f"{card} details[open] .more >> text=Examples")
    assert page.input_value("#experts-layer") == "1"
    assert page.evaluate("document.activeElement.id") == card[1:]
    in_view(page, card)
    # The way back leads to the same text and selection.
    page.go_back()
    page.wait_for_selector(LINKS)
    assert page.input_value("#text-input") == TEXT


def test_a_token_leads_to_its_search(visit: Visit, atlas_server: Server, newest: str) -> None:
    visitor = visit(atlas_server)
    page = visitor.open()
    visitor.type(TEXT)
    pin_first_cell(visitor)
    piece = page.inner_text(f"{LINKS} code")
    assert piece == "▁The"
    page.locator(LINKS).last.focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/experts?run={newest}&**")
    page.wait_for_selector("#experts-found .tag")
    assert page.input_value("#experts-piece") == f"«{piece}»"
    assert page.get_attribute("#experts-found .tag >> nth=0", "data-piece") == piece
    in_view(page, "#token-title")


def test_a_run_has_the_same_links(visit: Visit, atlas_server: Server, newest: str) -> None:
    visitor = visit(atlas_server)
    visitor.open()
    visitor.type(TEXT)
    page = visitor.open(f"/runs/{visitor.run_id()}")
    pin_first_cell(visitor)
    address = page.get_attribute(f"{LINKS} >> nth=0", "href")
    assert address == f"/experts?run={newest}&layer=1&expert={first_expert(visitor)}"


def test_keys_ask_nothing(visit: Visit, atlas_server: Server) -> None:
    visitor = visit(atlas_server)
    page = visitor.open()
    visitor.type(TEXT)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    pin_first_cell(visitor)
    visitor.type("def mean(values): return 1")
    page.wait_for_selector(f"{LINKS} >> text=Expert {first_expert(visitor)} in the atlas")
    assert len([url for url in asked if "/api/v1/corpora" in url]) == 1
    page.keyboard.press("Escape")
    page.wait_for_selector(".to-atlas", state="detached")


def test_the_decoder_has_no_atlas(visit: Visit, atlas_server: Server) -> None:
    visitor = visit(atlas_server)
    page = visitor.open("/?view=both&max_new_tokens=3")
    page.wait_for_selector("#token-grid-2 svg")
    visitor.click_first_cell("token-grid-2")
    page.wait_for_selector("#selected-panel >> text=decoder block")
    page.wait_for_timeout(300)
    assert page.locator("#selected-panel a").count() == 0
    pin_first_cell(visitor)


def test_without_a_pass_a_line_says_so(visit: Visit, server: Server) -> None:
    visitor = visit(server)
    page = visitor.open()
    visitor.click_first_cell("token-grid")
    page.wait_for_selector(".no-atlas >> text=No corpus pass of this model yet")
    assert page.locator(LINKS).count() == 0
    page.click(".no-atlas a")
    page.wait_for_url("**/corpora")
