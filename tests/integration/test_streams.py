"""Generations followed token by token, with the bundled model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from app.analysis import Analyst
from app.components.notes import notes
from app.routing.capacity import APPROXIMATE
from app.routing.capture import OnToken, capture
from app.routing.errors import InvalidTaskError, RoutingError, UnknownModelError
from app.routing.models import ModelRegistry
from app.routing.task import Generation, Task
from app.routing.trace import RoutingTrace
from app.streams import Streams
from tests.integration.helpers import until

TEXT = "The river <extra_id_0> was closed on <extra_id_1>, and the town slept."
SHORT = Task(TEXT, generation=Generation(8, do_sample=True, seed=5))
# At this temperature every token is as likely as any other, so it goes on and on.
ENDLESS = Task(TEXT, generation=Generation(500, do_sample=True, temperature=100.0, seed=5))
LONG_WAIT = 60.0


def size(trace: RoutingTrace | None) -> int:
    return len(trace.sequences["decoder"]) if trace else 0


class Follower:
    """Somebody who follows one generation."""

    def __init__(self, analyst: Analyst, visitor: str, task: Task, attempt: int = 0) -> None:
        self._streams = analyst.streams
        self._about = (visitor, task, analyst.registry.default, attempt)

    def next(self, known: int = 0, wait: float = LONG_WAIT) -> tuple[RoutingTrace | None, bool]:
        return self._streams.follow(*self._about, known, wait)

    def all(self) -> list[RoutingTrace]:
        """Every state that was seen until it was complete."""
        seen: list[RoutingTrace] = []
        done = False
        while not done:
            trace, done = self.next(size(seen[-1]) if seen else 0)
            assert trace is not None
            seen.append(trace)
        return seen

    def result(self) -> RoutingTrace | None:
        return self._streams.result(*self._about)

    def stop(self) -> None:
        self._streams.stop(self._about[0])


Follow = Callable[..., Follower]


@pytest.fixture
def follow(analyst: Analyst) -> Iterator[Follow]:
    """Makes followers; their generations end with the test."""
    visitors: list[Follower] = []

    def make(visitor: str, task: Task, attempt: int = 0) -> Follower:
        visitors.append(Follower(analyst, visitor, task, attempt))
        return visitors[-1]

    yield make
    for each in visitors:
        each.stop()
    until(lambda: not any(thread.name == "generate" for thread in threading.enumerate()))


def test_it_grows_token_by_token_to_the_plain_result(analyst: Analyst, follow: Follow) -> None:
    follower = follow("a", SHORT)
    assert follower.result() is None
    seen = follower.all()
    sizes = [size(trace) for trace in seen]
    assert sizes == sorted(sizes)
    assert seen[-1] == follower.result() == analyst.trace(SHORT)
    assert "stopped" not in seen[-1].provenance
    for before in seen:
        for part, whole in zip(before.layers, seen[-1].layers, strict=True):
            assert np.array_equal(part.logits, whole.logits[: len(part.logits)])


def test_an_answer_waits_for_more_than_is_known(follow: Follow) -> None:
    follower = follow("a", ENDLESS)
    known = 0
    for _ in range(5):
        trace, done = follower.next(known)
        assert not done
        assert size(trace) > known
        known = size(trace)
    # More than there will ever be: the answer comes when the time is over, with what there is.
    trace, done = follower.next(10_000, wait=0.05)
    assert not done
    assert size(trace) >= known


def test_a_complete_one_answers_at_once_however_much_is_known(follow: Follow) -> None:
    follower = follow("a", SHORT)
    complete = follower.all()[-1]
    for known in (-1, size(complete), 10_000):
        assert follower.next(known) == (complete, True)


def test_what_is_known_already_is_not_generated_again(analyst: Analyst, follow: Follow) -> None:
    known = analyst.trace(SHORT)
    trace, done = follow("a", SHORT).next(10_000)
    assert done
    assert trace is known


def test_stopping_keeps_what_there_is(analyst: Analyst, follow: Follow) -> None:
    follower = follow("a", ENDLESS)
    before, _ = follower.next()
    follower.stop()
    stopped = follower.all()[-1]
    assert size(before) <= size(stopped) < 501
    assert stopped.provenance["stopped"] is True
    assert follower.result() == stopped
    # Asked again it is still that one, not begun anew.
    assert follower.next() == (stopped, True)


def test_a_stopped_one_is_not_remembered_as_complete(analyst: Analyst, follow: Follow) -> None:
    task = replace(ENDLESS, generation=replace(ENDLESS.generation, max_new_tokens=40))
    follower = follow("a", task)
    follower.next()
    follower.stop()
    stopped = follower.all()[-1]
    whole = analyst.trace(task)
    assert "stopped" not in whole.provenance
    assert size(stopped) < size(whole)
    # Another visitor gets the whole, too; the first keeps what was stopped.
    assert follow("b", task).all()[-1] == whole
    assert follower.result() == stopped


def test_another_attempt_begins_anew(follow: Follow) -> None:
    first = follow("a", ENDLESS)
    first.next()
    first.stop()
    stopped = first.all()[-1]
    again = follow("a", ENDLESS, attempt=1)
    trace, done = again.next(size(stopped))
    assert not done
    assert size(trace) > size(stopped)
    # The visitor has one generation, and this is it.
    assert first.result() is None


def test_a_new_task_ends_the_old_one(registry: ModelRegistry) -> None:
    ended: list[RoutingTrace] = []

    def run(task: Task, model_id: str, told: OnToken) -> RoutingTrace:
        ended.append(capture(registry.get(model_id), task, 512, told))
        return ended[-1]

    streams = Streams(run)
    default = registry.default
    streams.follow("a", ENDLESS, default, 0, 0, LONG_WAIT)
    done = False
    while not done:
        trace, done = streams.follow("a", SHORT, default, 0, 10_000, LONG_WAIT)
    until(lambda: len(ended) == 2)
    made = {each.provenance["generate"]["max_new_tokens"]: each for each in ended}
    assert made[500].provenance["stopped"] is True
    assert streams.result("a", ENDLESS, default, 0) is None
    assert streams.result("a", SHORT, default, 0) == trace == made[8]
    assert trace == capture(registry.get(default), SHORT, 512)


def test_two_visitors_do_not_disturb_each_other(analyst: Analyst, follow: Follow) -> None:
    tasks = [
        Task(f"{TEXT} {name}", generation=Generation(12, do_sample=True, seed=seed))
        for seed, name in enumerate(("one", "two"))
    ]
    seen: dict[str, list[RoutingTrace]] = {}

    def look(name: str, follower: Follower) -> None:
        seen[name] = follower.all()

    endless = follow("c", ENDLESS)
    endless.next()
    threads = [
        threading.Thread(target=look, args=(name, follow(name, task)))
        for name, task in zip("ab", tasks, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG_WAIT)
    for name, task in zip("ab", tasks, strict=True):
        assert {trace.text for trace in seen[name]} == {task.text}
        assert seen[name][-1] == Analyst(analyst.registry, analyst.recorder, 512).trace(task)
    # Stopping one stops no other.
    follow("a", tasks[0]).stop()
    trace, done = endless.next()
    known = size(trace)
    trace, done = endless.next(known)
    assert done or size(trace) > known


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (Task(TEXT, generation=Generation(0)), "from 1 to 512, not 0"),
        (Task("  ", generation=Generation(3)), "blank"),
        (Task("word " * 700, generation=Generation(3)), "the limit is 512"),
    ],
    ids="none blank long".split(),
)
def test_an_error_is_raised_to_whoever_follows(follow: Follow, task: Task, said: str) -> None:
    follower = follow("a", task)
    for _ in range(2):
        with pytest.raises(RoutingError, match=said):
            follower.next()
    assert follower.result() is None
    # The next one has nothing of it.
    assert follow("a", SHORT).all()


def test_an_unknown_model_is_an_error_too(analyst: Analyst) -> None:
    with pytest.raises(UnknownModelError):
        analyst.streams.follow("a", SHORT, "nothing/here", 0, 0, LONG_WAIT)


def test_stopping_nobody_is_no_trouble(analyst: Analyst) -> None:
    analyst.streams.stop("nobody")


class TestPreview:
    TASK = Task("the old man and the sea " * 8, capacity=2)

    def test_of_a_quick_model_is_exact(self, analyst: Analyst, registry: ModelRegistry) -> None:
        shown = analyst.preview(self.TASK, registry.default)
        assert shown == analyst.trace(self.TASK)
        assert "capacity_method" not in shown.provenance

    def test_of_a_slow_model_is_worked_out_and_says_so(
        self, analyst: Analyst, registry: ModelRegistry
    ) -> None:
        analyst.trace(self.TASK.text)
        # What the last pass took is measured, and no bundled model is this slow.
        analyst._seconds[registry.default] = 5.0
        shown = analyst.preview(self.TASK, registry.default)
        assert shown.provenance["capacity_method"] == APPROXIMATE
        assert "worked out from the recorded choices" in notes(shown)
        exact = analyst.trace(self.TASK)
        assert "capacity_method" not in exact.provenance
        assert shown.layers[0].dropped.tolist() == exact.layers[0].dropped.tolist()
        assert shown != exact

    def test_of_a_slow_model_at_its_own_capacity_is_exact(
        self, analyst: Analyst, registry: ModelRegistry
    ) -> None:
        analyst._seconds[registry.default] = 5.0
        plain = Task(self.TASK.text)
        assert analyst.preview(plain, registry.default) == analyst.trace(plain)

    def test_a_generation_is_never_approximate(
        self, analyst: Analyst, registry: ModelRegistry
    ) -> None:
        analyst._seconds[registry.default] = 5.0
        task = replace(SHORT, capacity=1)
        shown = analyst.preview(task, registry.default)
        assert "capacity_method" not in shown.provenance
        assert all(layer.dropped.any() for layer in shown.stack_layers("encoder"))

    def test_a_bad_capacity_is_refused_either_way(
        self, analyst: Analyst, registry: ModelRegistry
    ) -> None:
        for slow in (0.0, 5.0):
            analyst._seconds[registry.default] = slow
            with pytest.raises(InvalidTaskError, match="capacity must be"):
                analyst.preview(replace(self.TASK, capacity=0), registry.default)
