"""Key press → painted diagrams in Chromium, against making the trace alone; and a whole
sentence typed without a pause, against a model that takes a quarter of a second."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Page, sync_playwright

from app.routing.capture import capture
from app.routing.loaded import LoadedModel
from app.routing.models import ModelRegistry
from app.routing.task import Task
from app.settings import load_settings
from benchmarks.measure import Amount, Goal, Result, result, seconds_of
from benchmarks.serving import served
from benchmarks.setting import default_model, max_tokens, text_of
from benchmarks.switches import DEEP, SLOW, write_switch
from tests.browser import ARGUMENTS, chromium

RUNS = 30
WARM_UP = 3
KEY_MS = 90
# Letters only: every one of them changes the last tokens, so that there is something to draw.
_KEYS = "wonderfulmachinesthatthinkinpatternsofsmallwords"
# Table and measures follow when typing pauses; they are done before the next key.
_PAUSE_MS = 1200
_WAITS = ("shown", "recorded")
# Listens from the key press until flows and token grid are drawn and two frames have passed.
_WATCH = """() => {
    const missing = new Set(["flow-figure", "token-grid"].map((id) => document.getElementById(id)));
    let start = null;
    window.painted = new Promise((resolve) => {
        addEventListener("keydown", (event) => { start = event.timeStamp; },
            { capture: true, once: true });
        performance.clearResourceTimings();
        for (const place of missing) place.addEventListener("painted", () => {
            if (start === null) return;
            missing.delete(place);
            if (missing.size) return;
            const drawn = performance.now();
            const asked = performance.getEntriesByType("resource")
                .find(({ name }) => name.endsWith("/api/v1/drawings"));
            const server = Object.fromEntries(
                asked.serverTiming.map(({ name, duration }) => [name, duration]));
            requestAnimationFrame(() => requestAnimationFrame(() => {
                const painted = performance.now();
                resolve({
                    "whole": painted - start,
                    "browser: key → request": asked.startTime - start,
                    "network and HTTP": asked.duration
                        - Object.values(server).reduce((sum, spent) => sum + spent, 0),
                    "server: queue": server.queue,
                    "server: model": server.trace,
                    "server: figures": server.figures,
                    "server: words": server.words,
                    "server: JSON": server.json,
                    "browser: answer → drawn": drawn - asked.responseEnd,
                    "browser: drawn → painted": painted - drawn,
                });
            }));
        });
    });
}"""
_PAINTED = """() => Promise.race([
    window.painted,
    new Promise((_, refuse) => setTimeout(() => refuse(new Error("nothing was drawn")), 15000)),
])"""
# How often the grid is painted from now on, and when last; and when the last key was pressed.
_COUNT = """() => {
    Object.assign(window, { paintings: 0, lastPainting: 0, lastKey: 0 });
    addEventListener("keydown", (event) => { window.lastKey = event.timeStamp; }, true);
    document.getElementById("token-grid").addEventListener("painted", () => {
        window.paintings += 1;
        requestAnimationFrame(() => requestAnimationFrame(
            () => { window.lastPainting = performance.now(); }));
    });
}"""


@dataclass(frozen=True)
class Case:
    """A text of so many tokens, drawn by a model; `stages` asks where the time goes."""

    name: str
    model: Callable[[], LoadedModel]
    length: int
    goal: Goal | None = None
    target: str | None = None
    query: str = ""
    stages: bool = False


def run() -> Iterator[Result | Amount]:
    """One result per case; then typing."""
    with tempfile.TemporaryDirectory(prefix="moescope-bench-") as folder:
        deep, slow = Path(folder) / "deep", Path(folder) / "slow"
        write_switch(deep, **DEEP)
        write_switch(slow, **SLOW)
        models = f"deep={deep},slow={slow}"
        registry = ModelRegistry(
            load_settings(MOESCOPE_MODELS=models).model_specs(), "float32", load_settings().threads
        )
        with served(MOESCOPE_MODELS=models) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            for case in _cases(registry):
                page.goto(f"{address}/?text={quote(text_of(case.length - 1))}&{case.query}")
                yield from _keys(page, case)
            page.goto(f"{address}/?text={quote(text_of(40))}&model=slow")
            yield from _typing(page, registry.get("slow", 120))
            browser.close()


def _cases(registry: ModelRegistry) -> Iterator[Case]:
    target = text_of(29)
    yield Case("12 tokens × 3 layers", default_model, 12)
    yield Case("30 tokens × 3 layers", default_model, 30, Goal("beyond_ms", 100), stages=True)
    yield Case(
        "30 + 30 tokens, 3 + 3 layers of both stacks",
        default_model,
        30,
        Goal("beyond_ms", 100),
        target,
        f"view=both&source=target&target={quote(target)}",
    )

    def deep() -> LoadedModel:
        return registry.get("deep", 120)

    yield Case("30 tokens × 12 layers", deep, 30, query="model=deep")
    goal = Goal("p95_ms", 250)
    yield Case("128 tokens × 12 layers", deep, 128, goal, query="model=deep", stages=True)


def _keys(page: Page, case: Case) -> Iterator[Result | Amount]:
    loaded, limit = case.model(), max_tokens()
    _until(page, *_WAITS)
    page.press("#text-input", "Control+End")
    painted: list[dict[str, float]] = []
    alone = []
    for turn in range(-WARM_UP, RUNS):
        page.wait_for_timeout(_PAUSE_MS)
        page.evaluate(_WATCH)
        page.press("#text-input", _KEYS[turn + WARM_UP])
        one = page.evaluate(_PAINTED)
        task = Task(page.input_value("#text-input"), target=case.target)
        other = seconds_of(lambda task=task: capture(loaded, task, limit))  # type: ignore[misc]
        if turn >= 0:
            painted.append(one)
            alone.append(other)
    name = f"key press → painted diagrams, {case.name}"
    whole = [each.pop("whole") / 1000 for each in painted]
    yield replace(result(name, whole, "text → trace", alone), goal=case.goal)
    for stage in painted[0] if case.stages else ():
        median = statistics.median(each[stage] for each in painted)
        yield Amount(f"  of these, median: {stage}", median, "ms")


def _typing(page: Page, loaded: LoadedModel) -> Iterator[Result | Amount]:
    """A sentence, key by key and without a pause, several times over."""
    _until(page, *_WAITS)
    page.press("#text-input", "Control+End")
    page.evaluate(_COUNT)
    late, alone, paintings = [], [], 0
    for _ in range(4):
        page.locator("#text-input").press_sequentially(f" {_KEYS[:39]}", delay=KEY_MS)
        paintings += int(page.evaluate("window.paintings"))
        _until(page, *_WAITS)
        page.wait_for_timeout(_PAUSE_MS)
        late.append(float(page.evaluate("window.lastPainting - window.lastKey")) / 1000)
        text = page.input_value("#text-input")
        alone.append(seconds_of(lambda text=text: capture(loaded, text, max_tokens())))  # type: ignore[misc]
        page.evaluate("window.paintings = 0")
    name = f"last of 40 keys at {KEY_MS} ms → painted, a slow model"
    yield replace(result(name, late, "text → trace", alone), goal=Goal("beyond_ms", 500))
    yield Amount("paintings while 40 keys were typed, a slow model", paintings / 4, "")


def _until(page: Page, *states: str) -> None:
    wanted = ", ".join(f'#status[data-state="{state}"]' for state in states)
    page.wait_for_selector(wanted, timeout=60_000)
