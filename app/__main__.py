"""The command line: serve the app, or one of the other commands."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence

from app.commands import analyze, bucket, corpus, runs, train
from app.commands.common import (
    DONE,
    FAILED,
    WRONG_INPUT,
    FailedError,
    InputError,
    Parser,
    address,
    fail,
)
from app.settings import Settings, SettingsError, load_settings

_SHUTDOWN_SECONDS = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; gives its exit code."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        options = _parser().parse_args(arguments)
        settings = load_settings()
        if options.command is None:
            return serve(settings)
        code: int = options.run(options, settings)
        return code
    except (InputError, SettingsError) as error:
        return fail(str(error), WRONG_INPUT)
    except FailedError as error:
        return fail(str(error), FAILED)
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
        return fail(f"can't listen on {where}: {error.strerror or error}", FAILED)

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
    print(f"MoEScope opens at {address(settings)}", flush=True)
    server.run(sockets=[listener])
    return DONE if server.started else FAILED


def _parser() -> Parser:
    parser = Parser(
        prog="python -m app",
        description="MoEScope: see where a Mixture-of-Experts model sends every token. "
        "Without a command it serves the app.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for command in (analyze, corpus, train, bucket, runs):
        command.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
