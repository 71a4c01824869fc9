"""What went wrong with the store, in one line, and whether the store as a whole is to blame."""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

from app.recording import s3
from app.recording.base import (
    InvalidQueryError,
    RecordingError,
    RunNotFoundError,
    StoreDownError,
)
from app.recording.s3_faults import chain
from app.settings import Settings

log = logging.getLogger(__name__)

_USER_INFO = re.compile(r"//[^/@\s]+@")
_ERROR_ANSWERS = re.compile(r"too many (\d{3}) error responses")
_REFUSED = re.compile(r"failed with error code (\d{3})")
_MOST = 200
# What a file that is not there says about one run; any other refusal of the disk is about all.
_ABOUT_ONE_FILE = (None, errno.ENOENT)
# Whatever MLflow answers with one of these is about what was sent, not about the store.
_ABOUT_THE_RUN = (
    "INVALID_PARAMETER_VALUE",
    "INVALID_STATE",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
)


@contextmanager
def one_line(what: str, settings: Settings) -> Iterator[None]:
    """Turns whatever a store raises into a RecordingError of one line, and logs the rest."""
    try:
        yield
    except (RecordingError, RunNotFoundError, InvalidQueryError):
        raise
    except Exception as error:
        known = _reason(error, settings)
        if known is not None:
            log.warning("can't %s: %s", what, known, exc_info=log.isEnabledFor(logging.DEBUG))
            raise StoreDownError(known) from error
        log.exception("can't %s", what)
        raise RecordingError(f"can't {what} ({_first_line(error)})") from error


def _reason(error: BaseException, settings: Settings) -> str | None:
    """Why the store can't be used; None where that is not what went wrong."""
    return s3.reason(error, settings) or _of_mlflow(error, settings) or _of_disk(error)


def _of_mlflow(error: BaseException, settings: Settings) -> str | None:
    import requests
    import sqlalchemy.exc
    from mlflow.exceptions import MlflowException

    remote = settings.tracking_uri.startswith(("http://", "https://"))
    for link in chain(error):
        if isinstance(link, sqlalchemy.exc.DBAPIError):
            text = _first_line(link.orig or link)
            if "locked" in text:
                return "MLflow's database is locked by another process"
            return f"MLflow's database can't be used ({text})"
        if not remote:
            continue
        if isinstance(link, requests.exceptions.RequestException | TimeoutError | MlflowException):
            if isinstance(link, MlflowException) and link.error_code in _ABOUT_THE_RUN:
                continue
            return f"MLflow at {_public(settings.tracking_uri)} {_remote_fault(str(link))}"
    return None


def _remote_fault(text: str) -> str:
    """What is wrong with a tracking server, by what the client says of it."""
    if status := _ERROR_ANSWERS.search(text):
        return f"answers with error {status[1]}"
    if "failed with exception" in text or "Connection" in text or "timed out" in text:
        return "does not answer"
    if refusal := _REFUSED.search(text):
        return f"refuses the request (error {refusal[1]})"
    return f"answers with an error ({_first_line(Exception(text))})"


def _of_disk(error: BaseException) -> str | None:
    for link in chain(error):
        network = isinstance(link, ConnectionError | TimeoutError)
        if isinstance(link, OSError) and not network and link.errno not in _ABOUT_ONE_FILE:
            where = f" ({link.filename})" if link.filename else ""
            return f"the run's files can't be written: {str(link.strerror).lower()}{where}"
    return None


def _first_line(error: BaseException) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    return _USER_INFO.sub("//", f"{type(error).__name__}: {first}")[:_MOST]


def _public(uri: str) -> str:
    return _USER_INFO.sub("//", uri)
