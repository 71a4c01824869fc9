"""Equal work once, a limit, and turns in the order they were asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from app.queueing import Queue
from app.routing.errors import BusyError
from tests.integration.helpers import until


class Held:
    """Work that lasts until it is let go, and counts how often it was done."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()
        self.times = 0
        self.error = error

    def __call__(self) -> int:
        self.times += 1
        self.begun.set()
        assert self.go.wait(10)
        if self.error is not None:
            raise self.error
        return self.times


def asked(threads: ThreadPoolExecutor, count: int, ask: Callable[[], int]) -> list[Future[int]]:
    """Asks in threads, and gives the futures once all of them wait."""
    entered = threading.Semaphore(0)

    def enter() -> int:
        entered.release()
        return ask()

    futures = [threads.submit(enter) for _ in range(count)]
    for _ in futures:
        assert entered.acquire(timeout=10)
    return futures


def test_equal_work_is_done_once_for_all_who_wait() -> None:
    queue, work = Queue(1), Held()
    with ThreadPoolExecutor(8) as threads:
        futures = asked(threads, 8, lambda: queue.once("key", work))
        assert work.begun.wait(10)
        work.go.set()
        assert [future.result(10) for future in futures] == [1] * 8
    assert work.times == 1
    assert queue.once("key", work) == 2


def test_an_error_reaches_all_who_wait_and_is_forgotten() -> None:
    queue, work = Queue(1), Held(ValueError("no"))
    with ThreadPoolExecutor(3) as threads:
        futures = asked(threads, 3, lambda: queue.once("key", work))
        work.go.set()
        for future in futures:
            with pytest.raises(ValueError, match="no"):
                future.result(10)
    work.error = None
    assert queue.once("key", work) == work.times


def test_over_the_limit_is_busy_but_not_for_equals_nor_the_patient() -> None:
    queue = Queue(1)
    first, second = Held(), Held()
    with ThreadPoolExecutor(4) as threads:
        one = threads.submit(queue.once, 1, first)
        assert first.begun.wait(10)
        two = threads.submit(queue.once, 2, second)
        assert second.begun.wait(10)
        with pytest.raises(BusyError):
            queue.once(3, lambda: 3, patient=False)
        with pytest.raises(BusyError), queue.place(patient=False):
            pass
        assert queue.once(4, lambda: 4) == 4
        again = asked(threads, 1, lambda: queue.once(2, second, patient=False))
        first.go.set()
        assert one.result(10) == 1
        assert queue.once(3, lambda: 3, patient=False) == 3
        second.go.set()
        assert two.result(10) == again[0].result(10) == 1


def test_a_place_is_given_back() -> None:
    queue = Queue(1)
    for _ in range(3):
        with queue.place(patient=False), queue.place(patient=False), pytest.raises(BusyError):
            queue.once("key", lambda: 1, patient=False)
    assert queue.once("key", lambda: 1, patient=False) == 1


def test_turns_come_in_the_order_they_were_asked_for() -> None:
    queue, order = Queue(1), list[int]()
    threads = []

    def take(number: int) -> None:
        with queue.turn():
            order.append(number)

    with queue.turn():
        for number in range(6):
            threads.append(threading.Thread(target=take, args=(number,)))
            threads[-1].start()
            until(lambda number=number: queue.waiting == number + 1)  # type: ignore[misc]
        assert order == []
    for thread in threads:
        thread.join(10)
    assert order == list(range(6))
    assert queue.waiting == 0


def test_a_turn_that_fails_is_over() -> None:
    queue = Queue(1)
    with pytest.raises(ValueError, match="no"), queue.turn():
        raise ValueError("no")
    with queue.turn():
        pass


def test_background_work_comes_to_an_end_however_many_type() -> None:
    queue = Queue(1)
    with queue.turn():
        assert queue.busy
        for _ in range(3):
            queue.give_way()
    until(lambda: not queue.busy)
    queue.give_way()


def test_it_is_busy_while_a_place_is_taken() -> None:
    queue = Queue(1)
    assert not queue.busy
    with queue.place():
        assert queue.busy
    until(lambda: not queue.busy)


def test_what_a_thread_waited_for_its_turn_is_told_to_it_alone() -> None:
    queue, holding, let_go = Queue(4), threading.Event(), threading.Event()

    def hold() -> None:
        with queue.turn():
            holding.set()
            assert let_go.wait(10)

    def wait() -> float:
        with queue.turn():
            return queue.waited

    with ThreadPoolExecutor(2) as threads:
        threads.submit(hold)
        assert holding.wait(10)
        waiting = threads.submit(wait)
        until(lambda: queue.waiting == 1)
        seen = time.perf_counter()
        time.sleep(0.05)
        least = time.perf_counter() - seen
        let_go.set()
        assert waiting.result(10) >= least
    assert queue.waited == 0
