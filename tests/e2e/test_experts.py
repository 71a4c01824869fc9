"""The expert atlas: what each expert takes in a corpus, read by a newcomer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from app.corpus.atlas import label_profile, token_routing, top_tokens
from app.corpus.counting.counts import Counts
from app.corpus.library import Library
from tests.atlas_pass import make_pass, write_corpus
from tests.e2e.conftest import Server, Visitor

pytestmark = pytest.mark.e2e

Visit = Callable[..., Visitor]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("atlas")


@pytest.fixture(scope="module")
def passes(data: Path) -> list[str]:
    """A pass over ten documents of every domain, and one that reads less of each."""
    corpus = data / "corpus.jsonl"
    write_corpus(corpus, 10)
    return [make_pass(data, corpus, name, tokens) for name, tokens in (("long", 128), ("b", 64))]


@pytest.fixture(scope="module")
def atlas_server(data: Path, passes: list[str]) -> Iterator[Server]:
    server = Server(data)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def counts(data: Path, passes: list[str]) -> Counts:
    return Library(data).counts(passes[0])


def opened(visitor: Visitor, path: str) -> Page:
    page = visitor.page
    page.goto(visitor.server.url + path)
    drawn(page)
    return page


def drawn(page: Page) -> None:
    """Waits for the cards and the figures."""
    page.wait_for_selector(".expert-card")
    for figure in ("risk", "information", "similarity"):
        page.wait_for_function(
            "id => document.querySelector(`#${id}-figure .js-plotly-plot`)?.data?.length > 0",
            arg=figure,
        )


def asked(page: Page) -> dict[str, str]:
    found: dict[str, str] = page.evaluate(
        "Object.fromEntries(new URLSearchParams(location.search))"
    )
    return found


def chosen(page: Page, id_: str) -> str:
    return str(page.input_value(f"#{id_}"))


def test_a_newcomer_reads_what_the_experts_take(
    visit: Visit, atlas_server: Server, passes: list[str], counts: Counts
) -> None:
    visitor = visit(atlas_server)
    page = opened(visitor, "/experts")
    assert chosen(page, "experts-run") == passes[1], "the newest pass is opened"
    page.select_option("#experts-run", passes[0])
    page.click("text=Show")
    page.wait_for_url(f"**run={passes[0]}*")
    drawn(page)
    layer = int(chosen(page, "experts-layer")) - 1
    profile = label_profile(counts, layer, "domain")
    cards = page.locator(".expert-card")
    assert cards.count() == 8
    told = " ".join(page.locator(".expert-card h3").all_inner_texts())
    for kind in ("python", "arithmetic", "de"):
        takers = [
            expert for expert in range(8) if profile.low[expert, profile.values.index(kind)] > 1
        ]
        assert takers, f"some expert takes {kind}"
        for expert in takers:
            shown = page.locator(f"#expert-{expert} .ratios").first.inner_text()
            better = (profile.low[expert] > profile.low[expert, profile.values.index(kind)]).sum()
            assert (kind in shown) == (better < 3)
    assert "mostly" in told or "often" in told or " and " in told
    for expert in range(8):
        card = page.locator(f"#expert-{expert}")
        first = top_tokens(counts, layer, expert)[:1]
        assert card.locator(".chips code").count() >= len(first)
    summary = page.text_content("#risk-summary") or ""
    assert "arithmetic" in summary


def test_a_card_unfolds_examples_with_the_token_marked(
    visit: Visit, atlas_server: Server, passes: list[str], counts: Counts
) -> None:
    visitor = visit(atlas_server)
    page = opened(visitor, f"/experts?run={passes[0]}&layer=2")
    card = page.locator("#expert-3")
    card.locator("summary").first.click()
    examples = counts.examples.of(counts.layout.slot(1, 3))
    marks = card.locator("mark")
    marks.first.wait_for()
    assert marks.count() == len(examples)
    first = examples[0]
    assert marks.first.text_content() == first.text.replace("\n", "⏎")
    line = card.locator("li").first.text_content() or ""
    assert line == (first.before + first.text + first.after).replace("\n", "⏎")
    assert asked(page)["expert"] == "3"


def test_the_address_keeps_everything(
    visit: Visit, atlas_server: Server, passes: list[str]
) -> None:
    visitor = visit(atlas_server)
    page = opened(visitor, f"/experts?run={passes[0]}")
    page.select_option("#experts-layer", "3")
    page.wait_for_function("document.querySelector('#experts-title').innerText.endsWith('3')")
    page.select_option("#experts-sort", "load")
    page.locator("#expert-5 summary").first.click()
    page.fill("#experts-piece", "the")
    page.wait_for_selector("#experts-found .tag")
    expected = {
        "run": passes[0],
        "layer": "3",
        "label": "domain",
        "sort": "load",
        "expert": "5",
        "token": "the",
    }
    page.wait_for_function("location.search.includes('expert=5')")
    assert asked(page) == expected
    order = page.eval_on_selector_all(".expert-card", "cards => cards.map(card => card.id)")
    page.reload()
    drawn(page)
    page.wait_for_selector("#expert-5 details[open]")
    page.wait_for_selector("#experts-found .tag")
    assert asked(page) == expected
    assert page.input_value("#experts-piece") == "the"
    assert page.eval_on_selector_all(".expert-card", "all => all.map(one => one.id)") == order
    # Another layer's expert 5 is another expert.
    page.select_option("#experts-layer", "1")
    page.wait_for_function("document.querySelector('#experts-title').innerText.endsWith('1')")
    assert "expert" not in asked(page)


def test_where_a_token_goes(
    visit: Visit, atlas_server: Server, data: Path, passes: list[str], counts: Counts
) -> None:
    visitor = visit(atlas_server)
    page = opened(visitor, f"/experts?run={passes[0]}")
    page.fill("#experts-piece", "The")
    page.wait_for_selector("#experts-found .tag")
    page.wait_for_function(
        "document.querySelector('#piece-figure .js-plotly-plot')?.data?.length > 0"
    )
    piece = str(page.locator("#experts-found .tag").first.get_attribute("data-piece"))
    ids = {piece: id_ for id_, piece in Library(data).pieces(passes[0]).items()}
    routing = token_routing(counts, ids[piece])
    heat = visitor.figure("piece-figure")[0][0]["z"]
    for row, shares in zip(heat, routing.shares, strict=True):
        assert row == pytest.approx(shares.tolist(), abs=1e-4)
    assert f"{routing.n:,}" in page.locator("#experts-found .tag").first.inner_text()
    # Another match is a click away.
    second = page.locator("#experts-found .tag").nth(1)
    other = str(second.get_attribute("data-piece"))
    second.click()
    page.wait_for_function(
        "piece => document.querySelector('#experts-found .tag').dataset.piece === piece", arg=other
    )
    assert asked(page)["token"] == f"«{other}»"
    page.fill("#experts-piece", "no such piece anywhere")
    page.wait_for_selector("#experts-found >> text=No piece of the vocabulary")


def test_the_page_goes_to_its_parts(visit: Visit, atlas_server: Server, passes: list[str]) -> None:
    page = opened(visit(atlas_server, height=500), f"/experts?run={passes[0]}&with={passes[1]}")
    for button, title in (("the other pass", "beside"), ("cards", "experts"), ("token", "token")):
        page.click(f"[aria-label='On this page'] >> text={button}")
        top = f"document.getElementById('{title}-title').getBoundingClientRect().top"
        page.wait_for_function(f"{top} >= 0 && {top} < 40")
        assert page.evaluate("document.activeElement.id") == f"{title}-title"


def test_two_passes_side_by_side(visit: Visit, atlas_server: Server, passes: list[str]) -> None:
    visitor = visit(atlas_server)
    page = opened(visitor, f"/experts?run={passes[0]}&with={passes[1]}&layer=2")
    page.wait_for_selector("#experts-comparable >> text=of the same weights")
    for figure in ("two-loads", "risk-beside", "information-beside"):
        page.wait_for_function(
            "id => document.querySelector(`#${id}-figure .js-plotly-plot`)?.data?.length > 0",
            arg=figure,
        )
    a, b = visitor.figure("two-loads-figure")[0]
    assert sum(a["y"]) == pytest.approx(1)
    assert sum(b["y"]) == pytest.approx(1)
    assert asked(page)["with"] == passes[1]


def test_no_pass_and_an_unknown_one(visit: Visit, server: Server, atlas_server: Server) -> None:
    page = visit(server).page
    page.goto(f"{server.url}/experts")
    page.wait_for_selector("text=python -m app corpus")
    page = visit(atlas_server).page
    page.goto(f"{atlas_server.url}/experts?run={'0' * 32}")
    page.wait_for_selector("[role=alert] >> text=There is no such pass")
    assert page.locator(".expert-card").count() == 0


def test_the_report_opens_without_the_server(
    visit: Visit, atlas_server: Server, passes: list[str], tmp_path: Path
) -> None:
    visitor = visit(atlas_server)
    page = opened(visitor, f"/experts?run={passes[0]}")
    page.click(".atlas-facts .menu summary")
    with page.expect_download() as download:
        page.click(".atlas-facts >> text=Report that opens offline")
    report = tmp_path / "report.html"
    download.value.save_as(report)
    other = visit(atlas_server, color_scheme="dark")
    other.page.goto(report.as_uri())
    other.page.wait_for_selector("#risk-0-domain.js-plotly-plot")
    assert (
        other.page.evaluate("document.getElementById('risk-0-domain').layout.font.color")
        == "#e6e9ed"
    )
    assert other.page.locator("h1").inner_text() == "What each expert takes in long"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_it_fits_and_everybody_can_read_it(
    visit: Visit, atlas_server: Server, passes: list[str], scheme: str, width: int
) -> None:
    visitor = visit(atlas_server, width=width, color_scheme=scheme)
    page = opened(visitor, f"/experts?run={passes[0]}&with={passes[1]}&layer=2&expert=1&token=the")
    page.wait_for_selector("#experts-found .tag")
    page.wait_for_selector("#expert-1 details[open]")
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground = json.loads(
        page.evaluate(
            "JSON.stringify(document.querySelector('#risk-figure .js-plotly-plot')"
            ".layout.font.color)"
        )
    )
    assert ground == {"light": "#1b1f24", "dark": "#e6e9ed"}[scheme]
    found = Axe().run(page).response["violations"]
    serious = [
        (each["id"], [node["html"][:160] for node in each["nodes"]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
    assert not serious
