"""`corpus`: a pass over files, its counts, its run."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.commands.common import (
    DONE,
    FAILED,
    InputError,
    address,
    fail,
    open_log,
    say,
    unexpected,
)
from app.settings import Settings

if TYPE_CHECKING:
    from tqdm import tqdm

    from app.corpus.on_ray import Cluster
    from app.corpus.order import Order, Progress

# The live page comes first.
_NICE = 10


def add(commands: Any) -> None:
    """Declares the command."""
    one = commands.add_parser(
        "corpus",
        help="count a corpus' routing",
        description="Run a model over a corpus and count which expert takes what. Files are plain "
        "text (a document a line), CSV, JSONL or Parquet, gzipped or not. A pass that was stopped "
        "goes on where it was when it is asked for again.",
    )
    one.add_argument("files", metavar="FILE", nargs="*", type=Path, help="the corpus")
    one.add_argument("--text", metavar="COLUMN", help="the column with the text; guessed otherwise")
    one.add_argument(
        "--label",
        metavar="COLUMN",
        action="append",
        help="a column to compare experts by, may be given again; guessed otherwise",
    )
    one.add_argument("--no-labels", action="store_true", help="compare by no column")
    one.add_argument("--name", metavar="NAME", help="of the run; the first file's otherwise")
    one.add_argument("--model", metavar="ID", help="a model of MOESCOPE_MODELS")
    one.add_argument(
        "--max-tokens", metavar="N", type=int, help="read so many of each document's tokens"
    )
    one.add_argument(
        "--tokens", action="store_true", help="also write every token's routing, as Parquet"
    )
    one.add_argument("--anew", action="store_true", help="begin again, also where it could go on")
    one.add_argument(
        "--no-record", dest="record", action="store_false", help="don't keep it as a run"
    )
    one.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="run on the Ray cluster of this address; «local» starts one on this machine",
    )
    one.add_argument(
        "--workers",
        metavar="N",
        type=int,
        help="so many processes on Ray, each with the model; as many as fit otherwise",
    )
    # How the server has a pass done, by its id.
    one.add_argument("--job", metavar="ID", help=argparse.SUPPRESS)
    one.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    """One pass. What goes wrong inside is told in the log."""
    if options.no_labels and options.label:
        raise InputError("give --label or --no-labels, not both")
    if not options.files and not options.job:
        raise InputError("which files? give one or more")
    if options.workers is not None and (options.workers < 1 or not options.ray):
        raise InputError("--workers takes 1 or more, and goes with --ray")
    log_file = open_log(settings)
    try:
        return _job(options.job, settings) if options.job else _run(options, settings, log_file)
    except InputError:
        raise
    except KeyboardInterrupt:
        say("stopped; the same command goes on from here")
        return FAILED
    except Exception:
        return unexpected("the pass failed", log_file)


def _run(options: argparse.Namespace, settings: Settings, log_file: Path) -> int:
    from app.commands.corpus_summary import summary
    from app.corpus.on_ray import RayError
    from app.corpus.reading.source import SourceError
    from app.corpus.state import BusyPassError, id_of
    from app.passes import Passes
    from app.recording.base import RecordingError
    from app.routing.errors import RoutingError, UnknownModelError

    cluster = _cluster(options)
    passes = Passes(settings)
    library = passes.library
    model = options.model or passes.registry.default
    try:
        passes.registry.status(model)
        order, size = _order(options, settings, model)
    except (SourceError, UnknownModelError) as error:
        raise InputError(str(error)) from None
    id_ = id_of(order)
    if options.anew:
        library.remove(id_)
    library.submit(id_, order, size)
    if before := library.find(id_).progress.documents:
        say(f"goes on after {before:,} documents")
    bar = _Bar(size)
    try:
        passes.go_on(id_, bar.show, cluster=cluster)
    except (SourceError, RoutingError, RayError, BusyPassError) as error:
        return fail(f"{error}; details are in {log_file}", FAILED)
    finally:
        bar.close()
    print(summary(library.find(id_), library.counts(id_), library.pieces(id_)))
    if not options.record:
        return DONE
    try:
        run_id = passes.record(id_)
    except (RecordingError, SourceError, BusyPassError) as error:
        return fail(f"counted, but not recorded: {error}; the same command tries again", FAILED)
    print(f"run {run_id}")
    print(f"{address(settings)}/experts?run={run_id}")
    return DONE


def _job(id_: str, settings: Settings) -> int:
    """A pass of the library, for a server that watches its folder; ends with that server."""
    from app.corpus.library import PassNotFoundError
    from app.corpus.reading.source import SourceError
    from app.corpus.state import BusyPassError
    from app.passes import Passes
    from app.recording.base import RecordingError
    from app.routing.errors import RoutingError

    passes = Passes(settings)
    parent = os.getppid()
    os.nice(_NICE)
    try:
        done = passes.go_on(
            id_,
            lambda _progress: None,
            lambda: passes.library.wanted(id_) != "run" or os.getppid() != parent,
        )
        if done:
            passes.record(id_)
    except (PassNotFoundError, BusyPassError):
        return DONE  # removed meanwhile, or another server is at it
    except (SourceError, RoutingError, RecordingError) as error:
        passes.library.failed(id_, str(error))
        return FAILED
    except OSError:
        if passes.library.folder(id_).exists():
            raise
    return DONE


def _cluster(options: argparse.Namespace) -> Cluster | None:
    """The Ray that is asked for."""
    if not options.ray:
        return None
    from app.corpus.on_ray import Cluster, RayMissingError, check_installed

    try:
        check_installed()
    except RayMissingError as error:
        raise InputError(str(error)) from None
    return Cluster(options.ray, options.workers or 0)


def _order(options: argparse.Namespace, settings: Settings, model: str) -> tuple[Order, int]:
    """What is asked for, with the columns that were named or guessed; and the files' bytes."""
    from app.corpus.order import Order
    from app.corpus.reading.source import Corpus, Selection, describe

    guess = Selection.guess(describe(options.files[0]))
    labels = () if options.no_labels else tuple(options.label or guess.labels)
    selection = Selection(options.text or guess.text, labels)
    corpus = Corpus(options.files, selection)
    limit = options.max_tokens if options.max_tokens is not None else settings.max_tokens
    if not 1 <= limit <= settings.max_tokens:
        raise InputError(f"--max-tokens must be from 1 to {settings.max_tokens}")
    order = Order(
        files=tuple(str(path.resolve()) for path in options.files),
        text=selection.text,
        labels=selection.labels,
        model=model,
        max_tokens=limit,
        name=options.name or options.files[0].name,
        tokens=options.tokens,
    )
    say(f"text in «{order.text}», labels {', '.join(order.labels) or 'none'}")
    return order, corpus.size


class _Bar:
    """Bytes read, documents, tokens per second and the time left, on standard error."""

    def __init__(self, size: int) -> None:
        from tqdm import tqdm

        seconds = 0.2 if sys.stderr.isatty() else 10.0
        self._bar: tqdm[Any] = tqdm(
            total=size, unit="B", unit_scale=True, mininterval=seconds, disable=False
        )

    def show(self, progress: Progress) -> None:
        self._bar.set_postfix_str(
            f"{progress.documents:,} documents, {progress.tokens:,} tokens, "
            f"{progress.speed:,.0f} tokens/s",
            refresh=False,
        )
        self._bar.update(progress.done - self._bar.n)

    def close(self) -> None:
        self._bar.close()
