"""Key press → painted diagrams in Chromium, against making the trace alone."""

from __future__ import annotations

from collections.abc import Iterator

from playwright.sync_api import Page, sync_playwright

from app.routing.capture import capture
from benchmarks.measure import Result, result, seconds_of
from benchmarks.serving import served
from benchmarks.setting import default_model, max_tokens, text_of
from tests.browser import ARGUMENTS, chromium

LENGTHS = (12, 40)
RUNS = 30
WARM_UP = 3
# Letters only: every one of them changes the last tokens, so that there is something to draw.
_KEYS = "wonderfulmachinesthatthinkinpatternsofsmallwords"
# The table follows when typing pauses; it is done before the next key.
_PAUSE_MS = 600
# Listens from the key press until flows, token grid and load are drawn and two frames passed.
_WATCH = """() => {
    const places = ["flow-figure", "token-grid", "heatmap-figure"].map(
        (id) => document.getElementById(id));
    const missing = new Set(places.slice(0, 2)); // the load may stay the same
    let start = null;
    window.painted = new Promise((resolve) => {
        addEventListener("keydown", (event) => { start = event.timeStamp; },
            { capture: true, once: true });
        for (const place of missing) place.addEventListener("painted", () => {
            if (start === null) return;
            missing.delete(place);
            if (missing.size) return;
            requestAnimationFrame(() => requestAnimationFrame(
                () => resolve((performance.now() - start) / 1000)));
        });
    });
}"""
_PAINTED = """() => Promise.race([
    window.painted,
    new Promise((_, refuse) => setTimeout(() => refuse(new Error("nothing was drawn")), 15000)),
])"""


def run() -> Iterator[Result]:
    """One result per length of the text that is typed on."""
    with served() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        for length in LENGTHS:
            page.goto(address)
            yield _run(page, length)
        browser.close()


def _run(page: Page, length: int) -> Result:
    loaded, limit = default_model(), max_tokens()
    page.wait_for_selector('#status[data-state="shown"], #status[data-state="recorded"]')
    page.fill("#text-input", text_of(length - 1) + " ")
    page.wait_for_selector('#status[data-state="working"]')
    page.wait_for_selector('#status[data-state="shown"]')
    painted, alone = [], []
    for turn in range(-WARM_UP, RUNS):
        page.wait_for_timeout(_PAUSE_MS)
        page.evaluate(_WATCH)
        page.press("#text-input", _KEYS[turn + WARM_UP])
        one = float(page.evaluate(_PAINTED))
        text = page.input_value("#text-input")
        other = seconds_of(lambda text=text: capture(loaded, text, limit))  # type: ignore[misc]
        if turn >= 0:
            painted.append(one)
            alone.append(other)
    return result(
        f"key press → painted diagrams, from {length} tokens", painted, "sentence → trace", alone
    )
