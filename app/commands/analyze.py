"""`analyze`: one text, its table, its files, its run."""

from __future__ import annotations

import argparse
import json
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
from app.commands.table import printable, table
from app.settings import Settings

if TYPE_CHECKING:
    from app.recording.base import Receipt
    from app.routing.task import Task

_LOAD_SECONDS = 3600.0
_RECORD_SECONDS = 120.0
_SAMPLING = ("temperature", "top_p", "seed")


def add(commands: Any) -> None:
    """Declares the command."""
    one = commands.add_parser(
        "analyze",
        help="analyse one text",
        description="Analyse one text. The table has tokens down, router layers across, and in "
        "each cell the chosen experts; + before a token marks one that the model generated, "
        "× behind the experts one that their capacity left unprocessed.",
    )
    one.add_argument("text", metavar="TEXT", help="the text; - reads standard input")
    one.add_argument("--model", metavar="ID", help="a model of MOESCOPE_MODELS")
    one.add_argument(
        "--target", metavar="TEXT", help="force the decoder to this text (encoder-decoder models)"
    )
    one.add_argument("--generate", metavar="N", type=int, help="let the model make N tokens")
    one.add_argument("--sample", action="store_true", help="sample them; else the likeliest")
    one.add_argument("--temperature", metavar="X", type=float, help="of sampling, 1 by default")
    one.add_argument("--top-p", metavar="X", type=float, help="of sampling, 1 by default")
    one.add_argument("--seed", metavar="N", type=int, help="of sampling, 0 by default")
    one.add_argument(
        "--capacity", metavar="N", type=int, help="expert capacity in tokens, not the model's own"
    )
    one.add_argument("--csv", metavar="FILE", type=Path, help="write routing.csv there")
    one.add_argument("--json", metavar="FILE", type=Path, help="write the analysis there")
    one.add_argument(
        "--no-record", dest="record", action="store_false", help="don't keep it as a run"
    )
    one.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    """One analysis: table, files, run. What goes wrong inside is told in the log."""
    task = _task(options, settings)
    for path in (options.csv, options.json):
        if path is not None:
            _check_writable(path)
    log_file = open_log(settings)
    try:
        return _analyze(options, settings, task, log_file)
    except (InputError, KeyboardInterrupt, BrokenPipeError):
        raise
    except Exception:
        return unexpected("the analysis failed", log_file)


def _analyze(options: argparse.Namespace, settings: Settings, task: Task, log_file: Path) -> int:
    from app.analysis import build_analyst
    from app.recording.export import analysis_json, routing_csv
    from app.routing.errors import (
        InvalidTaskError,
        InvalidTextError,
        RoutingError,
        TextTooLongError,
        UnknownModelError,
    )

    analyst = build_analyst(settings)
    try:
        if options.model is not None:
            analyst.registry.status(options.model)
        if options.record:
            analyst.recorder.start()
        trace = analyst.trace(task, options.model, _LOAD_SECONDS)
    except (InvalidTaskError, InvalidTextError, TextTooLongError, UnknownModelError) as error:
        raise InputError(str(error)) from None
    except RoutingError as error:
        return fail(f"{error}; details are in {log_file}", FAILED)

    receipt: Receipt | None = None
    if options.record:
        receipt = analyst.record(trace, wait=_RECORD_SECONDS)
        analyst.recorder.close()
    kept = (receipt.run_id or receipt.id) if receipt else ""
    link = f"{address(settings)}/runs/{kept}" if kept else None
    if options.csv is not None:
        _write(options.csv, routing_csv(trace))
    if options.json is not None:
        body = json.dumps(analysis_json(trace, receipt, link), ensure_ascii=False, allow_nan=False)
        _write(options.json, body + "\n")
    print(table(trace))
    print(f"mode {trace.provenance['mode']}")
    if trace.output is not None:
        print(f"output {printable(trace.output)}".rstrip())
    print(f"model {trace.model.id} {trace.model.revision}")
    if receipt is None:
        return DONE
    if receipt.status == "failed":
        return fail(f"not recorded: {receipt.detail}; details are in {log_file}", FAILED)
    print(f"run {kept}")
    print(link)
    if receipt.status == "pending":
        reason = receipt.detail or "the store did not answer in time"
        say(f"kept, not yet in MLflow: {reason}; it goes there when the app runs again")
    return DONE


def _check_combination(options: argparse.Namespace) -> None:
    """Refuses an option that would be without effect."""
    if options.sample and options.generate is None:
        raise InputError("--sample needs --generate")
    for name in _SAMPLING:
        if getattr(options, name) is not None and not options.sample:
            raise InputError(f"--{name.replace('_', '-')} needs --sample")


def _task(options: argparse.Namespace, settings: Settings) -> Task:
    """What is asked of the model, refused at once where no model could do it."""
    from app.routing.errors import RoutingError
    from app.routing.task import Generation, Task

    _check_combination(options)
    given = {name: getattr(options, name) for name in _SAMPLING}
    sampling = {name: value for name, value in given.items() if value is not None}
    generation = (
        Generation(options.generate, options.sample, **sampling)
        if options.generate is not None
        else None
    )
    task = Task(_text(options.text), options.target, generation, options.capacity)
    try:
        task.check(settings.max_tokens)
    except RoutingError as error:
        raise InputError(str(error)) from None
    return task


def _text(argument: str) -> str:
    if argument != "-":
        return argument
    try:
        return sys.stdin.buffer.read().decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise InputError("standard input is not valid UTF-8") from None


def _check_writable(path: Path) -> None:
    target = path if path.exists() else path.parent
    if path.is_dir():
        raise InputError(f"can't write {path}: it is a folder")
    if not target.exists():
        raise InputError(f"can't write {path}: there is no folder {path.parent}")
    if not os.access(target, os.W_OK):
        raise InputError(f"can't write {path}: permission denied")


def _write(path: Path, content: str) -> None:
    try:
        path.write_text(content, encoding="utf-8", newline="")
    except OSError as error:
        raise InputError(f"can't write {path}: {error.strerror}") from None
