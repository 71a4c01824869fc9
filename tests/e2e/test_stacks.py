"""Encoder, decoder and generated tokens; capacity, measures and layers compared."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from playwright.sync_api import Page

from app.figures.definitions import MEASURES
from tests.architectures import ARCHITECTURES
from tests.conftest import byte_tokenizer
from tests.e2e.conftest import FIGURES, Server, Visitor

pytestmark = pytest.mark.e2e

Visit = Callable[..., Visitor]

SECOND = tuple(f"{name}-2" for name in FIGURES)
PLACES = ("#second-flow", "#second-grid", "#second-load")
TEXT = "The river <extra_id_0> was closed, and the town slept."
TARGET = "Le chat dort, et 2 + 2 = 4."
CROWD = "the old man and the sea " * 4
# At this temperature every token is as likely as any other, so it goes on and on.
ENDLESS = "view=both&do_sample=true&temperature=100&max_new_tokens=500&seed=5"


def live(text: str, query: str = "") -> str:
    return f"/?text={quote(text)}&{query}"


def drawn(visitor: Visitor, **wanted: str | None) -> None:
    """Waits until the address, which follows what is drawn, says this; None is left out."""
    visitor.page.wait_for_function(
        """wanted => {
            const query = new URLSearchParams(location.search);
            return Object.entries(wanted).every(([name, value]) => query.get(name) === value);
        }""",
        arg=wanted,
    )
    visitor.until("shown", "recorded")


def says(visitor: Visitor, part: str) -> None:
    """Waits until the status says it."""
    visitor.page.wait_for_function(
        "part => document.querySelector('#status')?.textContent.includes(part)", arg=part
    )


def look_at(visitor: Visitor, view: str) -> None:
    visitor.page.check(f"#stack-view input[value={view}]")
    drawn(visitor, view=None if view == "encoder" else view)


def record(visitor: Visitor) -> Any:
    """Records what is shown; the analysis as the API gives it."""
    visitor.page.click("#analyse-button")
    visitor.until("recorded")
    return visitor.server.json(f"/api/v1/analyses/{visitor.run_id()}")


def all_figures(visitor: Visitor) -> dict[str, Any]:
    return {name: visitor.figure(name) for name in (*FIGURES, *SECOND)}


def seconds_hidden(page: Page) -> bool:
    return not any(page.is_visible(place) for place in PLACES)


def columns(visitor: Visitor, grid: str) -> list[str]:
    """The labels of a grid's tokens."""
    labels: list[str] = visitor.page.evaluate(
        "id => document.getElementById(id).figure.layout.xaxis.ticktext", grid
    )
    return labels


def cells(visitor: Visitor, figure: str) -> list[str]:
    """What a heatmap's cells are meant to say."""
    texts: list[str] = next(
        part["text"] for part in visitor.figure(figure)[0] if part.get("mode") == "text"
    )
    return texts


def painted(visitor: Visitor, figure: str) -> list[str]:
    """What a heatmap's cells do say, row by row: words of some size inside the figure."""
    texts: list[str] = visitor.page.evaluate(
        """id => {
            const { left, top, w, h } = document.getElementById(id).geometry;
            const svg = document.querySelector(`#${id} svg`).getBoundingClientRect();
            // The letters of a row are one text with a place for each.
            const parts = (text) => text.x.baseVal.numberOfItems < 2
                ? [[text.textContent, text.getBoundingClientRect()]]
                : [...text.textContent].map((letter, i) => {
                    const { x, y, width, height } = text.getExtentOfChar(i);
                    return [letter, new DOMRect(svg.left + x, svg.top + y, width, height)];
                });
            const x = svg.left + left, y = svg.top + top;
            const inside = (box) =>
                box.width > 0 && box.left >= x - 1 && box.right <= x + w + 1 &&
                box.top >= y - 1 && box.bottom <= y + h + 1;
            const middle = (box) => [box.top + box.height / 2, box.left + box.width / 2];
            return [...document.querySelectorAll(`#${id} .words text`)].flatMap(parts)
                .map(([text, box]) => [inside(box) ? text : 'outside', ...middle(box)])
                .sort(([, y, x], [, b, a]) => Math.abs(y - b) > 4 ? y - b : x - a)
                .map(([text]) => text);
        }""",
        figure,
    )
    return texts


def marked(visitor: Visitor, grid: str) -> list[tuple[float, float]]:
    """Token and layer of the cells that are outlined."""
    return [
        (shape["x0"] + 0.5, shape["y0"] + 0.5)
        for shape in visitor.figure(grid)[1]
        if shape["type"] == "rect"
    ]


def table(visitor: Visitor, found: str) -> list[dict[str, Any]]:
    """All rows of the table once one of them is found by a JavaScript condition on `row`."""
    rows = """() => {
        const rows = [];
        window.dash_ag_grid.getApi('routing-table').forEachNode((node) => rows.push(node.data));
        return rows;
    }"""
    visitor.page.wait_for_function(f"() => ({rows})().some((row) => {found})")
    listed: list[dict[str, Any]] = visitor.page.evaluate(rows)
    return listed


def csv_rows(visitor: Visitor) -> list[dict[str, str]]:
    """The rows of the file that were selected."""
    content = visitor.server.get(f"/api/v1/analyses/{visitor.run_id()}/routing.csv")
    return [r for r in csv.DictReader(io.StringIO(content.decode())) if r["selected"] == "true"]


def test_each_stack_alone_and_both(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open(live(TEXT))
    alone = visitor.figures()
    assert seconds_hidden(page)
    look_at(visitor, "both")
    assert all(page.is_visible(place) for place in PLACES)
    assert visitor.figures() == alone
    second = {name: visitor.figure(f"{name}-2") for name in FIGURES}
    assert all(second[name] != alone[name] for name in FIGURES)
    for name in FIGURES:
        assert page.locator(f"#{name}-2 svg").is_visible()
    look_at(visitor, "decoder")
    assert seconds_hidden(page)
    assert visitor.figures() == second
    look_at(visitor, "encoder")
    assert seconds_hidden(page)
    assert visitor.figures() == alone


def test_generated_tokens_are_told_apart_everywhere(visit: Visit) -> None:
    author = visit()
    author.open(live(TEXT, "view=both&max_new_tokens=12"))
    analysis = record(author)
    generated = analysis["generated"]["decoder"]
    assert (analysis["mode"], analysis["stopped"]) == ("generated", False)
    assert not any(analysis["generated"]["encoder"])
    assert generated == [False] + [True] * (len(generated) - 1)
    assert 1 < len(generated) <= 13
    assert [label.startswith("<i>+") for label in columns(author, "token-grid-2")] == generated
    assert not any(label.startswith("<i>+") for label in columns(author, "token-grid"))
    labels = next(
        trace["text"]
        for trace in author.figure("flow-figure-2")[0]
        if trace.get("textposition") == "middle left"
    )
    assert [label.startswith("<i>+ ") for label in labels] == generated
    said = author.page.inner_text("#mode-notes")
    assert f"{sum(generated)} tokens generated, marked +" in said
    names = ("stack", "token_index", "token", "expert_index", "generated")
    in_table = [[str(r[name]) for name in names] for r in table(author, "row.generated == 'true'")]
    in_file = [[row[name] for name in names] for row in csv_rows(author)]
    assert in_table == in_file
    of_decoder = [row for row in csv_rows(author) if row["stack"] == "decoder"]
    assert [row["generated"] for row in of_decoder[: len(generated)]] == [
        str(made).lower() for made in generated
    ]

    figures = all_figures(author)
    reader = visit()
    page = reader.open(f"/runs/{author.run_id()}")
    assert all_figures(reader) == figures
    assert page.inner_text("#mode-notes") == said
    assert page.input_value("#text-input") == TEXT
    page.reload()
    reader.until("recorded")
    assert all_figures(reader) == figures


def test_a_new_text_ends_a_generation(visit: Visit) -> None:
    visitor = visit()
    page = visitor.page
    old = "An old text, which is left behind."
    page.goto(visitor.server.url + live(old, ENDLESS))
    says(visitor, "tokens so far")
    assert visitor.status().startswith("Generating, ")
    made = len(columns(visitor, "token-grid-2"))
    assert made < 500
    page.fill("#text-input", "The new one.")
    page.wait_for_function(
        "() => document.querySelector('#token-grid').figure.layout.xaxis.ticktext"
        ".some((label) => label.includes('new'))"
    )
    # One generation each: the decoder's tokens begin anew, with those of the new text.
    page.check("#stack-view input[value=encoder]")
    drawn(visitor, view=None, text="The new one.")
    analysis = record(visitor)
    assert (analysis["text"], analysis["mode"]) == ("The new one.", "encoder")
    listed = visitor.server.json(f"/api/v1/runs?q={quote(old)}")["runs"]
    assert listed == []


def test_the_decoder_reads_a_target(visit: Visit, tmp_path: Path) -> None:
    visitor = visit()
    page = visitor.open(live(TEXT))
    look_at(visitor, "both")
    generated = all_figures(visitor)
    assert not page.is_visible("#target-input")
    page.check("#decoder-source input[value=target]")
    says(visitor, "The target text is blank.")
    assert page.is_visible("#target-input")
    assert not page.is_visible("#max-new-tokens")
    assert all_figures(visitor) == generated

    page.fill("#target-input", TARGET)
    drawn(visitor, source="target", target=TARGET)
    analysis = record(visitor)
    assert (analysis["mode"], analysis["target"]) == ("teacher-forced", TARGET)
    assert not any(analysis["generated"]["decoder"])
    tokens = analysis["tokens"]["decoder"]
    assert "".join(tokens[1:-1]).replace("▁", " ").strip() == TARGET
    assert "teacher forcing" in page.inner_text("#mode-notes")
    assert len(columns(visitor, "token-grid-2")) == len(tokens)
    forced = all_figures(visitor)
    assert forced["token-grid"] == generated["token-grid"]
    assert forced["token-grid-2"] != generated["token-grid-2"]
    with page.expect_download() as download:
        page.click("#download-csv")
    file = tmp_path / "routing.csv"
    download.value.save_as(file)
    with file.open(newline="", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["selected"] == "true"]
    for stack in ("encoder", "decoder"):
        layers = [layer["name"] for layer in analysis["layers"] if layer["stack"] == stack]
        for name in layers:
            listed = [row["token"] for row in rows if row["layer_name"] == name]
            assert listed == analysis["tokens"][stack]
        assert {row["stack"] for row in rows if row["layer_name"] in layers} == {stack}

    page.fill("#target-input", "   ")
    says(visitor, "The target text is blank.")
    assert all_figures(visitor) == forced
    page.check("#decoder-source input[value=generated]")
    drawn(visitor, source=None)
    assert all_figures(visitor) == generated
    page.fill("#max-new-tokens", "0")
    says(visitor, "must be from 1 to 512, not 0")
    assert visitor.page.get_attribute("#status", "data-state") == "error"
    assert all_figures(visitor) == generated
    page.fill("#max-new-tokens", "3")
    drawn(visitor, max_new_tokens="3")
    assert len(columns(visitor, "token-grid-2")) <= 4


def test_another_capacity_drops_tokens(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open(live(CROWD))
    own = visitor.figures()
    plain = page.inner_text("#mode-notes")
    assert page.inner_text("#capacity-label") == "Room for 64 of 64 tokens per expert"
    assert not page.is_visible("#drops-panel")
    page.focus("#capacity-slider")
    page.keyboard.press("Home")
    drawn(visitor, capacity="1")
    assert page.inner_text("#capacity-label") == "Room for 1 of 64 tokens per expert"
    assert "Run with room for 1 token per expert" in page.inner_text("#mode-notes")
    analysis = record(visitor)
    dropped = [lost for layer in analysis["dropped"] for lost in layer]
    assert 0 < sum(dropped) < len(dropped)
    shown = cells(visitor, "token-grid")
    assert ["×" in cell for cell in shown] == dropped
    assert painted(visitor, "token-grid") == shown
    crosses = [t["text"] for t in visitor.figure("flow-figure")[0] if "×  " in t.get("text", [])]
    assert crosses
    in_table = [r["dropped"] == "true" for r in table(visitor, "row.dropped == 'true'")]
    assert in_table == dropped == [row["dropped"] == "true" for row in csv_rows(visitor)]
    page.wait_for_selector("#drops-panel", state="visible")
    bars = visitor.figure("drops-figure")[0]
    of_layers = [sum(layer) / len(layer) for layer in analysis["dropped"]]
    assert bars[1]["y"] == pytest.approx(of_layers)

    page.focus("#capacity-slider")
    page.keyboard.press("End")
    drawn(visitor, capacity=None)
    assert visitor.figures() == own
    assert page.inner_text("#mode-notes") == plain
    assert painted(visitor, "token-grid") == cells(visitor, "token-grid")
    page.wait_for_selector("#drops-panel", state="hidden")
    assert not any(record(visitor)["dropped"][0])


def test_what_if_on_a_recorded_run(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open(live(CROWD, f"view=both&source=target&target={quote(TARGET)}"))
    record(visitor)
    run_id = visitor.run_id()
    visitor.open(f"/runs/{run_id}")
    assert visitor.status() == "As recorded"
    recorded = all_figures(visitor)
    page.focus("#capacity-slider")
    page.keyboard.press("Home")
    says(visitor, "What if, not recorded")
    assert "worked out from the recorded choices" in page.inner_text("#mode-notes")
    assert "room for 1 token per expert" in page.inner_text("#mode-notes")
    supposed = all_figures(visitor)
    for grid in ("token-grid", "token-grid-2"):
        assert any("×" in cell for cell in cells(visitor, grid))
        assert supposed[grid] != recorded[grid]
    page.wait_for_selector("#drops-panel", state="visible")
    # Nothing to open or to download: the run is another.
    assert not visitor.run_id()
    assert page.get_attribute("#run-link", "href") is None
    assert page.get_attribute("#download-csv", "href") is None
    assert page.is_disabled("#copy-link")
    page.focus("#capacity-slider")
    page.keyboard.press("End")
    says(visitor, "As recorded")
    visitor.until("recorded")
    assert all_figures(visitor) == recorded
    assert visitor.run_id() == run_id
    page.wait_for_selector("#drops-panel", state="hidden")
    # Another stack of it can be looked at, too, and it is still the recorded one.
    page.check("#stack-view input[value=decoder]")
    page.wait_for_selector("#second-flow", state="hidden")
    visitor.until("recorded")
    assert visitor.figure("token-grid") == recorded["token-grid-2"]
    assert visitor.run_id() == run_id


def _controls(page: Page) -> dict[str, Any]:
    """What the controls say that are not hidden."""
    values: dict[str, Any] = page.evaluate(
        """() => {
            const value = (id) => document.getElementById(id).value;
            const chosen = (id) => document.querySelector(`#${id} input:checked`).value;
            const source = chosen('decoder-source');
            const told = source === 'target' ? { target: value('target-input') } : {
                tokens: value('max-new-tokens'), temperature: value('temperature'),
                seed: value('seed'), sample: document.getElementById('do-sample').checked,
            };
            return {
                text: value('text-input'), model: value('model-select'),
                view: chosen('stack-view'), source, ...told, capacity: value('capacity-slider'),
                selected: document.getElementById('selected-panel').innerText,
            };
        }"""
    )
    return values


def test_the_address_opens_what_is_looked_at(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open()
    page.fill("#text-input", TEXT)
    drawn(visitor, text=TEXT)
    look_at(visitor, "both")
    page.check("#do-sample")
    page.fill("#temperature", "0.7")
    page.fill("#seed", "3")
    page.fill("#max-new-tokens", "6")
    page.focus("#capacity-slider")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    sampled = {"temperature": "0.7", "seed": "3", "max_new_tokens": "6", "do_sample": "true"}
    drawn(visitor, capacity="2", **sampled)
    page.focus("#grid-frame-2")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#selected-panel:has-text('Number 1,')")
    page.wait_for_function("() => location.search.includes('pin=')")
    seen = _seen(visitor)
    page.reload()
    visitor.until("shown", "recorded")
    assert _seen(visitor) == seen

    page.check("#decoder-source input[value=target]")
    page.fill("#target-input", TARGET)
    drawn(visitor, source="target", target=TARGET)
    query = parse_qs(urlsplit(page.url).query)
    assert (query["text"], query["model"]) == ([TEXT], ["switch-mini-8"])
    assert (query["view"], query["capacity"]) == (["both"], ["2"])
    page.focus("#grid-frame")
    page.keyboard.press("ArrowDown")
    page.wait_for_selector("#selected-panel h3:has-text('encoder block')")
    page.wait_for_function("() => location.search.includes('pin=')")
    visitor.until("shown", "recorded")
    other = visit()
    other.open(page.url.removeprefix(visitor.server.url))
    assert _seen(other) == _seen(visitor)


def _seen(visitor: Visitor) -> tuple[dict[str, Any], dict[str, Any]]:
    return _controls(visitor.page), all_figures(visitor)


def test_a_selection_belongs_to_its_stack(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open(live(TEXT, f"view=both&source=target&target={quote(TARGET)}"))
    free = all_figures(visitor)
    page.focus("#grid-frame-2")
    for key, place in (
        ("ArrowRight", (0, 0)),
        ("ArrowRight", (1, 0)),
        ("ArrowDown", (1, 1)),
        ("ArrowLeft", (0, 1)),
    ):
        page.keyboard.press(key)
        page.wait_for_function(
            """place => document.querySelector('#token-grid-2').figure.layout.shapes
                .some((s) => s.type === 'rect' && `${s.x0 + 0.5},${s.y0 + 0.5}` === `${place}`)""",
            arg=place,
        )
        assert marked(visitor, "token-grid-2") == [place]
        assert marked(visitor, "token-grid") == []
    assert "decoder block" in page.inner_text("#selected-panel")
    for name in FIGURES:
        assert visitor.figure(name) == free[name], name
    assert visitor.figure("flow-figure-2") != free["flow-figure-2"]

    # A cell of the encoder takes the selection over.
    visitor.click_first_cell("token-grid")
    page.wait_for_selector("#selected-panel h3:has-text('encoder block')")
    visitor.until("shown", "recorded")
    assert marked(visitor, "token-grid") == [(0, 0)]
    assert all_figures(visitor) | {"flow-figure": None, "token-grid": None} == free | {
        "flow-figure": None,
        "token-grid": None,
    }
    # And one of the decoder's load: an expert.
    visitor.click_first_cell("heatmap-figure-2")
    page.wait_for_selector("#selected-panel h2:has-text('Expert 0, layer 1')")
    assert "Decoder block" in page.inner_text("#selected-panel")
    assert visitor.figure("heatmap-figure") == free["heatmap-figure"]
    page.keyboard.press("Escape")
    page.wait_for_selector("#selected-panel h2:has-text('Nothing selected')")
    assert all_figures(visitor) == free


def test_every_measure_is_explained(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open(live("The early bird catches the worm. Nobody else came! And so?"))
    page.wait_for_selector(".metric")
    assert page.locator(".metric .metric-title").all_inner_texts() == [m.title for m in MEASURES]
    for index, measure in enumerate(MEASURES):
        card = page.locator(".metric").nth(index)
        summary = card.locator("summary")
        assert summary.get_attribute("aria-label") == f"About {measure.title}"
        about = card.locator(".metric-about")
        assert not about.is_visible()
        summary.focus()
        page.keyboard.press("Enter")
        about.wait_for(state="visible")
        told = about.inner_text()
        assert measure.definition in told
        assert "n: " in told
        assert measure.reference_text in told
        assert about.locator("a").get_attribute("href") == f"/metrics#{measure.anchor}"
        # Only one is open at a time, and Escape closes it.
        assert page.locator(".metric-help[open]").count() == 1
        page.keyboard.press("Escape")
        about.wait_for(state="hidden")
    page.locator(".metric summary").first.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/metrics#{MEASURES[0].anchor}")
    _reached(page, MEASURES[0].anchor)
    for measure in MEASURES:
        assert page.locator(f"section[id='{measure.anchor}'] h2").count() == 1, measure.key
    # As a link from elsewhere: the page is there before its sections are.
    for anchor in (MEASURES[-1].anchor, MEASURES[8].anchor):
        page.goto("about:blank")
        page.goto(f"{visitor.server.url}/metrics#{anchor}")
        _reached(page, anchor)
    for link in page.locator("nav.contents a").all():
        anchor = str(link.get_attribute("href")).removeprefix("#")
        assert page.locator(f"section[id='{anchor}']").count() == 1, anchor


def _reached(page: Page, anchor: str) -> None:
    """Waits until a section is where reading begins, or the page can't be scrolled further."""
    page.wait_for_function(
        """id => {
            const section = document.getElementById(id);
            const root = document.documentElement;
            const end = root.scrollTop + root.clientHeight >= root.scrollHeight - 2;
            const { top } = section ? section.getBoundingClientRect() : { top: NaN };
            return Math.abs(top) < 100 || (end && top >= 0 && top < root.clientHeight);
        }""",
        arg=anchor,
    )


def test_layers_compared(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open(live(TEXT, f"view=both&source=target&target={quote(TARGET)}"))
    page.wait_for_selector("#layer-a option[value='decoder:2']", state="attached")
    offered = page.locator("#layer-a option").evaluate_all("all => all.map((one) => one.value)")
    assert [*filter(None, offered)] == [
        f"{s}:{n}" for s in ("encoder", "decoder") for n in range(3)
    ]
    page.wait_for_selector("#comparison-facts dl")
    seen = set()
    for a, b in (
        ("encoder:0", "encoder:1"),
        ("encoder:0", "encoder:2"),
        ("decoder:0", "decoder:2"),
    ):
        page.select_option("#layer-a", a)
        page.select_option("#layer-b", b)
        names = f"layer {int(a[-1]) + 1} and layer {int(b[-1]) + 1}"
        page.wait_for_selector(f"#comparison-facts dt:has-text('{names}')")
        tokens = len(columns(visitor, _grid_of(a)))
        page.wait_for_selector(f"#comparison-facts dd:has-text('n = {tokens} tokens')")
        page.wait_for_function(
            "seen => !seen.includes(document.getElementById('comparison-facts').innerText)",
            arg=[facts for facts, _ in seen],
        )
        seen.add((page.inner_text("#comparison-facts"), str(visitor.figure("transition-figure"))))
    assert len({facts for facts, _ in seen}) == len({figure for _, figure in seen}) == 3
    last = visitor.figure("transition-figure")
    page.select_option("#layer-b", "encoder:2")
    page.wait_for_selector("#comparison-facts :text('Two stacks see different tokens')")
    assert visitor.figure("transition-figure") == last


def _grid_of(place: str) -> str:
    return "token-grid" if place.startswith("encoder") else "token-grid-2"


def test_no_number_is_lost_when_the_text_changes(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open(live("Hello", "view=both&source=target&target=Hello"))
    for text in ("Hi", CROWD, "12 + 30 = 42, 7 * 8 = 56", "x"):
        page.fill("#text-input", text)
        page.fill("#target-input", text)
        drawn(visitor, text=text, target=text)
        for figure in ("heatmap-figure", "heatmap-figure-2"):
            loads = [load for row in visitor.figure(figure)[0][0]["z"] for load in row]
            shown = painted(visitor, figure)
            assert [bool(text.strip()) for text in shown] == [load > 0 for load in loads]
            assert shown == cells(visitor, figure)
        for grid in ("token-grid", "token-grid-2"):
            assert painted(visitor, grid) == cells(visitor, grid)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that also offers two decoder-only models."""
    folders = {}
    for name in ("mixtral", "deepseek_v3"):
        folders[name] = tmp_path_factory.mktemp(name)
        ARCHITECTURES[name].build().save_pretrained(folders[name])
        byte_tokenizer().save_pretrained(folders[name])
    models = ",".join(f"{name}={folder}" for name, folder in folders.items())
    server = Server(tmp_path_factory.mktemp("others"), MOESCOPE_MODELS=models)
    server.start()
    yield server
    server.stop()


def test_a_decoder_only_model(visit: Visit, others: Server) -> None:
    visitor = visit(others)
    page = visitor.open()
    page.fill("#text-input", "Hello")
    drawn(visitor, text="Hello")
    assert page.is_visible(".controls .capacity")
    page.select_option("#model-select", "mixtral")
    drawn(visitor, model="mixtral")
    labels = page.locator("#stack-view label").all_inner_texts()
    assert labels == ["Prompt", "Prompt and generated"]
    hidden = (".source", ".target", ".capacity", ".generation")
    for part in hidden:
        assert not page.is_visible(f".controls {part}"), part
    prompt = record(visitor)
    assert (prompt["mode"], len(prompt["tokens"])) == ("prompt", 6)
    assert all(len(experts) == 2 for layer in prompt["experts"] for experts in layer)
    chosen = [experts for layer in prompt["experts"] for experts in layer]
    shown = cells(visitor, "token-grid")
    assert [list(map(int, re.findall(r"\d+", cell))) for cell in shown] == chosen
    assert painted(visitor, "token-grid") == shown

    page.check("#stack-view input[value=both]")
    drawn(visitor, view="both", model="mixtral")
    assert page.is_visible(".controls .generation")
    for part in hidden[:3]:
        assert not page.is_visible(f".controls {part}"), part
    assert seconds_hidden(page)
    made = record(visitor)
    assert (made["mode"], made["tokens"][:6]) == ("generated", prompt["tokens"])
    assert made["generated"] == [False] * 6 + [True] * (len(made["tokens"]) - 6)
    assert any(made["generated"])
    labels = columns(visitor, "token-grid")
    assert [label.startswith("<i>+") for label in labels] == made["generated"]
    assert "tokens generated, marked +" in page.inner_text("#mode-notes")
    assert "capacity" not in page.inner_text("#mode-notes")
    figures = visitor.figures()
    visitor.open(f"/runs/{visitor.run_id()}")
    assert visitor.figures() == figures


def test_scores_of_a_sigmoid_are_named(visit: Visit, others: Server) -> None:
    visitor = visit(others)
    page = visitor.open(live("Hello", "model=deepseek_v3"))
    said = page.inner_text("#mode-notes")
    assert "Scores: sigmoid;" in said
    assert "don't sum to 1" in said
    assert {layer["score_function"] for layer in record(visitor)["layers"]} == {"sigmoid"}
    assert {row["score_function"] for row in table(visitor, "true")} == {"sigmoid"}
    # Back to the bundled one: its controls are there again.
    page.select_option("#model-select", "switch-mini-8")
    drawn(visitor, model="switch-mini-8")
    assert page.locator("#stack-view label").all_inner_texts() == ["Encoder", "Decoder", "Both"]
    assert page.is_visible(".controls .capacity")
    assert page.inner_text("#mode-notes").startswith("Scores: softmax;")


def test_a_generation_is_stopped(visit: Visit) -> None:
    visitor = visit()
    page = visitor.page
    page.goto(visitor.server.url + live("Stop this.", ENDLESS.replace("both", "decoder")))
    says(visitor, "tokens so far")
    page.click("#stop-button")
    visitor.until("shown", "recorded")
    assert len(columns(visitor, "token-grid")) < 501
    analysis = record(visitor)
    assert analysis["stopped"] is True
    assert len(analysis["tokens"]["decoder"]) < 501
    figure = visitor.figure("token-grid")
    reader = visit()
    reader.open(f"/runs/{visitor.run_id()}")
    assert reader.figure("token-grid-2") == figure
    assert ", stopped" in reader.page.inner_text("#mode-notes")


def test_a_selection_of_the_address_can_be_freed(visit: Visit) -> None:
    pin = quote('{"token":1,"layer":1,"stack":"encoder"}')
    page = visit().open(live("Hi there", f"pin={pin}"))
    page.wait_for_selector("#selected-panel h2:has-text('Token')")
    page.keyboard.press("Escape")
    page.wait_for_selector("#selected-panel h2:has-text('Nothing selected')")


def test_a_name_that_stands_twice_in_the_address_does_no_harm(visit: Visit) -> None:
    page = visit().open("/?text=first&text=second&seed=1&seed=2")
    assert page.input_value("#text-input") == "first"


def test_an_empty_temperature_is_told_in_words(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open(live("Warm.", "view=both&do_sample=true&max_new_tokens=3"))
    page.fill("#temperature", "")
    visitor.until("error")
    assert "Temperature must be a number" in visitor.status()
    page.fill("#temperature", "1.5")
    page.fill("#max-new-tokens", "9999")
    says(visitor, "from 1 to 512, not 9999")
    page.fill("#max-new-tokens", "4")
    visitor.until("shown", "recorded")
