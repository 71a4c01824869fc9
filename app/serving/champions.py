"""The versions that answer, in memory: looked up again while they answer, changed between answers.

Who asks never waits for a look at the registry, but for the first answer of a version that
nobody asked before. A new champion is loaded while the one before still answers.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from app.recording.base import RecordingError
from app.recording.registered import CHAMPION, ModelNotFoundError, Version
from app.recording.registry import Registry
from app.serving.predictor import Predictor

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
# What could not be loaded is tried again after so long.
_AGAIN_SECONDS = 30.0
# More aliases and numbers of versions than are asked for at a time.
_MOST_ASKED = 16

Load = Callable[[Version], Predictor]


@dataclass(frozen=True)
class Served:
    """A version with its model in memory."""

    version: Version
    predictor: Predictor


@dataclass
class _Asked:
    """What answers to an alias or the number of a version, and when that was looked up."""

    loading: threading.Lock = field(default_factory=threading.Lock)
    served: Served | None = None
    looked: float = 0.0
    looking: bool = False
    # A version that can't be loaded, and when to try it again.
    broken: tuple[int, float] = (0, 0.0)


class Champions:
    """The versions of a registry that are asked. Safe to use from any thread."""

    def __init__(self, registry: Registry, load: Load) -> None:
        """`load` reads a version's model."""
        self._registry = registry
        self._load = load
        self._changing = threading.Lock()
        self._asked: OrderedDict[tuple[str, str | int], _Asked] = OrderedDict()
        # As long as any alias or number leads to it.
        self._predictors: WeakValueDictionary[tuple[str, int, str], Predictor] = (
            WeakValueDictionary()
        )

    def get(self, name: str, chosen: str | int = CHAMPION) -> Served:
        """What answers for a model, by alias or number of the version.

        It is looked up again in the background, at most every second. Raises ModelNotFoundError,
        RecordingError, ModelFileError or AutomlMissingError.
        """
        asked = self._of(name, chosen)
        served = asked.served
        if served is None:
            return self._first(asked, name, chosen)
        if self._due(asked):
            threading.Thread(
                target=self._look_again, args=(asked, name, chosen), name="champions", daemon=True
            ).start()
        return served

    def refresh(self, name: str) -> None:
        """Looks at once at all that is asked of a model, so that the next answer is by the version
        that is the champion now."""
        with self._changing:
            mine = [(key, asked) for key, asked in self._asked.items() if key[0] == name]
        for (_, chosen), asked in mine:
            self._look_again(asked, name, chosen)

    def _first(self, asked: _Asked, name: str, chosen: str | int) -> Served:
        """The first who ask wait for one of them."""
        with asked.loading:
            if asked.served is None:
                try:
                    self._look(asked, name, chosen)
                except BaseException:
                    # Whoever makes up names takes no memory.
                    self._forget(name, chosen)
                    raise
            assert asked.served is not None
            return asked.served

    def _look_again(self, asked: _Asked, name: str, chosen: str | int) -> None:
        try:
            with asked.loading:
                self._look(asked, name, chosen)
        except ModelNotFoundError:
            # The next one who asks is told.
            self._forget(name, chosen)
        except RecordingError as error:
            log.warning("«%s» is not looked up again, the version before answers: %s", name, error)
        except Exception:
            log.exception("a version of «%s» can't be loaded, the one before answers", name)
        finally:
            asked.looked, asked.looking = time.monotonic(), False

    def _look(self, asked: _Asked, name: str, chosen: str | int) -> None:
        version = self._registry.version(name, chosen)
        asked.looked = time.monotonic()
        if asked.served is not None and _key(asked.served.version) == _key(version):
            return
        number, until = asked.broken
        if asked.served is not None and number == version.version and asked.looked < until:
            return
        try:
            asked.served = Served(version, self._loaded(version))
        except Exception:
            asked.broken = (version.version, time.monotonic() + _AGAIN_SECONDS)
            raise

    def _loaded(self, version: Version) -> Predictor:
        key = _key(version)
        predictor = self._predictors.get(key)
        if predictor is None:
            start = time.monotonic()
            predictor = self._predictors[key] = self._load(version)
            seconds = time.monotonic() - start
            log.info("«%s» %s is loaded after %.1f s", version.name, version.version, seconds)
        return predictor

    def _due(self, asked: _Asked) -> bool:
        """Whether this is the one who has it looked up again."""
        if time.monotonic() - asked.looked < _LOOK_SECONDS:
            return False
        with self._changing:
            mine = not asked.looking
            asked.looking = True
        return mine

    def _of(self, name: str, chosen: str | int) -> _Asked:
        key = (name, chosen)
        with self._changing:
            asked = self._asked.setdefault(key, _Asked())
            self._asked.move_to_end(key)
            loaded = [each for each, one in self._asked.items() if one.served is not None]
            for each in loaded[:-_MOST_ASKED]:
                del self._asked[each]
            return asked

    def _forget(self, name: str, chosen: str | int) -> None:
        with self._changing:
            self._asked.pop((name, chosen), None)


def _key(version: Version) -> tuple[str, int, str]:
    return version.name, version.version, version.run_id
