"""What surrounds every page: document, header, navigation, keys, theme."""

from __future__ import annotations

import dash
import dash_bootstrap_components as dbc
from dash import dcc, html

from app.components import ids, links
from app.components.attributes import attributes
from app.components.store_notice import store_notice

# The theme is set before the first paint, or a dark page would flash white.
INDEX = """<!DOCTYPE html>
<html lang="en">
  <head>
    {%metas%}
    <title>{%title%}</title>
    {%favicon%}
    {%css%}
    <script>
      (function () {
        var kept = null;
        try { kept = JSON.parse(localStorage.getItem("theme")); } catch (error) { kept = null; }
        var dark = matchMedia("(prefers-color-scheme: dark)").matches;
        var theme = kept === "light" || kept === "dark" ? kept : dark ? "dark" : "light";
        document.documentElement.dataset.bsTheme = theme;
        document.documentElement.dataset.agThemeMode = theme;
      })();
    </script>
  </head>
  <body>
    <a class="skip-link" href="#content">Skip to the content</a>
    {%app_entry%}
    <footer>{%config%}{%scripts%}{%renderer%}</footer>
  </body>
</html>"""

_KEYS = (
    ("/", "go to the text"),
    ("Enter", "record now"),
    ("Shift + Enter", "new line"),
    ("← → ↑ ↓", "move the selection in the token grid"),
    ("Esc", "free the selection"),
    ("?", "this list"),
)


def shell() -> html.Div:
    """Header, the page's place, and the list of keys."""
    return html.Div(
        [
            html.Header(
                [
                    dcc.Link("MoEScope", href=links.to("/"), className="brand"),
                    html.Nav(
                        [
                            dbc.NavLink("Live", href=links.to("/"), active="exact"),
                            dbc.NavLink("Runs", href=links.to("/runs"), active="exact"),
                            dbc.NavLink("Compare", href=links.to("/compare"), active="exact"),
                            dbc.NavLink("Corpora", href=links.to("/corpora"), active="exact"),
                            dbc.NavLink("Experts", href=links.to("/experts"), active="exact"),
                            dbc.NavLink("Predict", href=links.to("/predict"), active="exact"),
                            dbc.NavLink("Metrics", href=links.to("/metrics"), active="exact"),
                        ],
                        **attributes(aria_label="Pages"),
                    ),
                    html.Div(
                        [
                            html.Button(
                                "?",
                                id=ids.KEYS_OPEN,
                                className="icon",
                                title="Keys",
                                **attributes(aria_label="Keyboard shortcuts"),
                            ),
                            html.Button(
                                "◐",
                                id=ids.THEME_TOGGLE,
                                className="icon",
                                title="Light or dark",
                                **attributes(aria_label="Switch between light and dark"),
                            ),
                        ],
                        className="tools",
                    ),
                ],
                className="top",
            ),
            store_notice(),
            html.P(id=ids.PROBLEM, role="alert", className="store-notice"),
            html.Main(dash.page_container, id="content", tabIndex="-1"),
            _keys_dialog(),
        ]
    )


def _keys_dialog() -> html.Dialog:
    rows = [html.Tr([html.Td(html.Kbd(key)), html.Td(does)]) for key, does in _KEYS]
    return html.Dialog(
        html.Form(
            [
                html.H2("Keys", id="keys-title"),
                html.Table(html.Tbody(rows), className="keys"),
                html.Button("Close", className="action"),
            ],
            method="dialog",
        ),
        id=ids.KEYS,
        **attributes(aria_labelledby="keys-title"),
    )
