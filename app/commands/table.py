"""Tables for the terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.routing.trace import RouterLayer, RoutingTrace, Stack

_WIDEST_TOKEN = 24


def table(trace: RoutingTrace) -> str:
    """Tokens down, router layers across, in each cell the chosen experts in order of rank.

    + before a token marks one that the model generated, × behind the experts a token that
    their capacity left unprocessed.
    """
    blocks = []
    for stack in trace.stacks:
        layers = trace.stack_layers(stack)
        rows = [["#", f"{stack} token", *(f"block {layer.block}" for layer in layers)]]
        for index, token in enumerate(_tokens(trace, stack)):
            cells = (_cell(layer, index) for layer in layers)
            rows.append([str(index), token, *cells])
        blocks.append(columns(rows))
    return "\n\n".join(blocks)


def columns(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """Cells in columns that are as wide as they must be; those in `right` end below each other."""
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_line(row, widths, right) for row in rows)


def _tokens(trace: RoutingTrace, stack: Stack) -> list[str]:
    sequence = trace.sequences[stack]
    tokens = [_shortened(printable(token)) for token in sequence.tokens]
    if not sequence.generated.any():
        return tokens
    # A column of its own: the token itself may begin with +.
    marks = ["+" if generated else " " for generated in sequence.generated.tolist()]
    return [mark + token for mark, token in zip(marks, tokens, strict=True)]


def _cell(layer: RouterLayer, index: int) -> str:
    experts = ",".join(map(str, layer.experts[index].tolist()))
    return experts + ("×" if layer.dropped[index] else "")


def _line(row: Sequence[str], widths: Sequence[int], right: Collection[int]) -> str:
    cells = []
    for index, (cell, width) in enumerate(zip(row, widths, strict=True)):
        room = " " * (width - _width(cell))
        cells.append(room + cell if index in right else cell + room)
    return "  ".join(cells).rstrip()


def _width(text: str) -> int:
    """Columns of a terminal: wide characters take two, combining ones none."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def printable(text: str) -> str:
    """A text whose control characters do not reach the terminal."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _shortened(token: str) -> str:
    return token if len(token) <= _WIDEST_TOKEN else token[: _WIDEST_TOKEN - 1] + "…"
