"""A newcomer hands in a corpus, watches the pass, and opens its atlas."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.atlas_pass import write_corpus
from tests.e2e.conftest import Server, Visitor

pytestmark = pytest.mark.e2e

Visit = Callable[..., Visitor]
SECONDS = 90_000


@pytest.fixture(scope="module")
def corpus_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("corpora"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Forty documents of eight domains, and a line that is none."""
    path = tmp_path / "forty.jsonl"
    write_corpus(path, 5)
    lines = path.read_text(encoding="utf-8").splitlines()[:40]
    path.write_text("\n".join([*lines, '{"text": ', ""]), encoding="utf-8")
    return path


@pytest.fixture
def long_corpus(tmp_path: Path) -> Path:
    """So many documents that there is time to pause."""
    path = tmp_path / "long.jsonl"
    write_corpus(path, 10)
    path.write_text(path.read_text(encoding="utf-8") * 40, encoding="utf-8")
    return path


def opened(visitor: Visitor) -> Page:
    page = visitor.page
    page.goto(visitor.server.url + "/corpora")
    page.wait_for_selector("#corpora-file")
    return page


def hand_in(page: Page, file: Path) -> None:
    page.set_input_files("#corpora-file", file)
    expect(page.locator("#corpora-title")).to_contain_text(file.name)


def row(page: Page, name: str, status: str) -> str:
    """The selector of a pass' row, once it has this status."""
    found = f'.passes > li[data-status="{status}"]:has(h3:text-is("{name}"))'
    page.wait_for_selector(found, timeout=SECONDS)
    return found.replace(f'[data-status="{status}"]', "")


def checked(page: Page) -> list[str]:
    found: list[str] = page.eval_on_selector_all(
        "#corpora-labels input:checked", "all => all.map((check) => check.value)"
    )
    return found


def named(server: Server, name: str) -> list[dict[str, object]]:
    return [one for one in server.json("/api/v1/corpora")["corpora"] if one["name"] == name]


def test_a_newcomer_opens_the_atlas_of_a_corpus(
    visit: Visit, corpus_server: Server, corpus: Path
) -> None:
    visitor = visit(corpus_server)
    page = visitor.page
    page.goto(visitor.server.url + "/metrics")
    page.click("nav >> text=Corpora")
    page.wait_for_url("**/corpora")
    page.wait_for_selector("#corpora-none", state="visible")
    hand_in(page, corpus)
    first = json.loads(corpus.read_text(encoding="utf-8").splitlines()[0])
    assert page.input_value("#corpora-text") == "text"
    assert checked(page) == ["domain"]
    assert page.locator("#corpora-preview th .tag").count() == 1
    assert page.inner_text("#corpora-preview td.text >> nth=0")[:20] == first["text"][:20]
    page.fill("#corpora-name", "My forty")
    page.fill("#corpora-max-tokens", "64")
    page.check("#corpora-tokens")
    page.click("#corpora-form [type=submit]")
    mine = row(page, "My forty", "recorded")
    (line,) = named(corpus_server, "My forty")
    assert (line["documents"], line["skipped"], line["labels"]) == (40, 1, ["domain"])
    said = page.inner_text(mine)
    assert "Recorded" in said
    assert f"40 documents · {line['tokens']:,} tokens" in said
    page.click(f"{mine} summary:has-text('1 document skipped')")
    assert f"{corpus.name}:41" in page.inner_text(mine)
    page.click(f"{mine} a")
    page.wait_for_selector(".expert-card")
    assert f"run={line['id']}" in page.url


def test_a_recorded_pass_is_removed_after_a_question(
    visit: Visit, corpus_server: Server, corpus: Path
) -> None:
    page = opened(visit(corpus_server))
    hand_in(page, corpus)
    page.fill("#corpora-name", "Short of it")
    page.fill("#corpora-max-tokens", "16")
    page.click("#corpora-form [type=submit]")
    mine = row(page, "Short of it", "recorded")
    page.click(f"{mine} [data-does=ask]")
    assert "The recorded run stays" in page.inner_text(mine)
    page.keyboard.press("Escape")
    assert page.locator(f"{mine} .sure").is_hidden()
    page.click(f"{mine} [data-does=ask]")
    page.click(f"{mine} [data-does=remove]")
    page.wait_for_selector(mine, state="detached")
    assert page.evaluate("document.activeElement.id") == "corpora-heading"
    assert not named(corpus_server, "Short of it")


def test_the_example_can_be_read_begun_and_cancelled(visit: Visit, corpus_server: Server) -> None:
    page = opened(visit(corpus_server))
    page.click("text=Use the example corpus")
    page.wait_for_selector("#corpora-form", state="visible")
    example = corpus_server.json("/api/v1/uploads/example")
    assert page.locator("#corpora-preview tbody tr").count() == len(example["preview"])
    assert page.input_value("#corpora-text") == example["text"]
    assert checked(page) == example["labels"]
    assert page.evaluate("document.activeElement.id") == "corpora-title"
    page.click("#corpora-form [type=submit]")
    mine = row(page, example["name"], "running")
    assert page.locator(f"{mine} progress").is_visible()
    page.click(f"{mine} [data-does=ask]")
    page.click(f"{mine} [data-does=remove]")
    page.wait_for_selector(mine, state="detached")
    assert not named(corpus_server, example["name"])


def test_a_broken_file_is_told_and_what_was_typed_stays(
    visit: Visit, corpus_server: Server, corpus: Path, tmp_path: Path
) -> None:
    visitor = visit(corpus_server)
    page = opened(visitor)
    hand_in(page, corpus)
    page.fill("#corpora-name", "Typed before")
    page.uncheck("#corpora-labels input >> nth=0")
    before = checked(page)
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 but nothing that follows")
    page.set_input_files("#corpora-file", broken)
    page.wait_for_selector("#corpora-problem:not(:empty)")
    assert "broken.parquet" in page.inner_text("#corpora-problem")
    assert page.inner_text("#corpora-status") == ""
    assert page.locator("#corpora-form").is_visible()
    assert page.input_value("#corpora-name") == "Typed before"
    assert checked(page) == before
    assert corpus.name in page.inner_text("#corpora-title")
    # The browser itself notes an answer of 422.
    visitor.problems = [one for one in visitor.problems if "422" not in one]


def test_an_upload_can_be_cancelled_or_left(
    visit: Visit, corpus_server: Server, tmp_path: Path
) -> None:
    visitor = visit(corpus_server)
    page = opened(visitor)
    large = tmp_path / "large.txt"
    large.write_text("One document a line.\n" * 200_000, encoding="utf-8")
    network = visitor.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 200_000}
    network.send("Network.emulateNetworkConditions", slow)
    page.set_input_files("#corpora-file", large)
    page.wait_for_selector("#corpora-sent-words:has-text('of 4.2 MB')")
    page.click("#corpora-sending-cancel")
    assert page.inner_text("#corpora-status") == "The upload was cancelled."
    assert page.locator("#corpora-sending").is_hidden()
    assert page.locator("#corpora-form").is_hidden()
    page.set_input_files("#corpora-file", large)
    page.wait_for_selector("#corpora-sending", state="visible")
    page.click("nav >> text=Metrics")
    page.wait_for_selector("article section")
    page.click("nav >> text=Corpora")
    page.wait_for_selector("#corpora-file")
    assert page.locator("#corpora-sending").is_hidden()


def test_a_file_can_be_dropped(visit: Visit, corpus_server: Server) -> None:
    page = opened(visit(corpus_server))
    drop = """(names) => {
        const data = new DataTransfer();
        names.forEach((name) => data.items.add(new File(["One line.\\nAnother line."], name)));
        const event = new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true});
        document.getElementById("corpora-drop").dispatchEvent(event);
        return event.defaultPrevented;
    }"""
    assert page.evaluate(drop, ["a.txt", "b.txt"]), "the browser stays"
    assert "one file" in page.inner_text("#corpora-problem")
    assert page.evaluate(drop, ["lines.txt"])
    expect(page.locator("#corpora-title")).to_contain_text("lines.txt")
    assert page.locator("#corpora-preview tbody tr").count() == 2
    assert page.inner_text("#corpora-problem") == ""


def test_a_pass_is_paused_and_goes_on_and_a_reload_keeps_the_list(
    visit: Visit, corpus_server: Server, long_corpus: Path
) -> None:
    page = opened(visit(corpus_server))
    hand_in(page, long_corpus)
    page.click("#corpora-form [type=submit]")
    mine = row(page, long_corpus.name, "running")
    page.wait_for_selector(f"{mine} >> text=tokens per second", timeout=SECONDS)
    page.click(f"{mine} [data-does=pause]")
    row(page, long_corpus.name, "paused")
    (paused,) = named(corpus_server, long_corpus.name)
    assert 0 < paused["done"] < paused["size"]  # type: ignore[operator]
    page.reload()
    row(page, long_corpus.name, "paused")
    assert page.get_attribute(f"{mine} progress", "value") == str(paused["done"])
    page.click(f"{mine} [data-does=resume]")
    row(page, long_corpus.name, "running")
    page.wait_for_function(
        "([id, done]) => document.querySelector(`[data-pass='${id}'] progress`).value > done",
        arg=[paused["id"], paused["done"]],
        timeout=SECONDS,
    )
    page.click(f"{mine} [data-does=ask]")
    page.click(f"{mine} [data-does=remove]")
    page.wait_for_selector(mine, state="detached")


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1280, "light")])
def test_the_page_is_accessible_and_never_scrolls_sideways(
    visit: Visit, corpus_server: Server, corpus: Path, width: int, scheme: str
) -> None:
    page = opened(visit(corpus_server, width=width, color_scheme=scheme))
    hand_in(page, corpus)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page).response["violations"]
    assert not found, [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]
