"""Two runs compared, and a run computed again."""

from __future__ import annotations

import io
import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from playwright.sync_api import Page

from tests.e2e.conftest import Server, Visitor
from tests.integration.helpers import until

pytestmark = pytest.mark.e2e

Visit = Callable[..., Visitor]

ONE = "The river bank was closed, and the town slept until noon."
OTHER = "The river bank was open, and the whole town woke up before noon."


@pytest.fixture(scope="module")
def models(
    tmp_path_factory: pytest.TempPathFactory, tiny_switch: Callable[..., Path]
) -> Iterator[Server]:
    """A server that also offers two tiny models of one shape, and of another tokenizer."""
    folders = {"tiny": tiny_switch(), "wide": tiny_switch(num_experts=6)}
    listed = ",".join(f"{name}={folder}" for name, folder in folders.items())
    server = Server(tmp_path_factory.mktemp("models"), MOESCOPE_MODELS=listed)
    server.start()
    yield server
    server.stop()


def analyse(server: Server, text: str, **settings: Any) -> Any:
    """Records an analysis through the API, and waits until the store has it."""
    body = json.dumps({"text": text, **settings}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.url}/api/v1/analyses", body, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        address = f"/api/v1/analyses/{json.load(answer)['run_id']}"
    until(lambda: server.json(address)["status"] == "recorded")
    return server.json(address)


def opened(visitor: Visitor, path: str) -> Page:
    """The page of a comparison, once its first figure is drawn."""
    page = visitor.page
    page.goto(visitor.server.url + path)
    drawn(page)
    return page


def drawn(page: Page) -> None:
    """Waits until the first figure of a comparison is there."""
    page.wait_for_function(
        """() => ['changes', 'relative'].some((name) =>
            document.querySelector(`#${name}-figure .js-plotly-plot`)?.data?.length > 1)"""
    )


def rows(page: Page, panel: str) -> list[list[str]]:
    """The cells of the first table of a panel."""
    found: list[list[str]] = page.evaluate(
        """panel => [...document.querySelector(`.${panel} table`).tBodies[0].rows].map(
            (row) => [...row.cells].map((cell) => cell.innerText))""",
        panel,
    )
    return found


def words(visitor: Visitor, figure: str) -> list[str]:
    """What the cells of a figure say."""
    data = visitor.figure(figure)[0]
    return next(part["text"] for part in data if part.get("mode") == "text")


def test_two_texts_with_one_model(visit: Visit, server: Server) -> None:
    a, b = analyse(server, ONE), analyse(server, OTHER)
    visitor = visit()
    page = opened(visitor, f"/compare?a={a['run_id']}&b={b['run_id']}")
    gone, new = page.locator(".run-card del"), page.locator(".run-card ins")
    assert gone.all_inner_texts() == ["closed", "slept", "until"]
    assert "open" in new.all_inner_texts()
    assert "expert numbers mean the same in both" in page.inner_text(".comparable")
    assert "longest sequence of tokens" in page.inner_text(".comparable")
    # The figure, its table and the recorded analyses say the same.
    cells = words(visitor, "changes-figure")
    shown = page.evaluate(
        "document.querySelector('#changes-figure .js-plotly-plot').layout.xaxis.ticktext"
    )
    layers = len(a["layers"])
    assert len(cells) == layers * len(shown)
    both = [i for i, label in enumerate(shown) if not label.startswith("<b>")]
    only_a = sum(label.startswith("<b>a:") for label in shown)
    assert len(both) + only_a == len(a["tokens"])
    table = rows(page, "by-layer")
    for layer in range(layers):
        changed = sum("→" in cells[layer * len(shown) + i] for i in both)
        assert table[layer][1] == f"{changed} of {len(both)}"
    first = [a["experts"][0][0][0], b["experts"][0][0][0]]
    assert first[0] == first[1] == int(cells[0])
    # The load difference from the experts of both.
    heat = visitor.figure("difference-figure")[0][0]["z"]
    for layer in range(layers):
        for expert in range(8):
            loads = [
                sum(chosen == [expert] for chosen in run["experts"][layer]) / len(run["tokens"])
                for run in (a, b)
            ]
            assert heat[layer][expert] == pytest.approx(loads[1] - loads[0], abs=1e-4)
    measures = {row[0]: row[1:] for row in rows(page, "measures")}
    mean = sum(a["metrics"][layer["name"]]["load_cv"] for layer in a["layers"]) / layers
    assert float(measures["load CV"][0]) == pytest.approx(mean, abs=0.006)
    assert measures["load CV"][-2:] == [str(len(a["tokens"])), str(len(b["tokens"]))]
    summary = page.text_content("#changes-summary")
    assert f"Layer 1: {table[0][1]} aligned pairs changed expert" in summary
    assert "Layer 1: expert" in page.text_content("#difference-summary")


def test_swap_links_and_theme(visit: Visit, server: Server) -> None:
    a, b = analyse(server, ONE)["run_id"], analyse(server, OTHER)["run_id"]
    visitor = visit()
    page = opened(visitor, f"/compare?a={a}&b={b}")
    before = visitor.figure("difference-figure")[0][0]["z"]
    light = visitor.figure("changes-figure")[0][0]["colorscale"]
    page.click("text=Swap a and b")
    page.wait_for_url(f"**/compare?a={b}&b={a}")
    page.wait_for_function(
        """old => {
            const plot = document.querySelector('#difference-figure .js-plotly-plot');
            return plot?.data?.[0]?.z?.[0][4] === -old;
        }""",
        arg=before[0][4],
    )
    after = visitor.figure("difference-figure")[0][0]["z"]
    assert [[-v for v in row] for row in after] == before
    page.go_back()
    page.wait_for_url(f"**/compare?a={a}&b={b}")
    drawn(page)
    page.click("#theme-toggle")
    page.wait_for_function(
        """old => {
            const plot = document.querySelector('#changes-figure .js-plotly-plot');
            const scale = plot?.data?.[0]?.colorscale;
            return scale && JSON.stringify(scale) !== old;
        }""",
        arg=json.dumps(light, separators=(",", ":")),
    )
    assert "theme" not in page.url
    page.click("text=Open run a")
    page.wait_for_url(f"**/runs/{a}")
    visitor.until("recorded")
    page.click("text=Compare with…")
    page.wait_for_url(f"**/compare?a={a}")
    # The run is chosen already; the other is one of the recent ones.
    page.wait_for_selector(f"#compare-b option[value='{b}']", state="attached")
    assert page.input_value("#compare-a") == a
    page.select_option("#compare-b", b)
    page.click(".compare-form button")
    page.wait_for_url(f"**/compare?a={a}&b={b}")
    page.wait_for_selector("#changes-figure .main-svg", state="visible")


def test_one_text_with_two_models(visit: Visit, models: Server) -> None:
    a = analyse(models, ONE)
    b = analyse(models, ONE, model="tiny")
    visitor = visit(models)
    page = opened(visitor, f"/compare?a={a['run_id']}&b={b['run_id']}")
    said = page.inner_text(".comparable")
    assert "3 and 2 router layers, top-1 of 8 experts and top-1 of 4 experts" in said
    assert "by place in the text" in said
    tokens = len(a["tokens"]), len(b["tokens"])
    assert f"{tokens[0]} of {tokens[0]} tokens of a and {tokens[1]} of {tokens[1]} of b" in said
    assert not page.is_visible("#changes-panel")
    assert not page.is_visible("#difference-panel")
    table = rows(page, "by-layer")
    assert [row[:2] for row in table] == [
        ["Layer 1", "Layer 1"],
        ["Layer 2", "Layer 1"],
        ["Layer 3", "Layer 2"],
    ]
    assert page.locator(".run-card del, .run-card ins").count() == 0
    settings = {row[0]: row[1:] for row in rows(page, "compare")}
    assert settings["model"] == ["switch-mini-8", "tiny"]
    # Two of other numbers of experts, and the same number of layers: likewise.
    c = analyse(models, ONE, model="wide")
    opened(visitor, f"/compare?a={b['run_id']}&b={c['run_id']}")
    assert "top-1 of 4 experts and top-1 of 6 experts" in page.inner_text(".comparable")
    assert "token by token" in page.inner_text(".comparable")


def test_two_settings_and_a_stack_that_one_lacks(visit: Visit, server: Server) -> None:
    a = analyse(server, "the old man and the sea the old man and the sea", target="Le vieil homme.")
    b = analyse(
        server,
        "the old man and the sea the old man and the sea",
        target="Le vieil chat.",
        capacity=2,
    )
    visitor = visit()
    page = opened(visitor, f"/compare?a={a['run_id']}&b={b['run_id']}")
    assert {row[0]: row[1:] for row in rows(page, "compare")}["capacity"] == ["–", "2"]
    assert any("×" in cell for cell in words(visitor, "changes-figure"))
    encoder = visitor.figure("changes-figure")
    page.click(".stacks a:has-text('Decoder')")
    page.wait_for_url(f"**/compare?a={a['run_id']}&b={b['run_id']}&stack=decoder")
    page.wait_for_selector(".stacks span[aria-current]:has-text('Decoder')")
    page.wait_for_function(
        """() => (document.querySelector('#changes-figure .js-plotly-plot')?.layout?.xaxis
            ?.ticktext || []).some((label) => label.includes('Le'))"""
    )
    assert visitor.figure("changes-figure") != encoder
    c = analyse(server, "the old man and the sea the old man and the sea")
    opened(visitor, f"/compare?a={a['run_id']}&b={c['run_id']}&stack=decoder")
    assert "Only a has a decoder that was traced" in page.inner_text(".comparable")
    assert page.locator(".stacks").count() == 0


def test_bad_addresses_say_which_run_and_keep_the_form(visit: Visit, server: Server) -> None:
    run = analyse(server, ONE)["run_id"]
    visitor = visit()
    page = visitor.page
    for query, said in (
        ("", None),
        (f"?a={run}", None),
        (f"?a={run}&b=", None),
        ("?a=nope", "Run a: there is no such run. It may have been deleted."),
        (f"?a={run}&b={'0' * 32}", "Run b: there is no such run. It may have been deleted."),
        (f"?a={quote('../../etc')}&b={run}", "Run a: there is no such run."),
        (f"?a={run}&b={run}", "Run a and run b are the same run."),
        (f"?a={run}&a=x&b={run}", "Run a and run b are the same run."),
    ):
        page.goto(f"{server.url}/compare{query}")
        page.wait_for_selector("#compare-a")
        assert "Choose two recorded runs" in page.inner_text(".compare")
        problems = page.locator(".compare .problem").all_inner_texts()
        assert len(problems) == (said is not None), query
        assert said is None or problems[0].startswith(said)
        assert not page.is_visible("#changes-panel")
        if f"a={run}" in query:
            assert page.input_value("#compare-a") == run
    page.goto(f"{server.url}/compare?a=x&b=y")
    page.wait_for_selector("#compare-a")
    assert len(page.locator(".compare .problem").all_inner_texts()) == 2


@pytest.mark.parametrize("kind", ["newer", "garbage"])
def test_a_trace_that_can_not_be_read(visit: Visit, own_server: Server, kind: str) -> None:
    good, bad = analyse(own_server, ONE)["run_id"], analyse(own_server, OTHER)["run_id"]
    (file,) = own_server.log.parent.glob(f"**/{bad}/artifacts/trace.npz")
    content = file.read_bytes()
    file.write_bytes(newer(content) if kind == "newer" else b"PK no trace")
    own_server.stop()
    # As if another machine had recorded it: nothing of it is kept here.
    for kept in own_server.log.parent.glob("outbox.db*"):
        kept.unlink()
    own_server.start()
    visitor = visit(own_server)
    page = visitor.page
    page.goto(f"{own_server.url}/compare?a={good}&b={bad}")
    page.wait_for_selector(".problem")
    said = page.inner_text(".problem")
    assert said.startswith("Run b: the run can't be read: ")
    assert ("newer version" in said) == (kind == "newer")
    assert page.input_value("#compare-a") == good
    assert "Traceback" not in page.inner_text("body")


def newer(content: bytes) -> bytes:
    """A trace file as a later version would write it."""
    with np.load(io.BytesIO(content)) as file:
        arrays = {name: file[name] for name in file.files}
    header = json.loads(bytes(arrays["header"]))
    header["format"] += 1
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def test_a_run_is_computed_again(visit: Visit, server: Server) -> None:
    run = analyse(server, ONE)
    visitor = visit()
    page = visitor.open(f"/runs/{run['run_id']}")
    assert page.get_attribute("#recompute-result", "aria-live") == "polite"
    page.click("#recompute-button")
    page.wait_for_selector("#recompute-result p")
    assert page.inner_text("#recompute-result") == (
        f"Identical to the bit: {len(run['tokens'])} tokens × 3 layers."
    )
    assert page.inner_text("#recompute-button") == "Compute again"
    assert page.is_enabled("#recompute-button")


def test_a_run_of_a_model_that_is_not_there(visit: Visit, models: Server, tmp_path: Path) -> None:
    run = analyse(models, ONE, model="tiny")["run_id"]
    data = models.log.parent
    models.stop()
    alone = Server(data)
    alone.start()
    try:
        visitor = visit(alone)
        page = visitor.open(f"/runs/{run}")
        page.click("#recompute-button")
        page.wait_for_selector("#recompute-result p")
        assert page.inner_text("#recompute-result") == (
            "Not computed. There is no model of that name; choose from: switch-mini-8."
        )
    finally:
        alone.stop()
        models.start()
