"""The menus that save files and pictures, in a real browser."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.conftest import Visitor

pytestmark = pytest.mark.e2e

PANELS = {"flows": "flow", "tokens": "tokens-by-layer", "load": "load"}


def save(page: Page, menu: str, item: str) -> tuple[str, bytes]:
    """Opens a menu if it is closed, clicks an item; the file's name and content."""
    if page.locator(f"{menu}[open]").count() == 0:
        page.click(f"{menu} > summary")
    with page.expect_download() as download:
        page.click(f"{menu} {item}")
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def test_files_of_the_run_are_saved(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.open()
    visitor.type("files of this run")
    run = visitor.run_id()[:8]
    name, data = save(page, "#download-menu", '[data-file="routing.parquet"]')
    assert name == f"routing-{run}.parquet"
    tokens = pq.read_table(io.BytesIO(data)).column("token").unique().to_pylist()
    name, data = save(page, "#download-menu", '[data-file="analysis.json"]')
    assert name == f"analysis-{run}.json"
    body = json.loads(data)
    assert body["text"] == "files of this run"
    assert set(body["tokens"]) == set(tokens)
    name, data = save(page, "#download-menu", '[data-file="trace.npz"]')
    assert (name, data[:2]) == (f"trace-{run}.npz", b"PK")


def test_without_a_run_the_menu_says_why(visit: Callable[..., Visitor]) -> None:
    page = visit().open()
    page.wait_for_selector('#status[data-state="recorded"]')
    page.fill("#text-input", "")
    page.wait_for_selector('#status[data-state="idle"]')
    page.click("#download-menu > summary")
    assert page.is_visible("#download-menu .no-run")
    links = page.locator("[data-file]")
    assert links.count() >= 8
    for index in range(links.count()):
        assert links.nth(index).get_attribute("href") is None
        assert links.nth(index).get_attribute("aria-disabled") == "true"
    # What is drawn can be saved all the same.
    name, _ = save(page, ".flows .menu", '[data-format="svg"]:visible')
    assert name == "flow.svg"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_figures_are_saved_as_pictures(visit: Callable[..., Visitor], theme: str) -> None:
    visitor = visit(color_scheme=theme)
    page = visitor.open()
    visitor.type(f"pictures in {theme}")
    run = visitor.run_id()[:8]
    for panel, figure in PANELS.items():
        menu = f".{panel} .menu"
        size = page.evaluate(
            """panel => {
                const box = document.querySelector(`.${panel} :is(.drawing svg, .js-plotly-plot)`)
                    .getBoundingClientRect();
                return [box.width, box.height];
            }""",
            panel,
        )
        name, data = save(page, menu, '[data-format="png"]:visible')
        assert name == f"{figure}-{run}.png"
        assert data[1:4] == b"PNG"
        # Twice as many dots as are shown.
        width, height = struct.unpack(">II", data[16:24])
        assert abs(width - 2 * size[0]) <= 2
        assert abs(height - 2 * size[1]) <= 2
        name, data = save(page, menu, '[data-format="svg"]:visible')
        assert name == f"{figure}-{run}.svg"
        picture = data.decode()
        assert picture.startswith("<svg")
        ground = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}[theme]
        assert ground in picture


def test_only_what_is_shown_is_offered(visit: Callable[..., Visitor]) -> None:
    page = visit().open("/?text=one+stack+first")
    page.click(".flows .menu > summary")
    assert page.locator(".flows [data-format]:visible").all_inner_texts() == ["PNG", "SVG"]
    page.keyboard.press("Escape")
    page.click("text=Both")
    page.wait_for_selector("#second-flow .drawing svg", state="visible")
    page.click(".flows .menu > summary")
    shown = page.locator(".flows [data-format]:visible").all_inner_texts()
    assert shown == ["PNG", "SVG", "PNG, decoder", "SVG, decoder"]
    name, _ = save(page, ".flows .menu", "button:text-is('SVG, decoder')")
    assert name.startswith("flow-decoder")


def test_a_saved_figure_opens_offline(
    visit: Callable[..., Visitor], browser: Browser, tmp_path: Path
) -> None:
    visitor = visit()
    page = visitor.open()
    visitor.type("it opens offline")
    drawn = visitor.figure("token-grid")
    name, data = save(page, ".tokens .menu", '[data-file$=".html"]')
    assert name == f"tokens_by_layer-{visitor.run_id()[:8]}.html"
    file = tmp_path / name
    file.write_bytes(data)
    problems: list[str] = []
    asked: list[str] = []
    context = browser.new_context(offline=True)
    alone = context.new_page()
    alone.on("pageerror", lambda error: problems.append(str(error)))
    alone.on("request", lambda request: asked.append(request.url))
    alone.goto(file.as_uri())
    alone.wait_for_selector(".js-plotly-plot .main-svg")
    found: Any = json.loads(
        alone.evaluate("JSON.stringify(document.querySelector('.js-plotly-plot').data)")
    )
    context.close()
    assert [each.get("z") for each in found] == [each.get("z") for each in drawn[0]]
    assert asked == [file.as_uri()]
    assert problems == []


def test_menus_close_as_other_popovers_do(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.open()
    # Only a recorded run's files can be reached by the keyboard.
    visitor.until("recorded")
    more, flows = page.locator("#download-menu"), page.locator(".flows .menu")

    def is_open(menu: Any) -> bool:
        return bool(menu.evaluate("menu => menu.open"))

    page.focus("#download-menu > summary")
    page.keyboard.press("Enter")
    assert is_open(more)
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    assert not is_open(more)
    # Back where it was opened.
    assert page.evaluate("document.activeElement.textContent") == "More"
    page.click("#download-menu > summary")
    page.click(".flows .menu > summary")
    assert (is_open(more), is_open(flows)) == (False, True)
    page.click("h2 >> nth=0")
    assert not is_open(flows)


@pytest.mark.parametrize("width", [320, 400, 1280, 2000])
def test_menus_stay_on_the_page(visit: Callable[..., Visitor], width: int) -> None:
    page = visit(width=width).open()
    for menu in ("#download-menu", ".flows .menu", ".tokens .menu", ".measures .panel-head .menu"):
        page.click(f"{menu} > summary")
        box = page.locator(f"{menu} .menu-items").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.keyboard.press("Escape")
