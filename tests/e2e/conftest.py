"""A really started server, and visitors with a real Chromium."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser import ARGUMENTS, chromium
from tests.forked import Forked
from tests.integration.helpers import ROOT, free_port, is_ready

FIGURES = ("flow-figure", "heatmap-figure", "token-grid")


class Server:
    """`python -m app` on a port and a data folder of its own, forked unless it is to start as
    for people, see tests/forked.py."""

    def __init__(self, data: Path, forked: bool = True, **environment: str) -> None:
        port = free_port()
        self._forked = forked
        self.url = f"http://127.0.0.1:{port}"
        self.log = data / "server.log"
        self._environment = {
            **os.environ,
            "MOESCOPE_PORT": str(port),
            "MOESCOPE_DATA_DIR": str(data),
            **environment,
        }
        self.process: Forked | subprocess.Popen[bytes]

    def start(self) -> None:
        """Starts the process and waits until the model answers."""
        self.process = self._forked_process() if self._forked else self._real_process()
        end = time.monotonic() + 120
        while not is_ready(self.url):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.2)

    def _forked_process(self) -> Forked:
        return Forked([], self._environment, stdout=self.log, stderr=self.log)

    def _real_process(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "app"],
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """Ends the process at once, as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return answer.read()

    def json(self, path: str) -> Any:
        return json.loads(self.get(path))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that do not end it. Its second model has no weights."""
    broken = tmp_path_factory.mktemp("broken")
    (broken / "config.json").write_text('{"model_type": "switch_transformers"}')
    models = f"broken={broken}"
    server = Server(tmp_path_factory.mktemp("e2e"), forked=False, MOESCOPE_MODELS=models)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server that a test may kill."""
    server = Server(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield browser
        browser.close()


class Visitor:
    """A browser profile of its own with one page, and everything that went wrong in it."""

    def __init__(self, context: BrowserContext, server: Server) -> None:
        self.context = context
        self.server = server
        self.problems: list[str] = []
        self.hosts: set[str] = set()
        self.page = context.new_page()
        self.page.on("pageerror", lambda error: self.problems.append(f"{error}"))
        self.page.on(
            "console",
            lambda message: self.problems.append(message.text) if message.type == "error" else None,
        )
        self.page.on("dialog", lambda dialog: self.problems.append(f"dialog {dialog.message}"))
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))

    def open(self, path: str = "/") -> Page:
        self.page.goto(self.server.url + path)
        self.until("shown", "recorded")
        return self.page

    def until(self, *states: str, seconds: float = 20) -> None:
        """Waits for one of these states of the status."""
        wanted = ", ".join(f'#status[data-state="{state}"]' for state in states)
        self.page.wait_for_selector(wanted, timeout=seconds * 1000)

    def type(self, text: str) -> None:
        """Replaces the text and waits until it is recorded."""
        self.page.fill("#text-input", text)
        self.page.wait_for_function(
            "text => window.dash_clientside && "
            "document.querySelector('#status').dataset.state === 'recorded' && "
            "document.querySelector('#text-input').value === text",
            arg=text,
        )

    def status(self) -> str:
        return self.page.inner_text("#status")

    def run_id(self) -> str:
        return str(self.page.get_attribute("#status", "data-run-id"))

    def figure(self, id_: str) -> Any:
        """What a figure shows: its data and shapes, be it drawn by the page or by Plotly."""
        return json.loads(
            self.page.evaluate(
                """id => {
                    const place = document.getElementById(id);
                    const plot = place.figure || place.querySelector('.js-plotly-plot');
                    return JSON.stringify([plot.data, plot.layout.shapes || []]);
                }""",
                id_,
            )
        )

    def click_first_cell(self, id_: str) -> None:
        """Clicks the cell at the left and top of a drawing."""
        drawing = self.page.locator(f"#{id_} svg")
        drawing.scroll_into_view_if_needed()
        left, top = self.page.evaluate(
            "id => [document.getElementById(id).geometry].map((at) => [at.left, at.top])[0]", id_
        )
        drawing.click(position={"x": left + 12, "y": top + 12})

    def figures(self) -> dict[str, Any]:
        return {id_: self.figure(id_) for id_ in FIGURES}


@pytest.fixture
def visit(browser: Browser, server: Server) -> Iterator[Callable[..., Visitor]]:
    """Makes visitors; afterwards none of them may have met an error of the page."""
    visitors: list[Visitor] = []

    def make(to: Server = server, width: int = 1280, height: int = 900, **options: Any) -> Visitor:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        visitors.append(Visitor(context, to))
        return visitors[-1]

    yield make
    problems = [problem for visitor in visitors for problem in visitor.problems]
    for visitor in visitors:
        visitor.context.close()
    # What a server said of it is gone with the test's folder otherwise.
    logs = {visitor.server.log for visitor in visitors} if problems else set()
    assert not problems, "\n".join(log.read_text(errors="replace")[-4000:] for log in logs)
