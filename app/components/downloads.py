"""Menus that save what is shown: a run's files, and a figure as picture or page.

Links without an address get theirs in the browser once there is a run, see `offer` in
assets/moescope.js.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from dash import html
from dash.development.base_component import Component

from app.components import ids
from app.components.attributes import attributes

_RUN_FILES = (
    ("routing.parquet", "Parquet"),
    ("analysis.json", "JSON"),
    ("trace.npz", "Trace (NumPy)"),
    ("summary.md", "Summary"),
)
_FIGURES = (
    ("flow", "Flows"),
    ("tokens_by_layer", "Tokens × layers"),
    ("load", "Load"),
    ("measures", "Measures"),
)
_PICTURES = (("png", "PNG"), ("svg", "SVG"))
_NO_RUN = "Files are there once the analysis is recorded."


class Picture(NamedTuple):
    """A graph that can be saved: its id, the name of its file, and what tells it from others
    in the same menu."""

    graph: str
    name: str
    label: str = ""


def run_menu() -> html.Details:
    """The run's files besides the CSV."""
    items: list[Component] = [_file(path, label) for path, label in _RUN_FILES]
    items.append(html.P("Pages that open offline", className="quiet"))
    items += [_file(f"figures/{name}.html", label) for name, label in _FIGURES]
    return _menu("More", "More files of this run", items, ids.DOWNLOADS)


def figure_menu(title: str, pictures: Sequence[Picture], recorded: str | None = None) -> Component:
    """Pictures of a panel's graphs as they are shown; `recorded` names the run's figure."""
    items: list[Component] = [
        html.Button(
            f"{label}{f', {picture.label}' if picture.label else ''}",
            type="button",
            className="link",
            **attributes(data_picture=picture.graph, data_format=format_, data_name=picture.name),
        )
        for picture in pictures
        for format_, label in _PICTURES
    ]
    if recorded:
        items.append(_file(f"figures/{recorded}.html", "Page that opens offline"))
    return _menu("Save", f"Save «{title}»", items)


def _file(path: str, label: str) -> html.A:
    return html.A(
        label,
        className="action",
        download="",
        role="link",
        **attributes(data_file=path, aria_disabled="true"),
    )


def _menu(
    word: str, label: str, items: Sequence[Component], id_: str | None = None
) -> html.Details:
    named: dict[str, Any] = {"id": id_} if id_ else {}
    waits = any("data-file" in item.to_plotly_json()["props"] for item in items)
    reason = [html.P(_NO_RUN, className="quiet no-run")] if waits else []
    return html.Details(
        [
            html.Summary(word, **attributes(aria_label=label)),
            html.Div([*items, *reason], className="menu-items"),
        ],
        className="menu",
        **named,
    )
