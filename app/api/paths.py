"""Which part of the address space is the API's."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import Scope

UPLOADS = "/api/v1/uploads"


def is_api(scope: Scope) -> bool:
    """Whether a request goes to the API, which answers with JSON only."""
    path = str(scope["path"]).removeprefix(scope.get("root_path", ""))
    return path == "/api" or path.startswith("/api/")


def is_upload(scope: Scope) -> bool:
    """Whether a request hands in a corpus, which streams to the disk."""
    path = str(scope["path"]).removeprefix(scope.get("root_path", ""))
    return path == UPLOADS and scope["method"] == "POST"


def run_url(request: Request, run_id: str) -> str:
    """The absolute address of a run's page, as the client reaches this server."""
    return f"{request.base_url}runs/{run_id}"
