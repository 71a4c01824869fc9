"""Components as HTML text, for what the page's script writes into the document itself."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any

from dash.development.base_component import Component

_VOID = ("br", "hr", "img", "input")
_HTML = "dash_html_components"
_NAMES = {"className": "class", "htmlFor": "for"}


def markup(part: Any) -> str:
    """HTML of a component of `dash.html`, a text, a number, or a list of such.

    Everything that is no component is escaped. Raises TypeError for components of other
    libraries, which are more than HTML.
    """
    if part is None:
        return ""
    if isinstance(part, (list, tuple)):
        return "".join(map(markup, part))
    if not isinstance(part, Component):
        return html.escape(str(part))
    described = part.to_plotly_json()
    if described["namespace"] != _HTML:
        raise TypeError(f"{described['type']} is more than HTML")
    given = described["props"]
    tag = type(part).__name__.lower()
    attributes = "".join(
        f' {_NAMES.get(name, name)}="{html.escape(_value(value))}"'
        for name, value in given.items()
        if name != "children" and value not in (None, False)
    )
    if tag in _VOID:
        return f"<{tag}{attributes}>"
    return f"<{tag}{attributes}>{markup(given.get('children'))}</{tag}>"


def _value(value: Any) -> str:
    if not isinstance(value, Mapping):
        return "" if value is True else str(value)
    # A style: properties are written as React wants them.
    return ";".join(
        f"{re.sub('[A-Z]', lambda m: f'-{m[0].lower()}', name)}:{each}"
        for name, each in value.items()
    )
