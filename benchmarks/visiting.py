"""The first visit with an empty cache: from the navigation until the page can be used."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace

import httpx
from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

from app.settings import load_settings
from benchmarks.measure import Amount, Goal, Result, result
from benchmarks.serving import served
from benchmarks.setting import text_of
from tests.browser import ARGUMENTS, chromium

RUNS = 15
WARM_UP = 2
TOKENS = 30
_MOST_MS = 1200
_MOST_KILOBYTES = 20
_USABLE = """() => {
    const status = document.getElementById("status");
    const box = document.getElementById("text-input");
    if (!status || !box || document.activeElement !== box || box.disabled) return null;
    if (!["shown", "recorded"].includes(status.dataset.state)) return null;
    return performance.now();
}"""


@dataclass(frozen=True)
class First:
    """Seconds until usable and until the first paint, bytes over the wire, requests."""

    usable: float
    painted: float
    received: float
    requests: int


def run() -> Iterator[Result | Amount]:
    """Usable: the text box has the focus, and the first diagrams are painted."""
    with served() as address, sync_playwright() as playwright:
        sizes = list(_payload(address))
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        visits = [_first(browser, address) for _ in range(-WARM_UP, RUNS)][WARM_UP:]
        again = [_again(browser, address) for _ in range(3)]
        browser.close()
    usable = result(
        "first visit with an empty cache → page usable",
        [visit.usable for visit in visits],
        "its first paint",
        [visit.painted for visit in visits],
    )
    yield replace(usable, goal=Goal("p95_ms", _MOST_MS))
    name = f"the first visit: received, in {visits[0].requests} requests"
    yield Amount(name, statistics.median(visit.received for visit in visits) / 1000, "kB")
    yield Amount("another visit: received", statistics.median(again) / 1000, "kB")
    yield from sizes


def _payload(address: str) -> Iterator[Amount]:
    """What comes back for one update, as it crosses the wire and unpacked."""
    asked = {
        "text": text_of(TOKENS),
        "model": load_settings().default_model,
        "view": "encoder",
        "settings": {},
    }
    answer = httpx.post(f"{address}/api/v1/drawings", json=asked, timeout=60)
    answer.raise_for_status()
    goal = Goal("value", _MOST_KILOBYTES)
    yield Amount(f"one update, {TOKENS} tokens", answer.num_bytes_downloaded / 1000, "kB", goal)
    yield Amount("the same unpacked", len(answer.content) / 1000, "kB")


def _first(browser: Browser, address: str) -> First:
    # A new context has a cache of its own, which is empty.
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    sizes = _sizes(context.new_cdp_session(page))
    usable = _until_usable(page, address)
    painted = page.evaluate(
        "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"
    )
    context.close()
    return First(usable, float(painted) / 1000, sum(sizes), len(sizes))


def _again(browser: Browser, address: str) -> float:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    _until_usable(page, address)
    page.wait_for_timeout(1000)
    sizes = _sizes(context.new_cdp_session(page))
    _until_usable(page, address)
    context.close()
    return sum(sizes)


def _until_usable(page: Page, address: str) -> float:
    page.goto(address, wait_until="commit")
    return float(page.wait_for_function(_USABLE, polling="raf").json_value()) / 1000


def _sizes(session: CDPSession) -> list[float]:
    """Bytes of each answer as they came over the wire, headers included; fills as they come."""
    sizes: list[float] = []
    session.send("Network.enable")
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    return sizes
