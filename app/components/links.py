"""Addresses of our own pages, as the browser asks for them behind a base path."""

from __future__ import annotations

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
