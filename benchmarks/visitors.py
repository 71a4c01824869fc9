"""Visitors who type on the live page, without browsers: run as a process of its own, because
locust makes a whole process cooperative.

    python -m benchmarks.visitors ADDRESS VISITORS SECONDS TEXTS.json
"""

from __future__ import annotations

import itertools
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

from locust import FastHttpUser, task
from locust.env import Environment

from benchmarks.posting import Visit

DRAWING = "drawing"
KEY_SECONDS = 0.09
# As on the page: the table follows a pause, and a text that rests is recorded.
_SETTLE_SECONDS = 0.5
_REST_SECONDS = 2.0
_POLL_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 30.0
_numbers = itertools.count()


class Typist(FastHttpUser):
    """Types one sentence after the other, with the page's gate: one request in flight, the
    newest text next."""

    network_timeout = connection_timeout = _LONGEST_WAIT_SECONDS
    texts: tuple[str, ...] = ()
    model = ""
    declared: tuple[dict[str, Any], ...] = ()

    def on_start(self) -> None:
        self.number = next(_numbers)
        self.random = random.Random(self.number)
        self.sent = 0
        self.visit = Visit(list(self.declared), self.posted)
        self.visit.values["theme", "data"] = "light"

    def posted(self, name: str, body: str, path: str = "/_dash-update-component") -> bytes | None:
        with self.client.post(
            path,
            data=body,
            headers={"Content-Type": "application/json"},
            name=name,
            catch_response=True,
        ) as answer:
            if answer.status_code not in (200, 204):
                answer.failure(f"{answer.status_code} {answer.error or ''}")
            return answer.content if answer.status_code == 200 else None

    @task
    def sentence(self) -> None:
        """One sentence, typed, looked at and recorded, with a word that nobody else types."""
        text = f"{self.random.choice(self.texts)} {self.number}.{self.sent}"
        begun, asked = time.monotonic() - self.random.random() * KEY_SECONDS, ""
        while asked != text:
            newest = text[: 1 + int((time.monotonic() - begun) / KEY_SECONDS)]
            if newest == asked or not newest.strip():
                time.sleep(KEY_SECONDS - (time.monotonic() - begun) % KEY_SECONDS)
                continue
            asked = newest if self.shown(newest) else ""
        self.rested(text)

    def shown(self, text: str) -> bool:
        """Asks for the drawing of a text; whether it came."""
        self.sent += 1
        asked = {**self.asked(text), "known": -1, "selection": None, "theme": "light"}
        answer = self.posted(DRAWING, json.dumps(asked), "/api/v1/drawings")
        outcome = json.loads(answer)["outcome"] if answer else {}
        good = outcome.get("state") == "shown"
        if not good:
            kind = "busy" if outcome.get("state") == "busy" else "not drawn"
            self.told(kind, None if kind == "busy" else RuntimeError(str(outcome)[:200]))
            time.sleep(_POLL_SECONDS)
        return good

    def told(self, name: str, error: Exception | None = None) -> None:
        """Counts what an answer said."""
        self.environment.events.request.fire(
            request_type="PAGE",
            name=name,
            response_time=0,
            response_length=0,
            exception=error,
            context={},
        )

    def asked(self, text: str) -> dict[str, Any]:
        """What the page says of a text in all its requests."""
        about = {"text": text, "model": self.model, "view": "encoder", "settings": {}}
        return {**about, "attempt": 0, "visitor": f"visitor {self.number}"}

    def rested(self, text: str) -> None:
        """What the page asks for once the typing pauses, then rests."""
        time.sleep(_SETTLE_SECONDS)
        self.visit.change("settled", "data", self.asked(text))
        time.sleep(_REST_SECONDS - _SETTLE_SECONDS)
        self.visit.change("commit", "data", {**self.asked(text), "at": self.sent})
        for tick in range(int(_LONGEST_WAIT_SECONDS / _POLL_SECONDS)):
            receipt = self.visit.values.get(("receipt", "data")) or {}
            self.visit.values["recorded", "data"] = receipt
            if receipt.get("status") == "recorded":
                self.told("recorded")
            if receipt.get("status") != "pending":
                break
            time.sleep(_POLL_SECONDS)
            self.visit.change("poll", "n_intervals", tick)


def main(address: str, visitors: int, seconds: float, source: str) -> dict[str, Any]:
    """Lets them type for a while; times in milliseconds by what was asked for, and errors."""
    given = json.loads(Path(source).read_text(encoding="utf-8"))
    Typist.texts, Typist.model = tuple(given["texts"]), given["model"]
    Typist.declared, Typist.host = tuple(given["declared"]), address
    environment = Environment(user_classes=[Typist], catch_exceptions=True)
    times: dict[str, list[float]] = {}
    errors: list[str] = []

    def seen(name: str, response_time: float, exception: Exception | None, **_: Any) -> None:
        times.setdefault(name, []).append(float(response_time))
        if exception is not None:
            errors.append(f"{name}: {exception}"[:300])

    environment.events.request.add_listener(seen)
    environment.events.user_error.add_listener(
        lambda exception, **_: errors.append(repr(exception)[:300])
    )
    runner = environment.create_local_runner()
    runner.start(visitors, spawn_rate=max(1, visitors / 2))
    time.sleep(seconds)
    runner.quit()
    return {"times": times, "errors": errors, "seconds": seconds}


if __name__ == "__main__":
    found = main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4])
    json.dump(found, sys.stdout)
