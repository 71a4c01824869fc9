"""How tokens, layers and numbers are written in figures."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Sequence

from app.routing.trace import RouterLayer

LONGEST_LABEL = 14


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


def layer_place(layer: RouterLayer) -> str:
    """Where in the model the router sits."""
    return f"{layer.stack} block {layer.block}"


def probability(value: float) -> str:
    """Two significant digits without the leading zero, as in tables: .83"""
    text = f"{value:.2f}"
    return "1.0" if text == "1.00" else text.removeprefix("0")


def token_list(tokens: Sequence[str], most: int = 8) -> str:
    """The first tokens of a list, and how many more there are."""
    shown = " ".join(token_label(token) for token in tokens[:most])
    return shown if len(tokens) <= most else f"{shown} … {len(tokens) - most} more"
