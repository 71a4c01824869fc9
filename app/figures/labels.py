"""How tokens, layers and numbers are written in figures."""

from __future__ import annotations

import functools
import html
import math
import unicodedata
from collections.abc import Sequence

from app.routing.trace import RouterLayer

LONGEST_LABEL = 14
# Of more experts a token than this, places without room name only the first.
MOST_NAMED = 2


# A figure names each token in many places, and the next one names most of them again.
@functools.lru_cache(4096)
def token_label(token: str, longest: int = LONGEST_LABEL) -> str:
    """A tokenizer's piece, made visible and safe for Plotly's own markup.

    Control and formatting characters become visible, long pieces are cut with an ellipsis.
    """
    return html.escape(plain_label(token, longest), quote=False)


def plain_label(token: str, longest: int = LONGEST_LABEL) -> str:
    """The same without escaping, for HTML components, which escape by themselves."""
    visible = "".join(_visible(character) for character in token)
    return visible if len(visible) <= longest else visible[: longest - 1] + "…"


def _visible(character: str) -> str:
    code = ord(character)
    if character == "\n":
        return "⏎"
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    if unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp"):
        return f"U+{code:04X}"
    return character


def layer_label(index: int) -> str:
    """The heading of a router layer; layers count from 1 in order of depth."""
    return f"Layer {index + 1}"


def layer_place(layer: RouterLayer, layers: Sequence[RouterLayer] = ()) -> str:
    """Where in the model the router sits; with its `layers`, also which one of its block."""
    part = _part(layer, layers)
    return f"{layer.stack} block {layer.block}" + (f", {part}" if part else "")


def layer_ticks(layers: Sequence[RouterLayer]) -> list[str]:
    """A short label per router layer, for an axis."""
    if not any(_part(layer, layers) for layer in layers):
        return [layer_label(index) for index in range(len(layers))]
    return [f"{index + 1} {_part(layer, layers)}".strip() for index, layer in enumerate(layers)]


def block_label(layer: RouterLayer, layers: Sequence[RouterLayer]) -> str:
    """The second line of a heading: the block, and which of its routers where it has several."""
    return f"block {layer.block} {_part(layer, layers)}".strip()


def _part(layer: RouterLayer, layers: Sequence[RouterLayer]) -> str:
    """Where the module paths of one block's routers part: «mlp»; empty for an only router."""
    same = [la.name for la in layers if (la.stack, la.block) == (layer.stack, layer.block)]
    if len(same) < 2:
        return ""
    paths = [name.split(".") for name in same]
    depth = next((i for i, step in enumerate(zip(*paths, strict=False)) if len(set(step)) > 1), 0)
    ends = [".".join(path[depth:]) for path in paths]
    first = [end.split(".")[0] for end in ends]
    index = same.index(layer.name)
    part = first[index] if len(set(first)) == len(first) else ends[index]
    return part.removeprefix("self_").replace("_", " ")


def score_word(layer: RouterLayer) -> str:
    """What the router's values are: p, or a score where those of a token need not sum to 1."""
    return "p" if layer.score_function.startswith(("softmax", "sparsemixer")) else "score"


def probability(value: float) -> str:
    """Two digits without the leading zero, as in tables: .83; one digit below .01: .004"""
    if 0 < value < 0.0005:
        return "<.001"
    text = f"{value:.3f}" if 0 < value < 0.0095 else f"{value:.2f}"
    return "1.0" if text == "1.00" else text.removeprefix("0")


def number(value: float) -> str:
    """Two or three significant digits, – for a value that is undefined."""
    if math.isnan(value):
        return "–"
    size = abs(value)
    if float(value).is_integer() or size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 0.0995 else f"{value:.2g}"


def span(texts: Sequence[str]) -> str:
    """The first and last of sorted texts as a range, one of them where they are the same."""
    return texts[0] if texts[0] == texts[-1] else f"{texts[0]} to {texts[-1]}"


def count_of(count: int, noun: str) -> str:
    """A number with its noun: «1 token», «1,024 tokens»."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def expert_path(layers: Sequence[RouterLayer], token: int) -> str:
    """The experts of a token over depth, × where dropped; of many in a layer, the first."""
    return " → ".join(
        "+".join(map(str, layer.experts[token, : None if layer.top_k <= MOST_NAMED else 1]))
        + ("×" if layer.dropped[token] else "")
        for layer in layers
    )


def path_name(layers: Sequence[RouterLayer]) -> str:
    """What `expert_path` lists."""
    return "experts" if max(la.top_k for la in layers) <= MOST_NAMED else "first experts"


def dropped_text(layer: RouterLayer) -> str:
    """Why a token was dropped."""
    room = "" if layer.capacity is None else f" {layer.capacity}"
    return f"dropped: over capacity{room}"


def token_list(tokens: Sequence[str], most: int = 8) -> str:
    """The first tokens of a list, and how many more there are."""
    shown = " ".join(token_label(token) for token in tokens[:most])
    return shown if len(tokens) <= most else f"{shown} … {len(tokens) - most} more"
