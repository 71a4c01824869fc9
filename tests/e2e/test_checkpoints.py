"""The section of the expert atlas about checkpoints of one training."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from app.corpus.library import Library
from app.corpus.saturations import Saturations
from tests.atlas_pass import write_corpus
from tests.checkpoints import make_passes, write_checkpoint
from tests.e2e.conftest import Server, Visitor

pytestmark = pytest.mark.e2e

Visit = Callable[..., Visitor]
NOISE = {"step-20": 0.6, "step-100": 0.3, "step-300": 0.0}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="module")
def folders(data: Path, tiny_switch: Callable[..., Path]) -> dict[str, Path]:
    final = tiny_switch()
    return {name: write_checkpoint(final, data / name, noise) for name, noise in NOISE.items()}


@pytest.fixture(scope="module")
def made(data: Path, folders: dict[str, Path]) -> dict[str, str]:
    """The passes of the checkpoints, and one that kept no token's routing."""
    corpus = data / "corpus.jsonl"
    write_corpus(corpus, 2)
    found = make_passes(data, corpus, folders)
    last = {"step-300": folders["step-300"]}
    return {**found, "without": make_passes(data, corpus, last, tokens=False)["step-300"]}


@pytest.fixture(scope="module")
def atlas_server(data: Path, folders: dict[str, Path], made: dict[str, str]) -> Iterator[Server]:
    models = ",".join(f"{name}={folder}" for name, folder in folders.items())
    server = Server(data, MOESCOPE_MODELS=models)
    server.start()
    yield server
    server.stop()


def opened(visitor: Visitor, path: str) -> Page:
    page = visitor.page
    page.goto(visitor.server.url + path)
    page.wait_for_function(
        "document.querySelector('#checkpoints-figure .js-plotly-plot')?.data?.length > 0"
    )
    page.wait_for_selector("#checkpoints-table >> text=Parquet", state="attached")
    return page


def test_how_far_the_routing_of_each_checkpoint_is_settled(
    visit: Visit, atlas_server: Server, data: Path, made: dict[str, str]
) -> None:
    visitor = visit(atlas_server)
    page = opened(visitor, f"/experts?run={made['step-300']}&layer=2")
    library = Library(data)
    known = Saturations(library).beside(library.find(made["step-300"]), 60)
    outcomes = [each.outcome for each in known if each.outcome]
    assert [each.found.about.order.model for each in known] == ["step-20", "step-100"]
    lines = [trace for trace in visitor.figure("checkpoints-figure")[0] if "marker" in trace]
    # The chosen layer's line is the last.
    for trace, layer in zip(lines, (0, 1), strict=True):
        assert trace["y"] == pytest.approx([each.layers[layer].share for each in outcomes])
    assert page.locator("#checkpoints-table tbody tr").count() == 4
    assert "step-300" in page.inner_text("#checkpoints-said")
    page.click("text=All numbers")
    with page.expect_download() as download:
        page.click("#checkpoints-table >> text=CSV")
    text = download.value.path().read_text("utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["model"] for row in rows] == ["step-20"] * 2 + ["step-100"] * 2
    # Another layer stands out.
    page.select_option("#experts-layer", "1")
    page.wait_for_function(
        "y => document.querySelector('#checkpoints-figure .js-plotly-plot').data.at(-1).y[0] === y",
        arg=outcomes[0].layers[0].share,
    )


def test_without_other_checkpoints_it_is_said_what_is_needed(
    visit: Visit, atlas_server: Server, made: dict[str, str]
) -> None:
    page = visit(atlas_server).page
    page.goto(f"{atlas_server.url}/experts?run={made['without']}")
    page.wait_for_selector("#checkpoints-said >> text=python -m app corpus corpus.jsonl")
    assert page.locator("#checkpoints-frame").is_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_it_fits_and_everybody_can_read_it(
    visit: Visit, atlas_server: Server, made: dict[str, str], scheme: str, width: int
) -> None:
    visitor = visit(atlas_server, width=width, color_scheme=scheme)
    page = opened(visitor, f"/experts?run={made['step-300']}")
    page.click("text=All numbers")
    page.click(".checkpoints .metric-help summary")
    page.wait_for_selector(".checkpoints .metric-about >> text=arXiv")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page, context=".panel.checkpoints").response["violations"]
    serious = [
        (each["id"], [node["html"][:160] for node in each["nodes"]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
    assert not serious
