"""How much of a router's choices the surface of the tokens tells, over its layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.figures.labels import number
from app.figures.theme import LIGHT, Theme, axis_title, base_layout, thinned

_HEIGHT = 300
_TITLES = {
    "accuracy": "accuracy (hollow: the majority expert)",
    "log_loss": "log loss, nats (hollow: the entropy of the load)",
}


@dataclass(frozen=True)
class Explained:
    """The best model of one layer on the tokens held out, and what load alone tells of them:
    metrics by name, means with `NAME_low` and `NAME_high`. `labels` are the document's that it
    knows beside the surface, `training` is the training's id."""

    layer: int
    name: str
    best: Mapping[str, float]
    baseline: Mapping[str, float]
    labels: tuple[str, ...] = ()
    training: str = ""


def explained_figure(layers: Sequence[Explained], theme: Theme = LIGHT) -> dict[str, Any]:
    """Accuracy above log loss over the layers, with their 95 % intervals, beside the baseline."""
    x = [each.layer for each in layers]
    data = []
    for axis, metric in (("y", "accuracy"), ("y2", "log_loss")):
        data.append(_points(layers, x, metric, axis, theme, best=False))
        data.append(_points(layers, x, metric, axis, theme, best=True))
    return {
        "data": data,
        "layout": {
            **base_layout(theme),
            "height": _HEIGHT,
            "margin": {"l": 48, "r": 16, "t": 24, "b": 44},
            "xaxis": {
                **_axis(),
                "tickvals": x[:: thinned(len(x), 16)],
                "ticktext": [f"{each + 1}" for each in x[:: thinned(len(x), 16)]],
                "range": [min(x, default=0) - 0.4, max(x, default=0) + 0.4],
                "title": axis_title("router layer", 4),
                "anchor": "y2",
            },
            "yaxis": {**_axis(), "domain": [0.58, 1], "range": [0, 1], "nticks": 5},
            "yaxis2": {**_axis(), "domain": [0, 0.4], "rangemode": "tozero", "nticks": 4},
            "annotations": [_title(1, _TITLES["accuracy"]), _title(0.4, _TITLES["log_loss"])],
        },
    }


def explained_summary(layers: Sequence[Explained]) -> str:
    """The figure in words."""
    return " ".join(
        f"Layer {each.layer + 1}: accuracy {number(each.best['accuracy'])}, of the majority expert "
        f"{number(each.baseline['accuracy'])}; log loss {number(each.best['log_loss'])} nats, "
        f"entropy of the load {number(each.baseline['log_loss'])}."
        for each in layers
    )


def _points(
    layers: Sequence[Explained], x: list[int], metric: str, axis: str, theme: Theme, best: bool
) -> dict[str, Any]:
    of = [each.best if best else each.baseline for each in layers]
    values = [each.get(metric) for each in of]
    color = theme.load if best else theme.muted
    found: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": x,
        "y": values,
        "yaxis": axis,
        "line": {"color": color, "width": 2 if best else 1, "dash": "solid" if best else "dot"},
        "marker": {"color": color, "size": 7, "symbol": "circle" if best else "circle-open"},
        "hovertext": [_hover(each, metric, best) for each in layers],
        "hovertemplate": "%{hovertext}<extra></extra>",
        "cliponaxis": False,
    }
    if best:
        found["error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": [_reach(each, metric, "high") for each in of],
            "arrayminus": [-_reach(each, metric, "low") for each in of],
            "color": color,
            "thickness": 1,
            "width": 3,
        }
    return found


def _reach(of: Mapping[str, float], metric: str, end: str) -> float:
    """From the mean to an end of its interval."""
    mean = of.get(metric, 0.0)
    return of.get(f"{metric}_{end}", mean) - mean


def _hover(each: Explained, metric: str, best: bool) -> str:
    of = each.best if best else each.baseline
    words = f"{each.name}<br>{metric.replace('_', ' ')} {number(of.get(metric, float('nan')))}"
    if best and each.labels:
        words += f"<br>knows the labels {', '.join(each.labels)}"
    low, high = of.get(f"{metric}_low"), of.get(f"{metric}_high")
    if low is None or high is None:
        return words
    return f"{words}<br>95 %: {number(low)} to {number(high)}"


def _axis() -> dict[str, Any]:
    return {"showgrid": False, "zeroline": False, "fixedrange": True, "ticks": ""}


def _title(y: float, text: str) -> dict[str, Any]:
    place = {"xref": "paper", "yref": "paper", "x": 0, "xanchor": "left", "yanchor": "bottom"}
    return {**place, "y": y, "yshift": 4, "showarrow": False, "text": text}
