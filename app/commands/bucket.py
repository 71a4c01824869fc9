"""`bucket`: lists, makes and removes buckets of the S3 store."""

from __future__ import annotations

import argparse
from contextlib import closing
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
from app.commands.table import columns
from app.settings import BUCKET_RULES, Settings, is_bucket_name

if TYPE_CHECKING:
    from app.recording.buckets import Buckets, Contents

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def add(commands: Any) -> None:
    """Declares the command."""
    group = commands.add_parser(
        "bucket",
        help="list, make or remove buckets of the S3 store",
        description="Administration of the buckets of the S3 store (MINIO_ENDPOINT).",
    )
    verbs = group.add_subparsers(dest="verb", metavar="VERB", required=True)
    verbs.add_parser("list", help="all buckets, with what lies in them").set_defaults(verb=_list)
    create = verbs.add_parser("create", help="make a bucket")
    create.add_argument("name", metavar="NAME")
    create.set_defaults(verb=_create)
    remove = verbs.add_parser("remove", help="empty a bucket and remove it")
    remove.add_argument("name", metavar="NAME")
    remove.add_argument("--yes", action="store_true", help="don't ask")
    remove.add_argument(
        "--yes-lose-runs",
        action="store_true",
        help="even if runs that MLflow knows lose their files",
    )
    remove.set_defaults(verb=_remove)
    group.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Does what the verb says; see each."""
    if not settings.minio_endpoint:
        raise InputError("there is no S3 store: MINIO_ENDPOINT is not set")
    name = getattr(options, "name", None)
    if name is not None and not is_bucket_name(name):
        raise InputError(f"«{name}» is no name for a bucket: {BUCKET_RULES}")
    log_file = open_log(settings)
    from app.recording.base import RecordingError
    from app.recording.buckets import Buckets, NoBucketError

    try:
        options.verb(Buckets(settings), options)
    except NoBucketError as error:
        raise InputError(str(error)) from None
    except RecordingError as error:
        raise FailedError(str(error)) from None
    except (InputError, FailedError, KeyboardInterrupt, BrokenPipeError):
        raise
    except Exception:
        return unexpected("it failed", log_file)
    return DONE


def _list(buckets: Buckets, _options: argparse.Namespace) -> None:
    rows = [["bucket", "objects", "size", "bytes", "created"]]
    for name, created in buckets.names():
        found = buckets.contents(name)
        when = created.strftime("%Y-%m-%d %H:%M:%S UTC") if created else ""
        rows.append([name, str(found.objects), _human(found.size), str(found.size), when])
    print(columns(rows, right=(1, 2, 3)))


def _create(buckets: Buckets, options: argparse.Namespace) -> None:
    made = buckets.create(options.name)
    print(f"{'created' if made else 'there already'}: {options.name}")


def _remove(buckets: Buckets, options: argparse.Namespace) -> None:
    """Removes a bucket, once it is clear that nothing is lost that somebody counts on."""
    name = options.name
    if not options.yes:
        check_can_ask("--yes")
    contents = buckets.contents(name)
    if not options.yes_lose_runs:
        _refuse_if_known(buckets, name, contents)
    print(f"{name}: {_told(contents)}", flush=True)
    if not options.yes:
        confirm("Type the bucket's name to remove it:", name)
    with closing(Bar(contents.entries, " objects")) as bar:
        try:
            buckets.remove(name, bar.show)
        except KeyboardInterrupt:
            raise FailedError(
                f"stopped after {bar.done:,} objects: the bucket «{name}» is still there with "
                "the rest; the same command goes on"
            ) from None
    print(f"removed: {name}")


def _refuse_if_known(buckets: Buckets, name: str, contents: Contents) -> None:
    from app.recording.base import RecordingError

    try:
        known = buckets.known_runs(name, contents)
    except RecordingError as error:
        raise FailedError(
            f"{error}, so it is not known whose files these are; nothing was removed "
            "(--yes-lose-runs removes them all the same)"
        ) from None
    if known:
        runs = "1 run" if known == 1 else f"{known:,} runs"
        raise InputError(
            f"{runs} that MLflow knows would lose their files; nothing was removed "
            "(--yes-lose-runs removes them all the same)"
        )


def _told(contents: Contents) -> str:
    objects = "1 object" if contents.objects == 1 else f"{contents.objects:,} objects"
    return f"{objects}, {_human(contents.size)} ({contents.size:,} bytes)"


def _human(size: int) -> str:
    """A number of bytes to two or three digits."""
    value, unit = float(size), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.1f} {_UNITS[unit]}" if unit and value < 9.95 else f"{value:.0f} {_UNITS[unit]}"
