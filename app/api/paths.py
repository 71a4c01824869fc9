"""Which part of the address space is the API's."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import Scope

from app.recording.base import RunKind

UPLOADS = "/api/v1/uploads"
TABLES = "/api/v1/tables"


def is_api(scope: Scope) -> bool:
    """Whether a request goes to the API, which answers with JSON only."""
    path = str(scope["path"]).removeprefix(scope.get("root_path", ""))
    return path == "/api" or path.startswith("/api/")


def is_upload(scope: Scope) -> bool:
    """Whether a request hands in a corpus or a table, which streams to the disk."""
    path = str(scope["path"]).removeprefix(scope.get("root_path", ""))
    return path in (UPLOADS, TABLES) and scope["method"] == "POST"


def run_url(request: Request, run_id: str, kind: RunKind = "analysis") -> str:
    """The absolute address of a run's page, as the client reaches this server."""
    page = "experts?run=" if kind == "corpus" else "runs/"
    return f"{request.base_url}{page}{run_id}"
