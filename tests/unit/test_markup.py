"""Components as HTML text."""

from __future__ import annotations

import pytest
from dash import dcc, html

from app.components.attributes import attributes
from app.components.markup import markup


def test_texts_numbers_lists_and_nothing() -> None:
    assert markup(None) == ""
    assert markup(["a", 1, None, ["b"]]) == "a1b"
    assert markup(0) == "0"


def test_everything_that_is_no_component_is_escaped() -> None:
    hostile = "<img src=x onerror=alert(1)> & \"quotes\" 'too'"
    made = markup(html.P(hostile, title=hostile))
    assert made.count("<") == 2
    assert "<img" not in made
    assert 'title="&lt;img src=x onerror=alert(1)&gt; &amp; &quot;quotes&quot;' in made


def test_attributes_are_written_as_html_names_them() -> None:
    made = markup(
        html.Div(
            ["a", html.Br(), html.Strong("b")],
            className="bar",
            style={"width": "4.0%", "backgroundColor": "#ffffff"},
            hidden=True,
            **attributes(aria_label="c"),
        )
    )
    assert made == (
        '<div class="bar" hidden="" style="width:4.0%;background-color:#ffffff" aria-label="c">'
        "a<br><strong>b</strong></div>"
    )
    assert markup(html.Label("x", htmlFor="y", hidden=False)) == '<label for="y">x</label>'
    assert markup(html.Th("e", scope="row")) == '<th scope="row">e</th>'


def test_what_is_more_than_html_is_refused() -> None:
    assert markup(html.A("run", href="/runs/1?a=b&c")) == '<a href="/runs/1?a=b&amp;c">run</a>'
    with pytest.raises(TypeError, match="Link is more than HTML"):
        markup(html.P(dcc.Link("run", href="/x")))
