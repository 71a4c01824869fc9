"""The files of a run, and how each is made from its trace. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import plotly.io

from app.recording.export import analysis_values, routing_csv
from app.recording.measures import Measures, measure
from app.recording.report import report
from app.recording.summary import summary
from app.recording.tables import routing_parquet
from app.routing.trace import RoutingTrace

# Figures by name, as plain dicts.
Draw = Callable[[RoutingTrace], Mapping[str, Mapping[str, Any]]]
# Called between pieces of work in the background: waits while others should go first.
GiveWay = Callable[[], None]
Make = Callable[[RoutingTrace, Measures], bytes | None]

_CONFIG = {"displaylogo": False, "showSendToCloud": False, "responsive": True}


def _json(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, ensure_ascii=False, allow_nan=False).encode()


def _text(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


# In the order in which a run shows them.
_MADE: dict[str, Make] = {
    "summary.md": lambda trace, measures: summary(trace, measures).encode(),
    "routing.csv": lambda trace, _: routing_csv(trace).encode(),
    "routing.parquet": lambda trace, _: routing_parquet(trace),
    "analysis.json": lambda trace, measures: _json(analysis_values(trace, measures)),
    "metrics.json": lambda trace, measures: _json(report(trace, measures)),
    "trace.npz": lambda trace, _: trace.to_bytes(),
    "text.txt": lambda trace, _: _text(trace.text),
    "target.txt": lambda trace, _: _text(trace.target),
    "output.txt": lambda trace, _: _text(trace.output),
}
MEDIA_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "json": "application/json",
    "md": "text/markdown; charset=utf-8",
    "npz": "application/octet-stream",
    "parquet": "application/vnd.apache.parquet",
    "txt": "text/plain; charset=utf-8",
    "zip": "application/zip",
    "": "text/plain; charset=utf-8",
}
NAMES = tuple(_MADE)


def contents(trace: RoutingTrace, measures: Measures, draw: Draw) -> Iterator[tuple[str, bytes]]:
    """Path and content of each file, figures last, their pages small ones."""
    for path, make in _MADE.items():
        made = make(trace, measures)
        if made is not None:
            yield path, made
    for name, figure in draw(trace).items():
        yield f"figures/{name}.json", figure_json(figure)
        yield f"figures/{name}.html", figure_html(name, figure, "cdn")


def content(trace: RoutingTrace, path: str, draw: Draw) -> bytes | None:
    """One of the files, None if a run of this trace has none of that name.

    A figure's page has the drawing code inside, so that it opens without a network.
    """
    if path in _MADE:
        return _MADE[path](trace, measure(trace))
    name, _, ending = path.removeprefix("figures/").rpartition(".")
    if not path.startswith("figures/") or ending not in ("json", "html"):
        return None
    figure = draw(trace).get(name)
    if figure is None:
        return None
    return figure_json(figure) if ending == "json" else figure_html(name, figure, True)


def media_type(path: str) -> str:
    """What a file's content is, by its name's ending."""
    return MEDIA_TYPES[path.rpartition("/")[2].partition(".")[2]]


def figure_json(figure: Mapping[str, Any]) -> bytes:
    """A figure as plotly's JSON, which its libraries in every language read."""
    written: str = plotly.io.to_json(figure, validate=False)
    return written.encode()


def figure_html(name: str, figure: Mapping[str, Any], code: bool | str) -> bytes:
    """A figure as a page, with the drawing code inside (`True`) or from where `code` says."""
    # Without an id of its own every page would be another one.
    written: str = plotly.io.to_html(
        figure, config=_CONFIG, include_plotlyjs=code, validate=False, div_id=name
    )
    return written.encode()
