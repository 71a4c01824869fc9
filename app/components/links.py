"""Addresses of our own pages, as the browser asks for them behind a base path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import get_relative_path


def to(path: str) -> str:
    """The address of a path of ours, such as `/runs/abc`: the base path goes before it.

    Every `href` of a page is made with it; scripts in the browser have `moescope.to`.
    """
    try:
        return str(get_relative_path(path))
    except AttributeError:
        # No application was made yet: a component stands alone, as in a test.
        return path


def once(given: Mapping[str, Any]) -> dict[str, Any]:
    """An address's names and values; a name that stands twice comes as a list, its first counts."""
    return {name: v[0] if isinstance(v, list) else v for name, v in given.items()}
