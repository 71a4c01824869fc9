"""Which part of the address space is the API's."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.types import Scope

from app.recording.base import RunKind

UPLOADS = "/api/v1/uploads"
TABLES = "/api/v1/tables"
# The page of this address is asked for with GET.
PREDICT = "/predict"

_ROWS = re.compile(r"/api/v1/models/[^/]+/(predict|labels)")


def is_api(scope: Scope) -> bool:
    """Whether a request goes to the API, which answers with JSON only."""
    path = _path(scope)
    if path == PREDICT:
        return bool(scope["method"] == "POST")
    return path == "/api" or path.startswith("/api/")


def is_upload(scope: Scope) -> bool:
    """Whether a request hands in a corpus or a table, which streams to the disk."""
    return _path(scope) in (UPLOADS, TABLES) and scope["method"] == "POST"


def brings_rows(scope: Scope) -> bool:
    """Whether a request brings rows of a table, which can be many."""
    path = _path(scope)
    return path == PREDICT or _ROWS.fullmatch(path) is not None


def run_url(request: Request, run_id: str, kind: RunKind = "analysis") -> str:
    """The absolute address of a run's page, as the client reaches this server."""
    page = "experts?run=" if kind == "corpus" else "runs/"
    return f"{request.base_url}{page}{run_id}"


def _path(scope: Scope) -> str:
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))
