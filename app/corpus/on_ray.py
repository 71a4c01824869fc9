"""A pass on many processes or machines, by Ray Data: the only module that knows Ray.

One reader cuts the corpus into pieces, workers with a model each count them, and what they
counted is merged here in the order of the corpus. Ray schedules, limits how far the reader runs
ahead, and has a piece counted again if its worker is lost.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from app.corpus.order import Order, Progress
from app.corpus.reading.source import Corpus, Place, SourceError
from app.corpus.running import Stop, Tell, empty_counts
from app.corpus.sharding import Part, Piece, counted, pieces, take
from app.corpus.state import Kept, State
from app.corpus.tally import Tally
from app.routing.errors import ModelLoadError, RoutingError
from app.routing.loaded import LoadedModel
from app.routing.models import ModelRegistry
from app.settings import ModelSpec

LOCAL = "local"
_LOAD_SECONDS = 3600.0
_ANSWER_SECONDS = 5.0
# Read by Ray when it is imported. What goes wrong comes as an exception; the rest is in its logs.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DATA_LOG_LEVEL": "CRITICAL",
}
# Named after the systems where it is the default: Ray takes 127.0.0.1 as this machine's address,
# and listens there only. An address given to `init` it would replace by one that others reach.
_ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


class RayMissingError(Exception):
    """Ray is not installed; the message is one short line."""


class RayError(Exception):
    """A Ray cluster can't be reached; the message is one short line."""


@dataclass(frozen=True)
class Cluster:
    """Where a pass runs: on the Ray at `address` (host:port), to which this machine belongs, or
    on one of its own (LOCAL).

    `workers`: how many, 0 for as many as there are processors for.
    """

    address: str
    workers: int = 0


@dataclass(frozen=True)
class Recipe:
    """How a worker loads the model, which must lie at the same path on every machine.

    It takes `threads` processors; `memory` is the folder of what is known about models.
    """

    spec: ModelSpec
    dtype: str
    threads: int
    memory: Path | None = None


def check_installed() -> None:
    """Raises RayMissingError without Ray."""
    if find_spec("ray") is None:
        raise RayMissingError("Ray is missing: pip install -r requirements-ray.txt")


def run_on_ray(
    loaded: LoadedModel,
    corpus: Corpus,
    order: Order,
    kept: Kept,
    cluster: Cluster,
    recipe: Recipe,
    tell: Tell = lambda _progress: None,
    stop: Stop = lambda: False,
) -> bool:
    """Goes on with a pass as `running.run` does, with the same counts; `loaded` is not run here.

    `stop` is asked after every window. Raises RayError, SourceError, RoutingError or OSError.
    """
    tally = Tally(kept, empty_counts(loaded, order), order.tokens)
    if tally.state.finished:
        return True
    start = replace(tally.state, skips=tally.state.skips.copy())
    with _connected(cluster, recipe.threads) as workers, _plain_errors():
        for part in _parts(loaded, order, start, recipe, workers):
            take(tally, part)
            tell(_progress(tally, corpus))
            if stop():
                tally.keep()
                return False
            tally.keep_if_due()
    tally.state.finished = True
    tally.keep()
    return True


def _parts(
    loaded: LoadedModel, order: Order, start: State, recipe: Recipe, workers: int
) -> Iterator[Part]:
    import ray.data

    reader = _Reader(loaded.tokenizer)

    def read(_row: Any) -> Iterator[dict[str, Piece]]:
        for piece in pieces(reader, order, start):
            yield {"piece": piece}

    # The corpus lies on the machine of the command. Reading takes no processor from the workers;
    # were it to ask for as many as they do, Ray would do both in one process.
    here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
    dataset = (
        ray.data.from_items([0])
        .flat_map(read, num_cpus=0, label_selector=here)
        .map(
            _Worker,
            fn_constructor_args=(recipe, loaded.identity.revision, order),
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=recipe.threads,
        )
    )
    for row in dataset.iter_rows():
        yield row["part"]


@dataclass(frozen=True)
class _Reader:
    tokenizer: Any


class _Worker:
    def __init__(self, recipe: Recipe, revision: str, order: Order) -> None:
        spec = recipe.spec
        registry = ModelRegistry({spec.id: spec}, recipe.dtype, recipe.threads, recipe.memory)
        self._loaded = registry.get(spec.id, _LOAD_SECONDS)
        self._order = order
        if self._loaded.identity.revision != revision:
            raise ModelLoadError(f"a worker has another revision of the model {spec.id}")

    def __call__(self, row: dict[str, Piece]) -> dict[str, Part]:
        return {"part": counted(self._loaded, self._order, row["piece"])}


def _progress(tally: Tally, corpus: Corpus) -> Progress:
    return tally.progress(corpus.done(tally.state.place or Place()), corpus.size)


@contextmanager
def _connected(cluster: Cluster, threads: int) -> Iterator[int]:
    """While it lasts Ray is there; gives how many workers to have. Raises RayError."""
    alone = cluster.address == LOCAL
    if not alone:
        _check_answers(cluster.address)
    os.environ.update(_QUIET | (_ALONE if alone else {}))
    fitting = max(1, (os.cpu_count() or 1) // threads)
    local = {
        "num_cpus": (cluster.workers or fitting) * threads,
        "include_dashboard": False,
    }
    with _hushed():
        import ray
        from ray.data import DataContext

        try:
            ray.init(
                address=cluster.address,
                logging_level=logging.CRITICAL,
                log_to_driver=False,
                **(local if alone else {}),
            )
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            raise RayError(f"no Ray answers at {cluster.address}") from error
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = True
    # A block is then one piece: whole blocks go to workers.
    context.target_max_block_size = 1
    context.raise_original_map_exception = True
    try:
        yield cluster.workers or max(1, int(ray.cluster_resources()["CPU"]) // threads)
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    # Ray itself would try for minutes.
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_SECONDS).close()
    except (OSError, ValueError):
        raise RayError(f"no Ray answers at {address}") from None


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Raises what the reader or a worker raised, freed of what Ray wraps around it."""
    try:
        yield
    except Exception as error:
        inner: BaseException | None = error
        while inner is not None:
            # Ray's wrapper is of the class of what it wraps as well.
            wrapped = getattr(inner, "cause", None)
            if wrapped is None and isinstance(inner, SourceError | RoutingError):
                # To our one line it adds some of its own.
                inner.args = (str(inner).partition("\n")[0],)
                raise inner from error
            inner = wrapped or inner.__cause__
        raise


@contextmanager
def _hushed() -> Iterator[None]:
    """Nothing is written to standard error, as Ray's compiled part does by itself."""
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
