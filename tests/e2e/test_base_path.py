"""The pages in a browser behind a reverse proxy, below a base path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import Server, Visitor
from tests.proxy import proxied

pytestmark = pytest.mark.e2e

BASE = "/moescope"


@dataclass
class Place:
    """What visitors open."""

    url: str


@pytest.fixture(scope="module")
def below(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("below"), MOESCOPE_BASE_PATH=BASE)
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("strips", [True, False], ids=["taken-off", "left-on"])
def test_everything_is_reached_below_the_base_path(
    below: Server, visit: Callable[..., Visitor], strips: bool
) -> None:
    with proxied(below.url, BASE, strips) as address:
        visitor = visit(Place(address))
        text = f"The bank of the river, {strips}"
        asked: set[str] = set()
        visitor.page.on("request", lambda request: asked.add(urlsplit(request.url).path))
        page = visitor.open(f"{BASE}/")
        visitor.until("recorded")  # the example that the page opens with
        visitor.type(text)
        # The address follows, and opens the same text anew.
        page.wait_for_url(f"{address}{BASE}/?text=*")
        page.reload()
        visitor.until("recorded", "shown")
        expect(page.locator("#text-input")).to_have_value(text)
        page.wait_for_selector('#status[data-state="recorded"]')
        run_id = visitor.run_id()
        with page.expect_download() as download:
            page.click("#download-csv")
        assert Path(download.value.path()).read_text(encoding="utf-8").startswith("layer_name,")

        page.click("#run-link")
        page.wait_for_url(f"{address}{BASE}/runs/{run_id}*")
        visitor.until("recorded")
        page.click("nav >> text=Runs")
        page.wait_for_url(f"{address}{BASE}/runs")
        expect(page.locator("nav a.active")).to_have_text("Runs")
        page.get_by_role("link", name=text).click()
        page.wait_for_url(f"{address}{BASE}/runs/{run_id}*")
        visitor.until("recorded")
        page.go_back()
        page.wait_for_url(f"{address}{BASE}/runs")
        page.get_by_label(f"Select {text}").check()
        page.get_by_label("Select A bird in the hand").check()
        page.click("#runs-compare")
        page.wait_for_url(f"{address}{BASE}/compare?a=*&b=*")
        page.get_by_role("link", name="Swap a and b").click()
        page.wait_for_url(f"{address}{BASE}/compare?a=*&b={run_id}*")
        page.click("nav >> text=Metrics")
        expect(page.locator("h1")).to_have_text("Metrics")
        page.click(".brand")
        visitor.until("shown", "recorded")
        assert [path for path in asked if not path.startswith(f"{BASE}/")] == []


def test_who_comes_by_the_port_itself_is_led_there(
    below: Server, visit: Callable[..., Visitor]
) -> None:
    page = visit(below).open("/?text=By+the+port#top")
    assert page.url.startswith(f"{below.url}{BASE}/?text=By+the+port")
    expect(page.locator("#text-input")).to_have_value("By the port")
