"""Passes over corpora in the history, on their page, and compared with each other."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from app.corpus.library import Library
from app.passes import Passes
from app.settings import load_settings
from tests.atlas_pass import make_pass, write_corpus
from tests.e2e.conftest import Server, Visitor
from tests.integration.helpers import ask, until

pytestmark = pytest.mark.e2e

Visit = Callable[..., Visitor]

ROWS = "table.runs tbody tr:visible"
TEXT = "The river bank"
LONG, SHORT = "all of it", "its beginnings"
FIGURES = ("passes-loads", "passes-information")
expect.set_options(timeout=15_000)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("corpus-runs")


@pytest.fixture(scope="module")
def runs(data: Path) -> dict[str, str]:
    """The runs of two passes over one corpus, by name."""
    corpus = data / "corpus.jsonl"
    write_corpus(corpus, 4)
    passes = Passes(load_settings(MOESCOPE_DATA_DIR=data))
    return {
        name: passes.record(make_pass(data, corpus, name, tokens))
        for name, tokens in ((LONG, 96), (SHORT, 32))
    }


@pytest.fixture(scope="module")
def corpora(data: Path, runs: dict[str, str]) -> Iterator[Server]:
    """A server with two recorded passes and a text."""
    server = Server(data)
    server.start()
    run_id = ask(f"{server.url}/api/v1/analyses", {"text": TEXT}).json()["run_id"]
    until(lambda: server.json(f"/api/v1/analyses/{run_id}")["status"] == "recorded")
    yield server
    server.stop()


def opened(visitor: Visitor, path: str = "/runs") -> Page:
    visitor.page.goto(visitor.server.url + path)
    visitor.page.wait_for_selector(f"{ROWS}, .nothing")
    return visitor.page


def choose(page: Page, *texts: str) -> None:
    for text in texts:
        page.locator(ROWS).filter(has_text=text).locator("input[type=checkbox]").check()


def drawn(page: Page) -> None:
    for figure in FIGURES:
        page.wait_for_function(
            "id => document.querySelector(`#${id}-figure .js-plotly-plot`)?.data?.length > 1",
            arg=figure,
        )


def test_passes_stand_in_the_history_and_lead_to_their_experts(
    visit: Visit, corpora: Server, runs: dict[str, str]
) -> None:
    page = opened(visit(corpora))
    expect(page.locator(ROWS)).to_have_count(3)
    row = page.locator(ROWS).filter(has_text=LONG)
    for words in ("corpus pass, 60 documents", "switch-mini-8", "encoder", "recorded", "kB"):
        assert words in row.inner_text(), words
    assert row.locator("img").get_attribute("alt").startswith("Load of 3 layers × 8 experts")  # type: ignore[union-attr]
    page.select_option("#runs-kind", "corpus")
    expect(page.locator(ROWS)).to_have_count(2)
    assert page.url.endswith("/runs?kind=corpus")
    row.locator("td.about a").click()
    page.wait_for_selector(".expert-card")
    assert "60 documents" in page.inner_text(".atlas-facts")


def test_what_can_be_done_with_chosen_passes(
    visit: Visit, corpora: Server, runs: dict[str, str]
) -> None:
    page = opened(visit(corpora))
    compare, count = page.locator("#runs-compare"), page.locator("#runs-count")
    choose(page, LONG, TEXT)
    expect(count).to_have_text("2 selected. The files of the corpus pass are on its own page.")
    assert compare.get_attribute("href") is None
    expect(compare).to_have_attribute("title", "A text and a corpus can't be compared")
    with page.expect_download() as download:
        page.click("#runs-csv")
    with zipfile.ZipFile(download.value.path()) as files:
        assert len(files.namelist()) == 1
    page.locator(ROWS).filter(has_text=TEXT).locator("input[type=checkbox]").uncheck()
    expect(count).to_have_text("1 selected. The files of the corpus pass are on its own page.")
    assert page.get_attribute("#runs-csv", "href") is None
    choose(page, SHORT)
    expect(compare).to_have_attribute("href", f"/compare?a={runs[SHORT]}&b={runs[LONG]}")
    compare.click()
    drawn(page)


def test_a_deleted_pass_comes_back(visit: Visit, corpora: Server) -> None:
    page = opened(visit(corpora), "/runs?kind=corpus")
    choose(page, SHORT)
    page.click("#runs-delete")
    expect(page.locator(ROWS)).to_have_count(1)
    page.click("#runs-toasts button")
    expect(page.locator(ROWS)).to_have_count(2)


def test_two_passes_side_by_side(visit: Visit, corpora: Server, runs: dict[str, str]) -> None:
    visitor = visit(corpora)
    page = visitor.page
    page.goto(f"{corpora.url}/compare?a={runs[LONG]}&b={runs[SHORT]}")
    drawn(page)
    said = page.inner_text(".comparable")
    assert "expert numbers mean the same" in said
    assert "byte for byte" in said
    assert "a reads up to 96 tokens of a document, b up to 32" in said
    facts = page.inner_text("table.about-pass")
    for words in (LONG, SHORT, "SHA-256", "corpus.jsonl", "60"):
        assert words in facts, words
    counts = [Library(corpora.log.parent).counts(runs[name]) for name in (LONG, SHORT)]
    cells = [trace["z"] for trace in visitor.figure("passes-loads-figure")[0][:2]]
    for layer in range(3):
        part = counts[0].layout.part(layer)
        a, b = (each.usage.assignments[part] / each.tokens for each in counts)
        shown = [
            one if one is not None else other
            for one, other in zip(cells[0][layer], cells[1][layer], strict=True)
        ]
        assert shown == pytest.approx((b - a).tolist(), abs=1e-4)
    lines = {
        each["text"][-1].strip(): each["y"]
        for each in visitor.figure("passes-information-figure")[0]
        if "text" in each
    }
    assert sorted(lines) == ["a", "b"]
    table = page.locator("#passes-information-table tbody tr")
    expect(table).to_have_count(3)
    bits = [cell.split("\t")[1] for cell in table.all_inner_texts()]
    assert [float(each) for each in bits] == pytest.approx(lines["a"], abs=0.01)
    page.click("text=Swap a and b")
    page.wait_for_function(
        "a => new URLSearchParams(location.search).get('a') === a", arg=runs[SHORT]
    )
    drawn(page)
    page.click("text=Both in the atlas, layer by layer")
    page.wait_for_selector("#experts-comparable >> text=of the same weights")


def test_a_pass_and_a_text_can_not_be_compared(
    visit: Visit, corpora: Server, runs: dict[str, str]
) -> None:
    text = next(
        line["run_id"]
        for line in corpora.json("/api/v1/runs")["runs"]
        if line["kind"] == "analysis"
    )
    page = visit(corpora).page
    page.goto(f"{corpora.url}/compare?a={text}&b={runs[LONG]}")
    page.wait_for_selector("text=can’t be compared")
    page.click(f"text=Open the text of a: {TEXT}")
    page.wait_for_selector("#status[data-state=recorded]")
    page.go_back()
    page.click(f"text=Open the experts of b: {LONG}")
    page.wait_for_selector(".expert-card")


def test_the_permalink_of_a_pass_leads_to_its_experts(
    visit: Visit, corpora: Server, runs: dict[str, str]
) -> None:
    page = visit(corpora).page
    page.goto(f"{corpora.url}/runs/{runs[LONG]}")
    page.wait_for_selector("main h1 >> text=all of it")
    with page.expect_download() as download:
        page.click("text=Report that opens offline")
    report = Path(download.value.path()).read_text()
    digest = page.locator("table.about-pass td").filter(has_text=re.compile("^[0-9a-f]{64}$"))
    assert digest.inner_text() in report
    page.click("text=Open its experts")
    page.wait_for_selector(".expert-card")


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1280, "light")])
def test_its_pages_are_accessible_and_scroll_down_only(
    visit: Visit, corpora: Server, runs: dict[str, str], width: int, scheme: str
) -> None:
    page = visit(corpora, width=width, color_scheme=scheme).page
    for path, there in (
        ("/runs", ROWS),
        (f"/runs/{runs[LONG]}", "table.about-pass"),
        (f"/compare?a={runs[LONG]}&b={runs[SHORT]}", "#passes-information-table table"),
    ):
        page.goto(corpora.url + path)
        page.wait_for_selector(there)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        serious = [
            each
            for each in Axe().run(page).response["violations"]
            if each["impact"] in ("serious", "critical")
        ]
        assert not serious, path
