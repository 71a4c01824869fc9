"""The command line: serve the app, or analyse one text."""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from app.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from app.recording.base import Receipt
    from app.routing.task import Task
    from app.routing.trace import RouterLayer, RoutingTrace, Stack

DONE, FAILED, WRONG_INPUT = 0, 1, 2
_LOAD_SECONDS = 3600.0
_RECORD_SECONDS = 120.0
_SHUTDOWN_SECONDS = 10
_WIDEST_TOKEN = 24
_SAMPLING = ("temperature", "top_p", "seed")


class InputError(Exception):
    """What was asked for can't be done as asked; the message is one line."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage above it."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; gives its exit code."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        options = _parser().parse_args(arguments)
        settings = load_settings()
        if options.command == "analyze":
            return analyze(options, settings)
        return serve(settings)
    except (InputError, SettingsError) as error:
        return _fail(str(error), WRONG_INPUT)
    except KeyboardInterrupt:
        return FAILED
    except BrokenPipeError:
        # Nobody reads on: keep the interpreter from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def serve(settings: Settings) -> int:
    """Serves until stopped. The port opens before the model has loaded."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        return _fail(f"can't listen on {where}: {error.strerror or error}", FAILED)

    # Else the last part of every answer waits for the browser's delayed acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    import uvicorn

    from app.logs import log_to
    from app.server import build

    log_to(None)
    config = uvicorn.Config(
        build(settings),
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    server = uvicorn.Server(config)
    print(f"MoEScope opens at {_address(settings)}", flush=True)
    server.run(sockets=[listener])
    return DONE if server.started else FAILED


def analyze(options: argparse.Namespace, settings: Settings) -> int:
    """One analysis: table, files, run. What goes wrong inside is told in the log."""
    task = _task(options, settings)
    for path in (options.csv, options.json):
        if path is not None:
            _check_writable(path)
    log_file = settings.data_dir / "moescope.log"
    # The libraries would draw progress bars over the table.
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        from app.logs import log_to

        log_to(log_file)
    except OSError as error:
        return _fail(f"can't write to {settings.data_dir}: {error.strerror}", FAILED)
    try:
        return _analyze(options, settings, task, log_file)
    except (InputError, KeyboardInterrupt, BrokenPipeError):
        raise
    except Exception:
        import logging

        logging.getLogger(__name__).exception("the analysis failed")
        return _fail(f"the analysis failed; details are in {log_file}", FAILED)


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
        return _fail(f"{error}; details are in {log_file}", FAILED)

    receipt: Receipt | None = None
    if options.record:
        receipt = analyst.record(trace, wait=_RECORD_SECONDS)
        analyst.recorder.close()
    link = f"{_address(settings)}/runs/{receipt.run_id}" if receipt else None
    if options.csv is not None:
        _write(options.csv, routing_csv(trace))
    if options.json is not None:
        body = json.dumps(analysis_json(trace, receipt, link), ensure_ascii=False, allow_nan=False)
        _write(options.json, body + "\n")
    print(table(trace))
    print(f"mode {trace.provenance['mode']}")
    if trace.output is not None:
        print(f"output {_printable(trace.output)}".rstrip())
    print(f"model {trace.model.id} {trace.model.revision}")
    if receipt is None:
        return DONE
    if receipt.status != "recorded":
        reason = receipt.detail or "the store did not answer in time"
        return _fail(f"not recorded: {reason}; details are in {log_file}", FAILED)
    print(f"run {receipt.run_id}")
    print(link)
    return DONE


def table(trace: RoutingTrace) -> str:
    """Tokens down, router layers across, in each cell the chosen experts in order of rank.

    + before a token marks one that the model generated, × behind the experts a token that
    their capacity left unprocessed.
    """
    blocks = []
    for stack in trace.stacks:
        layers = trace.stack_layers(stack)
        rows = [["#", f"{stack} token", *(f"block {layer.block}" for layer in layers)]]
        for index, token in enumerate(_tokens(trace, stack)):
            cells = (_cell(layer, index) for layer in layers)
            rows.append([str(index), token, *cells])
        widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
        blocks.append("\n".join(_line(row, widths) for row in rows))
    return "\n\n".join(blocks)


def _tokens(trace: RoutingTrace, stack: Stack) -> list[str]:
    sequence = trace.sequences[stack]
    tokens = [_shortened(_printable(token)) for token in sequence.tokens]
    if not sequence.generated.any():
        return tokens
    # A column of its own: the token itself may begin with +.
    marks = ["+" if generated else " " for generated in sequence.generated.tolist()]
    return [mark + token for mark, token in zip(marks, tokens, strict=True)]


def _cell(layer: RouterLayer, index: int) -> str:
    experts = ",".join(map(str, layer.experts[index].tolist()))
    return experts + ("×" if layer.dropped[index] else "")


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)]
    return "  ".join(cells).rstrip()


def _width(text: str) -> int:
    """Columns of a terminal: wide characters take two, combining ones none."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def _printable(text: str) -> str:
    # A control character in a text must not reach the terminal.
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _shortened(token: str) -> str:
    return token if len(token) <= _WIDEST_TOKEN else token[: _WIDEST_TOKEN - 1] + "…"


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


def _address(settings: Settings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{settings.port}"


def _fail(message: str, code: int) -> int:
    print(f"moescope: {' '.join(message.split())}", file=sys.stderr)
    return code


def _parser() -> Parser:
    parser = Parser(
        prog="python -m app",
        description="MoEScope: see where a Mixture-of-Experts model sends every token. "
        "Without a command it serves the app.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
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
    return parser


if __name__ == "__main__":
    sys.exit(main())
