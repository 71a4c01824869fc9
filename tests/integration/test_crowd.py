"""Many at once: one pass for equal texts, a limit, and nothing lost afterwards."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from app import analysis
from app.analysis import Analyst
from app.api.app import create_api
from app.components.diagrams import draw, obtain, route
from app.components.laps import Laps
from app.queueing import Queue
from app.recording.mlflow_recorder import MlflowRecorder
from app.routing.errors import BusyError, InvalidTaskError
from app.routing.models import ModelRegistry
from app.routing.trace import RoutingTrace
from tests.integration.helpers import ask, serving, until


class Passes:
    """Stands in front of the model: counts passes by text, holds them while told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.texts: list[str] = []
        self.go = threading.Event()
        self.go.set()
        self.error: Exception | None = None
        real = analysis.capture

        def capture(loaded: Any, task: Any, *rest: Any) -> RoutingTrace:
            self.texts.append(task.text)
            assert self.go.wait(30)
            if self.error is not None:
                raise self.error
            return real(loaded, task, *rest)

        monkeypatch.setattr(analysis, "capture", capture)

    @contextmanager
    def held(self) -> Iterator[None]:
        self.go.clear()
        try:
            yield
        finally:
            self.go.set()


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Passes:
    return Passes(monkeypatch)


@pytest.fixture
def small(registry: ModelRegistry, recorder: MlflowRecorder) -> Analyst:
    """An analyst in whose queue one may wait."""
    return Analyst(registry, recorder, 512, Queue(1))


def request(analyst: Analyst, text: str) -> dict[str, Any]:
    return {"text": text, "model": analyst.registry.default, "view": "encoder", "settings": {}}


def drawn(analyst: Analyst, text: str) -> dict[str, Any]:
    return draw(analyst, request(analyst, text), Laps(analyst.queue))


def test_equal_texts_in_flight_are_one_pass(small: Analyst, passes: Passes) -> None:
    with ThreadPoolExecutor(6) as threads:
        with passes.held():
            futures = [threads.submit(small.trace, "the same at once") for _ in range(6)]
            until(lambda: len(passes.texts) == 1)
        traces = [future.result(30) for future in futures]
    assert all(trace is traces[0] for trace in traces)
    assert passes.texts == ["the same at once"]
    assert small.trace("the same at once") is traces[0]


def test_an_error_reaches_all_who_wait_for_it(small: Analyst, passes: Passes) -> None:
    passes.error = InvalidTaskError("not this one")
    with ThreadPoolExecutor(4) as threads, passes.held():
        futures = [threads.submit(small.trace, "wrong for all") for _ in range(4)]
        until(lambda: len(passes.texts) == 1)
        passes.go.set()
        for future in futures:
            with pytest.raises(InvalidTaskError, match="not this one"):
                future.result(30)
    passes.error = None
    assert small.trace("wrong for all").text == "wrong for all"


def test_over_the_limit_the_page_is_told_to_wait_and_nothing_is_lost(
    small: Analyst, passes: Passes
) -> None:
    with ThreadPoolExecutor(3) as threads:
        with passes.held():
            waiting = [threads.submit(drawn, small, text) for text in ("one", "two")]
            until(lambda: len(small.queue) == 2)
            told = drawn(small, "three")
            assert told.keys() == {"outcome"}
            assert told["outcome"]["state"] == "busy"
            assert told["outcome"]["message"].startswith("Many are typing")
            # The same text as one that waits already adds nothing to the queue.
            same = threads.submit(drawn, small, "two")
        for future in (*waiting, same):
            assert future.result(30)["outcome"]["state"] == "shown"
    assert drawn(small, "three")["outcome"]["state"] == "shown"
    assert len(small.queue) == 0


def test_what_is_recorded_waits_instead_of_being_refused(small: Analyst, passes: Passes) -> None:
    with ThreadPoolExecutor(3) as threads:
        with passes.held():
            first = [threads.submit(small.trace, text) for text in ("first", "second")]
            until(lambda: len(small.queue) == 2)
            kept = threads.submit(obtain, small, request(small, "kept"), preview=False)
            with pytest.raises(BusyError):
                small.trace("previewed", patient=False)
        assert [future.result(30).text for future in first] == ["first", "second"]
        assert kept.result(30).text == "kept"


def test_over_the_limit_the_api_answers_503_and_takes_it_a_moment_later(
    small: Analyst, passes: Passes
) -> None:
    with serving(create_api(small)) as address, ThreadPoolExecutor(2) as threads:
        path = f"{address}/api/v1/analyses"

        def post(text: str) -> Any:
            return ask(path, {"text": text, "record": False})

        assert post("before").status == 200
        with passes.held():
            waiting = [threads.submit(post, text) for text in ("one more", "two more")]
            until(lambda: len(small.queue) == 2)
            refused = post("three more")
            assert refused.status == 503
            assert refused.headers["content-type"] == "application/problem+json"
            assert 0 < int(refused.headers["retry-after"]) <= 5
            assert refused.json()["detail"].startswith("too many analyses")
            # What needs no pass is answered meanwhile.
            assert post("before").status == 200
            assert ask(f"{address}/healthz").status == 200
        assert [future.result(30).status for future in waiting] == [200, 200]
        assert post("three more").status == 200
        documented = ask(f"{address}/openapi.json").json()["paths"]["/api/v1/analyses"]["post"]
        assert "503" in documented["responses"]


def test_an_answer_tells_where_its_time_went(small: Analyst) -> None:
    app = create_api(small, route(small))
    with serving(app) as address, ThreadPoolExecutor(1) as threads:
        start = time.perf_counter()
        with small.queue.turn():
            asked = threads.submit(ask, f"{address}/api/v1/drawings", request(small, "waits"))
            until(lambda: small.queue.waiting == 1)
            seen = time.perf_counter()
            time.sleep(0.02)
            least = 1000 * (time.perf_counter() - seen)
        answer = asked.result(30)
        most = 1000 * (time.perf_counter() - start)
    stages = re.findall(r"(\w+);dur=([\d.]+)", answer.headers["server-timing"])
    assert [name for name, _ in stages] == ["queue", "trace", "figures", "words", "json"]
    spent = {name: float(milliseconds) for name, milliseconds in stages}
    assert spent["queue"] >= least - 0.01
    assert min(spent["trace"], spent["figures"]) > 0
    assert sum(spent.values()) <= most


def test_recording_keeps_up_while_people_type(
    registry: ModelRegistry, recorder: MlflowRecorder
) -> None:
    queue = Queue(8)
    recorder._store._give_way = queue.give_way
    analyst = Analyst(registry, recorder, 512, queue)
    over = threading.Event()

    def type_on(number: int) -> None:
        turn = 0
        while not over.is_set():
            turn += 1
            drawn(analyst, f"visitor {number} types word {turn}")

    with ThreadPoolExecutor(3) as threads:
        typing = [threads.submit(type_on, number) for number in range(3)]
        try:
            ids = [analyst.record(analyst.trace(f"kept meanwhile {i}")).id for i in range(4)]
            until(lambda: all(analyst.recorder.receipt(i).status == "recorded" for i in ids))
        finally:
            over.set()
        for future in typing:
            future.result(30)
