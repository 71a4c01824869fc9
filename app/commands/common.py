"""What the commands share: exit codes, errors of one line, the log, asking back."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from app.settings import Settings

if TYPE_CHECKING:
    from tqdm import tqdm

DONE, FAILED, WRONG_INPUT = 0, 1, 2


class InputError(Exception):
    """What was asked for can't be done as asked; the message is one line."""


class FailedError(Exception):
    """It could not be done for another reason; the message is one line."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage above it."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def fail(message: str, code: int) -> int:
    """Says in one line what went wrong; gives the exit code back."""
    say(message)
    return code


def say(message: str) -> None:
    """One line for the person at the terminal, apart from the output."""
    print(f"moescope: {' '.join(message.split())}", file=sys.stderr)


def address(settings: Settings) -> str:
    """Where the app is when it serves with these settings."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{settings.port}{settings.base_path}"


def open_log(settings: Settings) -> Path:
    """Sends the log to a file of the data folder; gives its path. Raises FailedError."""
    file = settings.data_dir / "moescope.log"
    # The libraries would draw progress bars over the output.
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        from app.logs import log_to

        log_to(file)
    except OSError as error:
        raise FailedError(f"can't write to {settings.data_dir}: {error.strerror}") from None
    return file


def unexpected(what: str, log_file: Path) -> int:
    """For an error that no one foresaw: the log has it, the person one line."""
    logging.getLogger(__name__).exception(what)
    return fail(f"{what}; details are in {log_file}", FAILED)


def check_can_ask(instead: str) -> None:
    """Raises InputError where nobody can be asked, naming the option to give `instead`."""
    if not sys.stdin.isatty():
        raise InputError(f"nobody can be asked here: add {instead} to do it unasked")


def confirm(question: str, answer: str) -> None:
    """Goes on only if the person types `answer`. Raises InputError otherwise."""
    print(question, end=" ", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != answer:
        raise InputError("nothing was removed: the answer was another")


class Bar:
    """A bar of progress on standard error; rarely drawn where nobody watches."""

    def __init__(self, total: int, unit: str) -> None:
        from tqdm import tqdm

        seconds = 0.1 if sys.stderr.isatty() else 10.0
        # The libraries' own bars are switched off by the environment, this one is not.
        self._bar: tqdm[NoReturn] = tqdm(total=total, unit=unit, mininterval=seconds, disable=False)

    @property
    def done(self) -> int:
        return int(self._bar.n)

    def show(self, done: int, total: int) -> None:
        """So many of so many."""
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        self._bar.close()
