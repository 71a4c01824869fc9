"""`runs delete`: retention, by age or by count."""

from __future__ import annotations

import argparse
import math
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from app.commands.common import (
    DONE,
    Bar,
    FailedError,
    InputError,
    check_can_ask,
    confirm,
    open_log,
    unexpected,
)
from app.settings import Settings

if TYPE_CHECKING:
    from app.recording.base import Recorder, RunSummary

_PAGE = 500
_LOOK_SECONDS = 0.2
# What can't be deleted is tried again once a minute.
_PATIENCE_SECONDS = 150.0
_GOES_ON = "it goes on when the app runs again"


def add(commands: Any) -> None:
    """Declares the command."""
    group = commands.add_parser(
        "runs", help="delete recorded runs", description="Administration of the recorded runs."
    )
    verbs = group.add_subparsers(dest="verb", metavar="VERB", required=True)
    delete = verbs.add_parser(
        "delete",
        help="delete recorded runs by age or by count",
        description="Delete recorded runs with their files, at once and for good. With both "
        "conditions only runs that meet both are deleted.",
    )
    delete.add_argument(
        "--older-than", metavar="DAYS", type=float, help="runs recorded more than DAYS days ago"
    )
    delete.add_argument("--keep", metavar="N", type=int, help="runs that are not the newest N")
    delete.add_argument("--yes", action="store_true", help="don't ask")
    group.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Deletes what the conditions say, after asking."""
    before = _check(options)
    if not options.yes:
        check_can_ask("--yes")
    log_file = open_log(settings)
    from app.analysis import build_analyst
    from app.recording.base import RecordingError

    recorder = build_analyst(settings).recorder
    try:
        found = _recorded(recorder)
        old = [
            each for each in found[options.keep or 0 :] if before is None or each.created < before
        ]
        if not old:
            print(f"nothing to delete: {_count(len(found))} recorded")
            return DONE
        print(
            f"to delete: {len(old):,} of {_count(len(found))}, recorded from "
            f"{old[-1].created:%Y-%m-%d %H:%M} to {old[0].created:%Y-%m-%d %H:%M} UTC",
            flush=True,
        )
        if not options.yes:
            confirm("Type delete to delete them for good:", "delete")
        _delete(recorder, [each.run_id for each in old])
        print(f"deleted: {_count(len(old))}")
        return DONE
    except RecordingError as error:
        raise FailedError(str(error)) from None
    except (InputError, FailedError, KeyboardInterrupt, BrokenPipeError):
        raise
    except Exception:
        return unexpected("it failed", log_file)
    finally:
        recorder.close()


def _check(options: argparse.Namespace) -> datetime | None:
    """Refuses senseless conditions; gives the time that runs must be older than."""
    if options.older_than is None and options.keep is None:
        raise InputError("say which: --older-than DAYS, --keep N or both")
    if options.keep is not None and options.keep < 0:
        raise InputError("--keep can't be less than 0")
    if options.older_than is None:
        return None
    if not math.isfinite(options.older_than) or options.older_than < 0:
        raise InputError("--older-than must be a number of days, 0 or more")
    try:
        return datetime.now(UTC) - timedelta(days=options.older_than)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def _recorded(recorder: Recorder) -> list[RunSummary]:
    """All recorded runs, the newest first. Waiting ones are none yet."""
    found: dict[str, RunSummary] = {}
    cursor: str | None = None
    while True:
        page = recorder.history(_PAGE, cursor)
        if page.notice:
            raise FailedError(f"not all runs can be listed, so none is deleted. {page.notice}")
        found |= {each.run_id: each for each in page.runs if each.status == "recorded"}
        cursor = page.next
        if cursor is None:
            return sorted(found.values(), key=lambda each: each.created, reverse=True)


def _delete(recorder: Recorder, ids: list[str]) -> None:
    """Returns once the store has no more of them. They are gone for people at once."""
    recorder.delete(ids, undo_seconds=0)
    recorder.start()
    total = recorder.state().deletions
    moved = time.monotonic()
    with closing(Bar(total, " runs")) as bar:
        try:
            while left := (state := recorder.state()).deletions:
                if bar.done < total - left:
                    moved = time.monotonic()
                elif time.monotonic() - moved > _PATIENCE_SECONDS:
                    raise FailedError(f"{_hidden(left)}: the log says why; {_GOES_ON}")
                bar.show(total - left, total)
                if state.down:
                    raise FailedError(f"{_hidden(left)}: {state.down}; {_GOES_ON}")
                time.sleep(_LOOK_SECONDS)
        except KeyboardInterrupt:
            raise FailedError(f"stopped: {_hidden(left)}; {_GOES_ON}") from None
        bar.show(total, total)


def _hidden(left: int) -> str:
    return f"{_count(left)} hidden, but not deleted yet"


def _count(runs: int) -> str:
    return "1 run" if runs == 1 else f"{runs:,} runs"
