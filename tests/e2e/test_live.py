"""What somebody meets who types a sentence."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import FIGURES, Visitor

pytestmark = pytest.mark.e2e

Visit = Callable[..., Visitor]


def test_opens_with_a_worked_example(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open()
    assert page.input_value("#text-input")
    assert page.evaluate("document.activeElement.id") == "text-input"
    assert page.locator("#flow-figure svg path").count() > 5
    assert page.get_attribute("html", "lang") == "en"


def test_typing_changes_every_figure(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open()
    before = visitor.figures()
    page.fill("#text-input", "")
    page.locator("#text-input").press_sequentially("2 + 2 = 4, and cats sleep", delay=40)
    visitor.until("recorded")
    after = visitor.figures()
    for name in FIGURES:
        assert after[name] != before[name], name
    tokens = [text.strip() for text in _token_labels(after["flow-figure"])]
    assert tokens[-1] == "&lt;/s&gt;"
    assert "".join(tokens[:-1]).replace("▁", " ").strip() == "2 + 2 = 4, and cats sleep"


def test_diagrams_follow_while_typing(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open()
    page.evaluate(
        """() => {
            window.painted = 0;
            document.getElementById('flow-figure')
                .addEventListener('painted', () => { window.painted += 1; });
        }"""
    )
    page.locator("#text-input").press_sequentially(" The old man and the sea", delay=120)
    assert page.evaluate("window.painted") >= 3


def test_examples_and_enter(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open()
    page.click("text=arithmetic")
    page.wait_for_function("document.querySelector('#text-input').value.startsWith('12 + 30')")
    page.focus("#text-input")
    page.keyboard.press("Enter")
    visitor.until("recorded")
    assert page.input_value("#text-input") == "12 + 30 = 42, 7 * 8 = 56, 100 - 1 = 99"


def test_the_same_text_again_stays_recorded(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open()
    visitor.type("12 + 30 = 42, 7 * 8 = 56, 100 - 1 = 99")
    run_id = visitor.run_id()
    page.click("text=arithmetic")
    page.fill("#text-input", "12 + 30 = 42, 7 * 8 = 56, 100 - 1 = 99")
    page.wait_for_timeout(500)
    visitor.until("recorded", seconds=1)
    assert visitor.run_id() == run_id


def test_link_opens_in_another_browser(visit: Visit) -> None:
    author = visit()
    author.open()
    author.type("A sentence that is worth sharing.")
    link = author.page.get_attribute("#run-link", "href")
    assert link == f"/runs/{author.run_id()}"
    reader = visit()
    page = reader.open(link)
    assert reader.run_id() == author.run_id()
    assert page.input_value("#text-input") == "A sentence that is worth sharing."
    assert reader.figures() == author.figures()
    page.reload()
    reader.until("recorded")
    assert reader.figures() == author.figures()


def test_copy_link(visit: Visit) -> None:
    visitor = visit(permissions=["clipboard-read", "clipboard-write"])
    page = visitor.open()
    visitor.type("Copy the link of this.")
    page.click("#copy-link")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"{visitor.server.url}/runs/{visitor.run_id()}"


def test_csv_equals_the_api(visit: Visit, tmp_path: Path) -> None:
    visitor = visit()
    page = visitor.open()
    visitor.type("Numbers on the page, in the file and in the API agree.")
    with page.expect_download() as download:
        page.click("#download-csv")
    file = tmp_path / "routing.csv"
    download.value.save_as(file)
    content = file.read_bytes()
    path = f"/api/v1/analyses/{visitor.run_id()}"
    assert content == visitor.server.get(f"{path}/routing.csv")
    analysis = visitor.server.json(path)
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    chosen = [int(row["expert_index"]) for row in rows if row["selected"] == "true"]
    assert chosen == [expert for layer in analysis["experts"] for [expert] in layer]
    cells = next(part for part in visitor.figure("token-grid")[0] if part.get("mode") == "text")
    assert [int(cell) for cell in cells["text"]] == chosen


def test_table_follows_and_filters(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open()
    visitor.type("zebra")
    page.wait_for_selector("#routing-table .ag-root-wrapper", state="attached")
    # Otherwise a picture of the whole page has none of it while it is out of sight.
    painted = "getComputedStyle(document.querySelector('#routing-table .ag-root-wrapper'))"
    assert page.evaluate(f"{painted}.contentVisibility") == "visible"
    page.wait_for_function(
        "[...document.querySelectorAll('#routing-table [col-id=token].ag-cell')]"
        ".some(cell => 'zebra'.includes(cell.textContent.replace('▁', '')))"
    )
    page.click("#routing-table .ag-header-cell[col-id=token] .ag-header-cell-label")
    page.wait_for_selector("#routing-table .ag-header-cell[col-id=token][aria-sort=ascending]")
    first = page.locator("#routing-table [row-index='0'] [col-id=token]").inner_text()
    assert first == "</s>"


def test_reload_keeps_the_text(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open()
    visitor.type("Still here after a reload.")
    page.reload()
    visitor.until("recorded")
    assert page.input_value("#text-input") == "Still here after a reload."


def test_pinning_shows_everywhere_and_escape_frees(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open()
    visitor.type("She sat on the bank of the river.")
    free = visitor.figures()
    page.focus("#grid-frame")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#selected-panel h2:has-text('Token')")
    page.keyboard.press("ArrowDown")
    page.wait_for_selector("#selected-panel h3:has-text('Layer 2')")
    pinned = visitor.figures()
    assert pinned["flow-figure"] != free["flow-figure"]
    assert pinned["token-grid"] != free["token-grid"]
    page.keyboard.press("Escape")
    page.wait_for_selector("#selected-panel h2:has-text('Nothing selected')")
    assert visitor.figures() == free


def test_clicking_a_cell_and_an_expert(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open()
    visitor.type("Click on me, please.")
    for figure in ("token-grid", "heatmap-figure"):
        visitor.click_first_cell(figure)
        title = "Token" if figure == "token-grid" else "Expert 0, layer 1"
        page.wait_for_selector(f"#selected-panel h2:has-text('{title}')")


def test_pointing_at_a_token_tells_its_path(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open()
    visitor.type("Point here")
    box = page.locator("#flow-figure text", has_text="▁P").first.bounding_box()
    assert box
    page.mouse.move(box["x"] + 4, box["y"] + 8)
    page.wait_for_selector(".pointed:has-text('token 0')")
    told = page.text_content(".pointed") or ""
    assert "experts" in told


def test_two_visitors_never_mix(visit: Visit) -> None:
    one, two = visit(), visit()
    one.open()
    two.open()
    texts = ("Only the first one types this.", "Zwei schreibt etwas anderes, 1 + 1 = 2.")
    for visitor, text in zip((one, two), texts, strict=True):
        visitor.page.fill("#text-input", text)
    for visitor, text in zip((one, two), texts, strict=True):
        visitor.type(text)
        analysis = visitor.server.json(f"/api/v1/analyses/{visitor.run_id()}")
        assert analysis["text"] == text
        labels = [label.strip() for label in _token_labels(visitor.figure("flow-figure"))]
        assert len(labels) == len(analysis["tokens"])
    assert one.run_id() != two.run_id()


def test_history_lists_the_run(visit: Visit) -> None:
    visitor = visit()
    visitor.open()
    visitor.type("One more for the history.")
    visitor.page.click("nav >> text=Runs")
    visitor.page.get_by_role("link", name="One more for the history.").click()
    visitor.until("recorded")
    assert visitor.page.input_value("#text-input") == "One more for the history."


def test_leaving_right_after_the_drawing_is_no_error(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open()
    for text in ("What is set", "to follow later", "has no page then"):
        page.fill("#text-input", text)
        page.wait_for_selector('#status[data-state="working"]')
        page.wait_for_selector('#status[data-state="shown"]')
        page.click("nav >> text=Metrics")
        page.wait_for_selector("h1 >> text=Metrics")
        page.wait_for_timeout(2500)
        page.click("nav >> text=Live")
        visitor.until("shown", "recorded")


def _token_labels(flow: list) -> list[str]:  # type: ignore[type-arg]
    return next(t["text"] for t in flow[0] if t.get("textposition") == "middle left")
