"""The files that pages are made of: compressed, kept by browsers, and nothing but ours."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import plotly.io
import plotly.offline
import pytest
from a2wsgi import WSGIMiddleware
from fastapi import FastAPI

from app.pages import ASSETS
from app.server import build
from app.settings import load_settings
from app.transport.kept import Kept
from tests.integration.helpers import ROOT, Environment, Folder, ask, is_ready, serving, until

FOR_EVER = "public, max-age=31536000, immutable"
ASYNC = "/_dash-component-suites/dash/dcc/async-graph.js"


def linked(page: bytes) -> list[str]:
    found: list[str] = re.findall(r'(?:src|href)="([^"#]+)"', page.decode())
    assert len(found) > 10
    return found


def test_what_the_page_links_to_is_ours_compressed_and_kept_for_ever(server: str) -> None:
    page = ask(f"{server}/")
    assert page.headers["content-type"].startswith("text/html")
    files = [path for path in linked(page.body) if "favicon" not in path]
    for path in files:
        assert path.startswith(("/assets/", "/_dash-component-suites/")), path
        plain = ask(server + path)
        packed = ask(server + path, None, None, **{"Accept-Encoding": "br, gzip"})
        kind = "text/css" if ".css" in path else "javascript"
        for answer in (plain, packed):
            assert answer.status == 200
            assert kind in answer.headers["content-type"]
            assert answer.headers["cache-control"] == FOR_EVER
            assert answer.headers["vary"] == "Accept-Encoding"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert int(answer.headers["content-length"]) == len(answer.body)
        assert "content-encoding" not in plain.headers
        if len(plain.body) > 2000:
            assert packed.headers["content-encoding"] == "gzip"
            assert len(packed.body) < len(plain.body) / 2
            assert gzip.decompress(packed.body) == plain.body


def test_a_file_without_version_is_asked_for_again(server: str) -> None:
    first = ask(server + ASYNC)
    assert first.headers["cache-control"] == "no-cache"
    tag = first.headers["etag"]
    for known in (tag, f'"other", {tag}', "*"):
        again = ask(server + ASYNC, None, None, **{"If-None-Match": known})
        assert (again.status, again.body) == (304, b"")
        assert again.headers["etag"] == tag
        assert again.headers["vary"] == "Accept-Encoding"
    assert ask(server + ASYNC, None, None, **{"If-None-Match": '"other"'}).body == first.body


@pytest.mark.parametrize("accepted", ["", "identity", "br", "gzip;q=0, identity"])
def test_nothing_is_compressed_for_those_who_do_not_take_it(server: str, accepted: str) -> None:
    answer = ask(server + ASYNC, None, None, **{"Accept-Encoding": accepted})
    assert "content-encoding" not in answer.headers
    assert answer.body == ask(server + ASYNC).body


def test_files_are_those_on_the_disk(server: str) -> None:
    for path in ("moescope.css", "libraries.js"):
        assert ask(f"{server}/assets/{path}").body == (ASSETS / path).read_bytes()


@pytest.mark.parametrize(
    "path", ["/assets/none.js", "/assets/../app/server.py", "/assets/%2e%2e/Makefile"]
)
def test_what_is_no_file_is_not_kept(server: str, path: str) -> None:
    for _ in range(2):
        answer = ask(server + path)
        assert answer.status == 404 or answer.headers["content-type"].startswith("text/html")
        assert answer.headers.get("cache-control") != FOR_EVER
        assert b"MOESCOPE" not in answer.body


def test_head_is_answered_without_a_body(server: str) -> None:
    answer = ask(f"{server}/assets/moescope.css", method="HEAD")
    assert (answer.status, answer.body) == (200, b"")


def test_plotly_is_the_part_that_is_needed_in_the_version_of_the_library(server: str) -> None:
    [vendored] = sorted((ASSETS / "vendor").glob("plotly-cartesian-*.min.js"))
    assert plotly.offline.get_plotlyjs_version() in vendored.name
    script = (ASSETS / "libraries.js").read_text(encoding="utf-8")
    assert f'"assets/vendor/{vendored.name}"' in script
    answer = ask(f"{server}/assets/vendor/{vendored.name}", **{"Accept-Encoding": "gzip"})
    assert answer.headers["cache-control"] == FOR_EVER
    assert len(answer.body) < 500_000


def test_the_page_does_not_wait_for_what_the_first_diagrams_do_not_need(server: str) -> None:
    script = (ASSETS / "libraries.js").read_text(encoding="utf-8")
    at_once = " ".join(linked(ask(f"{server}/").body))
    later = re.findall(r'^  const \w+ = "(\S+\.js)"', script, re.MULTILINE)
    assert len(later) == 2
    for path in later:
        assert path.rpartition("/")[2].partition(".")[0] not in at_once
        assert ask(f"{server}/{path}").status == 200


def test_every_trace_type_of_a_figure_is_in_that_part() -> None:
    figures = Path(__file__).parents[2] / "app" / "figures"
    [vendored] = sorted((ASSETS / "vendor").glob("plotly-cartesian-*.min.js"))
    text = vendored.read_text(encoding="utf-8")
    drawn = {"bar", "heatmap", "scatter"}
    for kind in drawn:
        assert f'name:"{kind}"' in text
    written = " ".join(path.read_text(encoding="utf-8") for path in figures.glob("*.py"))
    shapes = {"line", "path", "rect", "linear", "category", "log", "date"}
    assert set(re.findall(r'"type": "(\w+)"', written)) <= drawn | shapes


def test_an_answer_of_the_pages_comes_in_one_piece(server: str) -> None:
    answer = ask(f"{server}/_dash-layout", **{"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(answer.body))["type"]


def test_below_a_base_path(data_folder: Folder) -> None:
    settings = load_settings(MOESCOPE_DATA_DIR=data_folder(), MOESCOPE_BASE_PATH="/moe")
    with serving(build(settings)) as address:
        until(lambda: is_ready(f"{address}/moe"))
        for path in linked(ask(f"{address}/moe/").body):
            assert path.startswith("/moe/")
            if "favicon" not in path:
                assert ask(address + path).headers["cache-control"] == FOR_EVER


def test_a_server_that_ends_waits_for_the_page_that_it_makes_by_itself() -> None:
    begun, made = threading.Event(), threading.Event()

    def page(_environment: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        begun.set()
        # Longer than the server takes to end when it waits for nothing.
        time.sleep(1)
        start("200 OK", [("Content-Type", "text/html")])
        made.set()
        return [b"<link href='/assets/a.css'>"]

    app = FastAPI()
    app.mount("/", WSGIMiddleware(page))
    app.add_middleware(Kept)
    with serving(app):
        assert begun.wait(10)
    assert made.is_set()


def test_what_plotly_looks_into_is_there_before_pages_are_served(
    data_folder: Folder, environment: Environment
) -> None:
    source = Path(str(plotly.io._json.__file__)).read_text(encoding="utf-8")
    looked_into = set(re.findall(r'get_module\("([\w.]+)", should_load=False\)', source))
    assert "pandas" in looked_into
    # What the threads of a server import while it answers already.
    code = (
        "import sys, app.server as at; before = set(sys.modules);"
        "analyst = at.build_analyst(at.load_settings());"
        "analyst.registry.get(analyst.registry.default, 60); analyst.recorder.history(1);"
        "print(*set(sys.modules) - before)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment(MOESCOPE_DATA_DIR=data_folder()),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    later = set(printed.split())
    assert "mlflow" in later
    assert not later & looked_into
