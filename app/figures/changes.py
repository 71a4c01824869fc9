"""Which tokens another expert took: the tokens of two runs side by side × layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from app.figures.labels import (
    MOST_NAMED,
    dropped_text,
    layer_label,
    layer_place,
    layer_ticks,
    token_label,
)
from app.figures.theme import (
    LIGHT,
    MONO,
    Theme,
    base_layout,
    cell_axis,
    cell_texts,
    expert_colors,
    ink,
    rgba,
)
from app.routing.comparison import Comparison, LayerComparison, StackComparison
from app.routing.trace import RouterLayer, TokenSequence

MOST_COLUMNS = 600
_CELL_HEIGHT = 24
_CELL_WIDTH = 30
_DIGIT_WIDTH = 8
_MARGIN = {"l": 64, "r": 48, "t": 80, "b": 4}
_NOTE = 20
# Of a cell from −½ to ½: strokes up to the right in a, down in b.
_STROKES = ((-0.44, -0.06, -0.06, -0.42), (-0.44, 0.42, 0.44, -0.42), (0.06, 0.42, 0.44, 0.06))

Kind = Literal["same", "changed", "a", "b"]


@dataclass(frozen=True)
class Column:
    """A token of a, of b, or a pair of both: indices, None where there is none."""

    a: int | None
    b: int | None


@dataclass(frozen=True)
class _Cell:
    kind: Kind
    text: str
    color: str
    hover: str


def columns(part: StackComparison) -> list[Column]:
    """All tokens of both in reading order; those of a alone before those of b alone."""
    found: list[Column] = []
    only_a, only_b = part.alignment.only_a.tolist(), part.alignment.only_b.tolist()
    ends = (part.alignment.tokens_a, part.alignment.tokens_b)
    for a, b in [*part.alignment.pairs.tolist(), ends]:
        while only_a and only_a[0] < a:
            found.append(Column(only_a.pop(0), None))
        while only_b and only_b[0] < b:
            found.append(Column(None, only_b.pop(0)))
        found.append(Column(a, b))
    return found[:-1]


def changes_figure(
    comparison: Comparison, part: StackComparison, theme: Theme = LIGHT
) -> dict[str, Any] | None:
    """One column per pair of aligned tokens, or token of one run alone; one row per layer.

    A pair with the same experts is quiet and shows their numbers; where they changed, the
    cell says which went and which came, `3→5`, in the colour of the one that came. × is
    dropped. What only one run has is hatched and named. Beyond 600 columns the rest is
    counted, not drawn. None where expert numbers of the two are unrelated.
    """
    if part.relation == "other":
        return None
    one, other = (t.sequences[part.stack] for t in (comparison.a, comparison.b))
    all_columns = columns(part)
    shown = all_columns[:MOST_COLUMNS]
    layers = [each.a for each in part.layers]
    colors = expert_colors(
        theme, tuple(layer for each in part.layers for layer in (each.a, each.b))
    )
    labels = [_label(column, one, other) for column in shown]
    cells = []
    for index, each in enumerate(part.layers):
        place = f"{layer_label(index).lower()} ({layer_place(each.a, layers)})"
        cells.append([_cell(column, each, place, one, other, colors, theme) for column in shown])
    ticks = layer_ticks(layers)
    left = max(_MARGIN["l"], 16 + 7 * max(map(len, ticks)))
    longest = max(len(cell.text) for row in cells for cell in row)
    width = max(_CELL_WIDTH, 8 + _DIGIT_WIDTH * longest)
    note = _NOTE if len(all_columns) > len(shown) else 0
    palette = [theme.ground, *colors]
    return {
        "data": [
            {
                "type": "heatmap",
                "z": [[palette.index(cell.color) for cell in row] for row in cells],
                "zmin": 0,
                "zmax": len(palette) - 1,
                "colorscale": _steps(palette),
                "showscale": False,
                "hovertext": [[cell.hover for cell in row] for row in cells],
                "hovertemplate": "%{hovertext}<extra></extra>",
                "xgap": 2,
                "ygap": 2,
            },
            _hatching(cells, theme),
            cell_texts(
                [[cell.text for cell in row] for row in cells],
                [
                    [ink(c.color) if c.kind == "changed" else theme.muted for c in row]
                    for row in cells
                ],
            ),
        ],
        "layout": {
            **base_layout(theme),
            "width": left + _MARGIN["r"] + len(shown) * width,
            "height": _MARGIN["t"] + _MARGIN["b"] + note + len(cells) * _CELL_HEIGHT,
            "margin": {**_MARGIN, "l": left, "b": _MARGIN["b"] + note},
            "xaxis": {
                **cell_axis(labels),
                "side": "top",
                "tickangle": -50,
                "tickfont": {"family": MONO, "size": 12},
            },
            "yaxis": cell_axis(ticks, reverse=True),
            "annotations": [_rest(len(shown), len(all_columns), theme)] if note else [],
        },
    }


def _label(column: Column, one: TokenSequence, other: TokenSequence) -> str:
    if column.a is None:
        assert column.b is not None
        return f"<b>b:</b> {token_label(other.tokens[column.b], 8)}"
    if column.b is None:
        return f"<b>a:</b> {token_label(one.tokens[column.a], 8)}"
    a, b = one.tokens[column.a], other.tokens[column.b]
    return token_label(a, 10) if a == b else f"{token_label(a, 7)}|{token_label(b, 7)}"


def _cell(
    column: Column,
    each: LayerComparison,
    place: str,
    one: TokenSequence,
    other: TokenSequence,
    colors: list[str],
    theme: Theme,
) -> _Cell:
    a, b = column.a, column.b
    lines = []
    if a is not None:
        lines.append(f"a: {_told(each.a, a, one)}")
    if b is not None:
        lines.append(f"b: {_told(each.b, b, other)}")
    if a is None:
        assert b is not None
        hover = "<br>".join(["only in b", place, *lines])
        return _Cell("b", _numbers(each.b, b), theme.ground, hover)
    if b is None:
        return _Cell(
            "a", _numbers(each.a, a), theme.ground, "<br>".join(["only in a", place, *lines])
        )
    before, after = each.a.experts[a].tolist(), each.b.experts[b].tolist()
    went = [expert for expert in before if expert not in after]
    came = [expert for expert in after if expert not in before]
    lost = bool(each.a.dropped[a]), bool(each.b.dropped[b])
    if not came and lost[0] == lost[1]:
        return _Cell("same", _numbers(each.b, b), theme.ground, "<br>".join([place, *lines]))
    went, came = went or before, came or after
    text = f"{_few(went)}{'×' * lost[0]}→{_few(came)}{'×' * lost[1]}"
    said = "changed" if set(before) != set(after) else "dropped in one of them"
    return _Cell("changed", text, colors[came[0]], "<br>".join([f"{said}, {place}", *lines]))


def _few(experts: list[int]) -> str:
    if len(experts) > MOST_NAMED:
        return f"{experts[0]}…"
    return " ".join(map(str, experts))


def _numbers(layer: RouterLayer, token: int) -> str:
    return _few(layer.experts[token].tolist()) + "×" * bool(layer.dropped[token])


def _told(layer: RouterLayer, token: int, sequence: TokenSequence) -> str:
    """A token and its experts with their combine weights, for pointing."""
    chosen = ", ".join(f"expert {expert}" for expert in layer.experts[token].tolist())
    lost = f", {dropped_text(layer)}" if layer.dropped[token] else ""
    made = ", generated" if sequence.generated[token] else ""
    return f"token {token} «{token_label(sequence.tokens[token])}»{made} → {chosen}{lost}"


def _steps(palette: list[str]) -> list[list[Any]]:
    """A scale on which each whole number has its colour."""
    last = len(palette) - 1
    return [[index / last, color] for index, color in enumerate(palette)]


def _hatching(cells: list[list[_Cell]], theme: Theme) -> dict[str, Any]:
    x: list[float | None] = []
    y: list[float | None] = []
    for row, line in enumerate(cells):
        for column, cell in enumerate(line):
            if cell.kind not in ("a", "b"):
                continue
            turn = 1 if cell.kind == "a" else -1
            for x0, y0, x1, y1 in _STROKES:
                x += [column + x0, column + x1, None]
                y += [row + turn * y0, row + turn * y1, None]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "line": {"color": rgba(theme.hatch, 0.22), "width": 1},
        "hoverinfo": "skip",
    }


def _rest(shown: int, every: int, theme: Theme) -> dict[str, Any]:
    return {
        "xref": "paper",
        "yref": "paper",
        "x": 0,
        "y": 0,
        "xanchor": "left",
        "yanchor": "top",
        "yshift": -4,
        "showarrow": False,
        "text": f"The first {shown:,} of {every:,} columns; the table counts all.",
        "font": {"size": 11, "color": theme.muted},
    }
