"""Saturation of many passes beside one: worked out in the background, once for each two."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from app.corpus.checkpoints import checkpoints, layers_of
from app.corpus.library import Library, Pass
from app.corpus.parts import part_files
from app.corpus.saturation import (
    DifferentTokensError,
    LayerSaturation,
    Saturation,
    saturation,
)

log = logging.getLogger(__name__)

_END_SECONDS = 10.0
_FAILED = "its routing could not be read; the log says more"

# Each of the two by id, time of creation and revision: one that is made anew is another.
_Key = tuple[tuple[str, float, str], ...]
GiveWay = Callable[[], None]


@dataclass(frozen=True)
class Compared:
    """A pass beside the chosen one: the `outcome`, or `problem`, why there will be none.

    Until there is one of both, `done` is the share of the tokens that are compared.
    """

    found: Pass
    outcome: Saturation | None = None
    problem: str = ""
    done: float = 0.0

    @property
    def settled(self) -> bool:
        """Whether there is nothing to wait for."""
        return self.outcome is not None or bool(self.problem)


class Saturations:
    """Compares passes of a library. Outcomes lie in the folder of one of the two.

    `give_way` is called between pieces of work. Safe to use from any thread.
    """

    def __init__(self, library: Library, give_way: GiveWay = lambda: None) -> None:
        self._library = library
        self._give_way = give_way
        self._changed = threading.Condition()
        self._known: dict[_Key, Saturation | str] = {}
        self._waiting: dict[_Key, tuple[Pass, Pass]] = {}
        self._done: dict[_Key, float] = {}
        self._thread: threading.Thread | None = None
        self._ending = False

    def beside(self, chosen: Pass, wait: float = 0.0) -> list[Compared]:
        """Each of the `checkpoints` beside `chosen`, as far as it is compared.

        What is not begins to be, in a thread; waits up to `wait` seconds for it. Raises OSError.
        """
        others = checkpoints(self._library, chosen)
        keys = [_key(chosen, other) for other in others]
        with self._changed:
            for key, other in zip(keys, others, strict=True):
                self._ask(key, chosen, other)
            if wait:
                self._changed.wait_for(lambda: all(key in self._known for key in keys), wait)
            return [self._told(key, other) for key, other in zip(keys, others, strict=True)]

    def close(self) -> None:
        """Ends the work in hand; it begins anew when it is asked for again."""
        self._ending = True
        if self._thread is not None:
            self._thread.join(_END_SECONDS)

    def _told(self, key: _Key, other: Pass) -> Compared:
        match self._known.get(key):
            case Saturation() as outcome:
                return Compared(other, outcome)
            case str() as problem:
                return Compared(other, problem=problem)
        return Compared(other, done=self._done.get(key, 0.0))

    def _ask(self, key: _Key, chosen: Pass, other: Pass) -> None:
        if key in self._known or key in self._waiting:
            return
        if kept := _load(self._file(key), key):
            self._known[key] = kept
            return
        self._waiting[key] = (chosen, other)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="saturations", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while True:
            with self._changed:
                if self._ending or not self._waiting:
                    self._thread = None
                    return
                key, passes = next(iter(self._waiting.items()))
            outcome = self._compare(key, *passes)
            with self._changed:
                del self._waiting[key]
                self._done.pop(key, None)
                if outcome is not None:
                    self._known[key] = outcome
                self._changed.notify_all()

    def _compare(self, key: _Key, a: Pass, b: Pass) -> Saturation | str | None:
        """The outcome, or why there is none; None where it was ended."""

        def tell(share: float) -> None:
            self._done[key] = share

        def stop() -> bool:
            self._give_way()
            return self._ending

        try:
            mine, its = (
                part_files(self._library.folder(one.about.id), one.state.parts) for one in (a, b)
            )
            outcome = saturation(mine, its, layers_of(self._library, a), tell, stop)
        except DifferentTokensError as error:
            return str(error)
        except Exception:
            log.exception("passes %s and %s could not be compared", a.about.id, b.about.id)
            return _FAILED
        if outcome is not None:
            # Without it, it is worked out again after the next start.
            with suppress(OSError):
                _save(self._file(key), key, outcome)
        return outcome

    def _file(self, key: _Key) -> Path:
        (first, *_), (second, *_) = key
        return self._library.folder(first) / f"saturation-{second}.json"


def _key(a: Pass, b: Pass) -> _Key:
    """The same either way round, as the outcome is."""
    return tuple(
        sorted(
            (
                one.about.id,
                one.about.created.timestamp(),
                str(one.about.model.get("revision", "")),
            )
            for one in (a, b)
        )
    )


def _save(file: Path, key: _Key, outcome: Saturation) -> None:
    written = file.with_name(f"{file.name}.new")
    written.write_text(json.dumps({"of": key, **asdict(outcome)}, indent=1), encoding="utf-8")
    written.replace(file)


def _load(file: Path, key: _Key) -> Saturation | None:
    """What was kept of just these two, if anything was that can be read."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if found.pop("of") != [list(each) for each in key]:
            return None
        layers = tuple(LayerSaturation(**layer) for layer in found.pop("layers"))
        return Saturation(**found, layers=layers)
    except (OSError, ValueError, TypeError, KeyError):
        return None
