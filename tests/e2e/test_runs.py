"""The history: finding, paging, choosing, naming, deleting and bringing back."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Server, Visitor
from tests.integration.helpers import ask, free_port

pytestmark = pytest.mark.e2e

Visit = Callable[..., Visitor]

ROWS = "table.runs tbody tr:visible"
TITLES = f"{ROWS} td.about > a"
# On a busy machine a server's first answers take seconds.
expect.set_options(timeout=15_000)
# More than one part of the list holds, and not so many that a third is needed.
PLAIN = [f"text number {n}" for n in range(56)]
SPECIAL = [
    "The river bank",
    "The bank lent money",
    "<img src=x onerror=alert(1)>",
    "A longer text about the river, with rather many more words in it than all of the others.",
]


def record(server: Server, text: str) -> str:
    """Records a text; gives its run's id."""
    answer = ask(f"{server.url}/api/v1/analyses", {"text": text, "record": True})
    assert answer.status in (200, 201), answer.body
    return str(answer.json()["run_id"])


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with sixty runs, the special ones last."""
    server = Server(tmp_path_factory.mktemp("history"))
    server.start()
    for text in (*PLAIN, *SPECIAL):
        record(server, text)
    yield server
    server.stop()


def opened(visitor: Visitor, path: str = "/runs") -> Page:
    visitor.page.goto(visitor.server.url + path)
    visitor.page.wait_for_selector(f"{ROWS}, .nothing")
    return visitor.page


def at(page: Page, address: str, titles: int) -> None:
    """Waits until the address is this and so many rows are shown."""
    page.wait_for_function("to => location.pathname + location.search === to", arg=address)
    expect(page.locator(ROWS)).to_have_count(titles)


def row(page: Page, text: str) -> Any:
    return page.locator(ROWS).filter(has_text=text)


def choose(page: Page, *texts: str) -> None:
    for text in texts:
        row(page, text).locator("input[type=checkbox]").check()


def test_newest_first_in_parts_that_lead_back(visit: Visit, history: Server) -> None:
    page = opened(visit(history))
    expect(page.locator(ROWS)).to_have_count(50)
    assert page.locator(TITLES).first.inner_text() == SPECIAL[-1]
    assert page.locator(".pager a:visible").all_inner_texts() == ["Older runs"]
    page.click("text=Older runs")
    expect(page.locator(ROWS)).to_have_count(10)
    assert page.locator(TITLES).last.inner_text() == PLAIN[0]
    assert "cursor=" in page.url
    assert page.locator(".pager a:visible").all_inner_texts() == ["Newest runs", "Newer runs"]
    page.reload()
    expect(page.locator(ROWS)).to_have_count(10)
    page.click("text=Newer runs")
    at(page, "/runs", 50)
    page.go_back()
    expect(page.locator(ROWS)).to_have_count(10)
    page.click("text=Newest runs")
    at(page, "/runs", 50)


def test_a_row_tells_of_its_run(visit: Visit, history: Server) -> None:
    page = opened(visit(history))
    line = row(page, "The river bank")
    picture = line.locator("img")
    assert picture.get_attribute("alt", timeout=1000) is not None
    assert str(picture.get_attribute("alt")).startswith("Load of 3 layers × 8 experts")
    assert picture.evaluate("image => image.naturalWidth") == 72
    for text in ("switch-mini-8", "encoder", "recorded", "kB"):
        assert text in line.inner_text(), text
    assert line.locator("time").get_attribute("datetime")
    line.locator("td.about a").click()
    page.wait_for_selector("#status[data-state=recorded]")
    assert page.input_value("#text-input") == "The river bank"


def test_the_address_keeps_the_filter(visit: Visit, history: Server) -> None:
    page = opened(visit(history))
    page.focus("#runs-search")
    page.keyboard.type("RIVER ", delay=30)
    at(page, "/runs?q=RIVER", 2)
    assert page.evaluate("document.activeElement.id") == "runs-search"
    page.select_option("#runs-sort", "tokens")
    at(page, "/runs?q=RIVER&sort=tokens", 2)
    assert page.locator(TITLES).all_inner_texts() == [SPECIAL[3], SPECIAL[0]]
    page.select_option("#runs-order", "asc")
    at(page, "/runs?q=RIVER&sort=tokens&order=asc", 2)
    expect(page.locator(TITLES).first).to_have_text(SPECIAL[0])
    page.reload()
    at(page, "/runs?q=RIVER&sort=tokens&order=asc", 2)
    assert page.locator(TITLES).first.inner_text() == SPECIAL[0]
    assert page.input_value("#runs-order") == "asc"
    page.go_back()
    at(page, "/runs?q=RIVER&sort=tokens", 2)
    expect(page.locator(TITLES).first).to_have_text(SPECIAL[3])
    page.go_back()
    at(page, "/runs?q=RIVER", 2)
    page.go_back()
    at(page, "/runs", 50)
    assert page.input_value("#runs-search") == ""
    page.go_forward()
    at(page, "/runs?q=RIVER", 2)
    assert page.input_value("#runs-search") == "RIVER"
    # The link in the header is where it all begins.
    page.click("nav >> text=Runs")
    at(page, "/runs", 50)
    assert page.input_value("#runs-search") == ""


def test_a_filter_needs_no_page_load_and_survives_a_visit_to_a_run(
    visit: Visit, history: Server
) -> None:
    page = opened(visit(history), "/runs?q=money")
    page.evaluate("window.kept = true")
    page.click(TITLES)
    page.wait_for_selector("#status[data-state=recorded]")
    page.go_back()
    at(page, "/runs?q=money", 1)
    page.fill("#runs-search", "nothing is called so")
    page.wait_for_selector("text=No run matches.")
    page.click("text=Clear the filter")
    at(page, "/runs", 50)
    assert page.evaluate("document.activeElement.id") == "runs-search"
    assert page.evaluate("window.kept")


def test_model_stack_and_days(visit: Visit, history: Server) -> None:
    visitor = visit(history)
    page = opened(visitor)
    page.select_option("#runs-model", "switch-mini-8")
    at(page, "/runs?model=switch-mini-8", 50)
    page.select_option("#runs-stack", "decoder")
    page.wait_for_selector("text=No run matches.")
    page.select_option("#runs-stack", "encoder")
    at(page, "/runs?model=switch-mini-8&stack=encoder", 50)
    day = page.locator(f"{ROWS} time").first.inner_text()[:10]
    page.fill("#runs-since", day)
    at(page, f"/runs?model=switch-mini-8&stack=encoder&since={day}", 50)
    page.fill("#runs-until", "2020-01-01")
    page.wait_for_selector("text=nothing can match")
    opened(visitor, "/runs?model=of+another+place")
    assert page.input_value("#runs-model") == "of another place"
    assert page.inner_text(".nothing p") == "No run matches."


def test_sorting_by_a_metric_shows_it_in_order(visit: Visit, history: Server) -> None:
    page = opened(visit(history), "/runs?sort=confidence_mean")
    assert "Confidence" in page.locator("thead").inner_text()
    shown = [float(text) for text in page.locator(f"{ROWS} td.value").all_inner_texts()]
    assert len(shown) == 50
    assert shown == sorted(shown, reverse=True)
    assert shown[0] > shown[-1]


def test_bad_values_in_an_address_are_told_and_the_rest_counts(
    visit: Visit, history: Server
) -> None:
    page = opened(visit(history), "/runs?q=money&sort=beauty&since=yesterday&cursor=%00made-up&x=1")
    expect(page.locator(ROWS)).to_have_count(1)
    told = " ".join(page.locator(".told:visible").all_inner_texts())
    assert "since «yesterday» is left out" in told
    assert "sort «beauty» is left out" in told
    assert "first page" in told
    page.select_option("#runs-order", "asc")
    at(page, "/runs?q=money&order=asc", 1)
    expect(page.locator(".told:visible")).to_have_count(0)


def test_choosing_with_mouse_and_keys(visit: Visit, history: Server) -> None:
    page = opened(visit(history))
    marks = page.locator(f"{ROWS} input[type=checkbox]")
    count = page.locator("#runs-count")
    assert not page.is_visible("#runs-delete")
    marks.nth(2).click()
    expect(count).to_have_text("1 selected")
    marks.nth(6).click(modifiers=["Shift"])
    expect(count).to_have_text("5 selected")
    marks.nth(4).click()
    expect(count).to_have_text("4 selected")
    assert page.evaluate("document.getElementById('runs-all').indeterminate")
    page.click("#runs-all")
    expect(count).to_have_text("50 selected")
    page.click("#runs-all")
    expect(count).to_have_text("")
    # In reading order: the mark, then the run's link.
    marks.first.focus()
    page.keyboard.press("Space")
    expect(count).to_have_text("1 selected")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == SPECIAL[-1]
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.wait_for_selector("#status[data-state=recorded]")
    assert page.input_value("#text-input") == SPECIAL[-1]


def test_two_runs_can_be_compared_and_any_downloaded(visit: Visit, history: Server) -> None:
    page = opened(visit(history))
    choose(page, "The river bank")
    expect(page.locator("#runs-count")).to_have_text("1 selected")
    assert page.get_attribute("#runs-compare", "href") is None
    choose(page, "The bank lent money")
    expect(page.locator("#runs-count")).to_have_text("2 selected")
    a, b = (
        str(row(page, text).locator("td.about a").get_attribute("href")).split("/")[-1]
        for text in ("The bank lent money", "The river bank")
    )
    compare = f"/compare?a={a}&b={b}"
    assert page.get_attribute("#runs-compare", "href") == compare
    assert page.is_disabled("#runs-rename-open")
    with page.expect_download() as download:
        page.click("#runs-csv")
    with zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes())) as files:
        assert len(files.namelist()) == 2
    with page.expect_download() as download:
        page.click("#runs-parquet")
    assert Path(download.value.path()).read_bytes()[:4] == b"PAR1"
    page.click("#runs-compare")
    page.wait_for_function("to => location.pathname + location.search === to", arg=compare)
    expect(page.locator("main h1")).not_to_have_text("Runs")
    assert "There is no such" not in page.inner_text("main")


def test_naming_and_tagging(visit: Visit, history: Server) -> None:
    for text in ("to be named", "to be tagged"):
        record(history, text)
    page = opened(visit(history))
    choose(page, "to be named")
    page.click("#runs-rename-open")
    expect(page.locator("#runs-rename-input")).to_be_focused()
    page.fill("#runs-rename-input", "x" * 300)
    page.keyboard.press("Enter")
    expect(page.locator("#runs-problem")).to_contain_text("at most 250 characters")
    assert len(page.input_value("#runs-rename-input")) == 300
    page.fill("#runs-rename-input", "<b>My name</b>")
    page.keyboard.press("Enter")
    named = row(page, "<b>My name</b>")
    expect(named.locator("small.text")).to_have_text("to be named")
    expect(page.locator("#runs-count")).to_have_text("1 selected")
    expect(page.locator("#runs-rename-form")).to_be_hidden()

    choose(page, "to be tagged")
    page.click("#runs-tag-open")
    for bad, why in (
        ("", "empty"),
        ("one,two", "comma"),
        ("x" * 10_000, "at most 50 characters"),
    ):
        page.fill("#runs-tag-input", bad)
        page.click("text=Add")
        expect(page.locator("#runs-problem")).to_contain_text(why)
        assert page.input_value("#runs-tag-input") == bad
    page.fill("#runs-tag-input", "to check")
    page.click("text=Add")
    expect(page.locator(".tag")).to_have_count(2)
    # A tag leads to all that have it; a name is found as a text is.
    row(page, "to be tagged").locator(".tag").click()
    at(page, "/runs?tag=to+check", 2)
    assert page.input_value("#runs-tag") == "to check"
    page.fill("#runs-search", "my name")
    at(page, "/runs?q=my+name&tag=to+check", 1)
    choose(page, "My name")
    page.click("#runs-tag-open")
    page.fill("#runs-tag-input", "to check")
    page.click("text=Remove")
    page.wait_for_selector("text=No run matches.")


def test_deleting_can_be_undone_for_ten_seconds(visit: Visit, history: Server) -> None:
    kept = record(history, "deleted and brought back")
    lost = record(history, "deleted for good")
    visitor = visit(history)
    page = opened(visitor)
    before = page.locator(TITLES).all_inner_texts()
    choose(page, "deleted and brought back", "deleted for good")
    page.click("#runs-delete")
    expect(page.locator(ROWS)).to_have_count(48)
    expect(page.locator("#runs-toasts")).to_contain_text("2 runs deleted.")
    expect(page.locator("#runs-toasts button")).to_be_focused()
    assert ask(f"{history.url}/api/v1/analyses/{kept}").status == 404
    page.keyboard.press("Enter")
    expect(page.locator(ROWS)).to_have_count(50)
    assert page.locator(TITLES).all_inner_texts() == before
    expect(page.locator("#runs-toasts button")).to_have_count(0)
    assert history.json(f"/api/v1/analyses/{kept}")["text"] == "deleted and brought back"

    choose(page, "deleted for good")
    page.click("#runs-delete")
    expect(page.locator("#runs-toasts button")).to_have_count(1)
    gone = time.monotonic()
    # Still there on another part of the list.
    page.click("text=Older runs")
    expect(page.locator(ROWS)).not_to_have_count(49)
    assert page.is_visible("text=1 run deleted.")
    page.wait_for_selector("#runs-toasts button", state="detached", timeout=12_000)
    assert 8 < time.monotonic() - gone < 13
    opened(visitor)
    expect(row(page, "deleted for good")).to_have_count(0)
    assert ask(f"{history.url}/api/v1/analyses/{lost}").status == 404


def test_deleting_a_whole_part_shows_what_is_left(visit: Visit, own_server: Server) -> None:
    visitor = visit(own_server)
    page = opened(visitor)
    assert page.inner_text(".nothing").startswith("No runs yet.")
    for n in range(3):
        record(own_server, f"one of three, {n}")
    opened(visitor)
    expect(page.locator(ROWS)).to_have_count(3)
    page.click("#runs-all")
    page.click("#runs-delete")
    page.wait_for_selector("text=No runs yet.")
    page.click("text=Undo")
    expect(page.locator(ROWS)).to_have_count(3)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(visit: Visit, history: Server, scheme: str) -> None:
    visitor = visit(history, color_scheme=scheme)
    page = opened(visitor, "/runs?q=river&sort=load_cv_mean&until=never")
    choose(page, "The river bank")
    page.click("#runs-tag-open")
    page.click("text=Add")
    expect(page.locator("#runs-problem")).not_to_be_empty()
    page.wait_for_timeout(300)
    serious = [
        (each["id"], [node["html"][:160] for node in each["nodes"]])
        for each in Axe().run(page).response["violations"]
        if each["impact"] in ("serious", "critical")
    ]
    assert not serious


@pytest.mark.parametrize("width", [400, 1280, 2000])
def test_no_width_scrolls_sideways(visit: Visit, history: Server, width: int) -> None:
    visitor = visit(history, width=width)
    page = opened(visitor, "/runs?q=river&sort=load_cv_mean")
    choose(page, SPECIAL[3][:30])
    page.click("#runs-rename-open")
    expect(page.locator("#runs-rename-input")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # On a narrow screen a run has two lines.
    opened(visitor, "/runs?q=river")
    box = row(page, "The river bank").bounding_box()
    assert box
    assert box["height"] < 80


def test_a_store_that_is_down_is_told_and_what_waits_is_listed(
    visit: Visit, tmp_path: Path
) -> None:
    port = free_port()
    server = Server(tmp_path, MLFLOW_TRACKING_URI=f"http://127.0.0.1:{port}")
    server.start()
    try:
        visitor = visit(server)
        page = visitor.open("/?text=Kept+while+the+store+is+away.")
        expect(page.locator("#status")).to_contain_text("Kept here, waiting", timeout=20_000)
        notice = page.locator("#store-notice")
        expect(notice).to_contain_text("1 analysis waits for the store: ")
        expect(notice).to_contain_text(f"127.0.0.1:{port}")
        page.click("text=See them")
        line = row(page, "Kept while the store is away.")
        expect(line).to_contain_text("waiting")
        line.locator("input[type=checkbox]").check()
        expect(page.locator("#runs-count")).to_contain_text("can't be named or tagged yet")
        assert page.is_disabled("#runs-tag-open")
        assert page.is_disabled("#runs-rename-open")
        page.locator("#store-notice button").click()
        expect(notice).to_be_visible()
        expect(notice).to_contain_text("1 analysis waits for the store: ")
        page.click("#runs-delete")
        expect(page.locator("#runs-toasts")).to_contain_text("1 run deleted.")
        expect(notice).not_to_contain_text("1 analysis waits")
        page.click("text=Undo")
        expect(row(page, "Kept while the store is away.")).to_have_count(1)
    finally:
        server.stop()


def test_a_server_that_is_gone_is_told_and_asked_again(visit: Visit, own_server: Server) -> None:
    record(own_server, "here before and after")
    visitor = visit(own_server)
    page = opened(visitor)
    own_server.kill()
    page.select_option("#runs-order", "asc")
    page.wait_for_selector("text=The server does not answer.", timeout=15_000)
    expect(page.locator(ROWS)).to_have_count(1)
    own_server.start()
    page.click("#runs-gone button")
    expect(page.locator("#runs-gone")).to_be_hidden(timeout=30_000)
    at(page, "/runs?order=asc", 1)
    # What the browser itself says of lost connections is expected here.
    lost = ("ERR_CONNECTION", "ERR_EMPTY_RESPONSE", "the server did not respond")
    visitor.problems = [p for p in visitor.problems if not any(word in p for word in lost)]


def test_try_again_records_what_waited(visit: Visit, tmp_path: Path) -> None:
    # A file stands where the database's folder should be.
    blocked = tmp_path / "store"
    blocked.touch()
    server = Server(tmp_path, MLFLOW_TRACKING_URI=f"sqlite:///{blocked}/mlflow.db")
    server.start()
    try:
        page = visit(server).open("/?text=Recorded+in+the+end.")
        notice = page.locator("#store-notice")
        expect(notice).to_contain_text("1 analysis waits for the store: ", timeout=30_000)
        blocked.unlink()
        notice.locator("button").click()
        expect(notice).to_be_hidden(timeout=30_000)
        page.click("nav >> text=Runs")
        expect(row(page, "Recorded in the end.")).to_contain_text("recorded")
    finally:
        server.stop()
