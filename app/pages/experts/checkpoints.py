"""How much of the routing a pass has in common with those of other checkpoints."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from dash import ClientsideFunction, Dash, Input, Output, dcc, html, no_update
from dash.development.base_component import Component

from app.analysis import Analyst
from app.components import ids, links
from app.components.about import about
from app.components.compared import table
from app.components.downloads import Picture, figure_menu
from app.components.markup import markup
from app.components.panel import HIDDEN, VISIBLE, fitted, frame, panel
from app.corpus.checkpoints import names
from app.corpus.library import Pass
from app.corpus.saturations import Compared
from app.figures.atlas.saturation import saturation_figure, saturation_summary
from app.figures.atlas.words import interval, share
from app.figures.theme import LIGHT, THEMES, Theme
from app.pages.experts.views import View, still_there

_LOOK_MILLISECONDS = 1000
_OUTPUTS = 6
_FILES = (("checkpoints.csv", "CSV"), ("checkpoints.parquet", "Parquet"))
_PICTURES = (Picture(ids.CHECKPOINTS, "saturation"),)


def part(view: View | None) -> Component:
    """The section, empty until it is drawn."""
    return html.Div(
        [
            panel(
                "checkpoints",
                "Checkpoints",
                "Share of a token’s experts that are the same as in this pass, in each layer, with "
                "95 % intervals of documents. Grey is what the loads alone give.",
                html.Div([html.Div(id=ids.CHECKPOINTS_SAID), _drawing()]),
                ids.CHECKPOINTS_SUMMARY,
                about=_about(),
            ),
            dcc.Store(id=ids.CHECKPOINTS_WORDS),
            dcc.Interval(id=ids.CHECKPOINTS_TICK, interval=_LOOK_MILLISECONDS, disabled=True),
        ],
        style=VISIBLE if view else HIDDEN,
    )


def _drawing() -> Component:
    return html.Div(
        [
            html.Div(figure_menu("Checkpoints", _PICTURES), className="to-right"),
            frame(ids.CHECKPOINTS, "saturation-frame", "Share of the same experts by checkpoint"),
            html.Details([html.Summary("All numbers"), html.Div(id=ids.CHECKPOINTS_TABLE)]),
        ],
        id=ids.CHECKPOINTS_FRAME,
        style=HIDDEN,
    )


def _about() -> Component:
    return about(
        "saturation",
        "mean |Eₜ(a) ∩ Eₜ(b)| / k",
        "How many of the k experts of a token are the same in this pass, a, and in another "
        "checkpoint’s, b (router saturation; OLMoE, arXiv 2409.02060, §5).",
        (
            "n: the tokens of the corpus, in the table.",
            "Grey, chance: k · Σᵢ fᵢ(a) fᵢ(b), f the loads. So much is the same on average where "
            "choices are dealt to other tokens; k/N with balanced loads.",
            "Intervals: 95 % of 200 resamples of the documents.",
            "Expert numbers mean the same only in checkpoints of one training.",
        ),
        "saturation",
    )


def drawn(chosen: Pass, compared: Sequence[Compared], layer: int, theme: Theme) -> tuple[Any, ...]:
    """The figure with its style and that of its frame, in words, the HTML of all that is said by
    the ids of its places, and whether there is nothing more to come."""
    if not compared:
        said = {ids.CHECKPOINTS_SAID: markup(_needed(chosen))}
        return no_update, no_update, HIDDEN, "", said, True
    named = names([each.found for each in compared])
    found = [each.outcome for each in compared]
    settled = all(each.settled for each in compared)
    said = {
        ids.CHECKPOINTS_SAID: markup(_said(chosen, compared, named)),
        ids.CHECKPOINTS_TABLE: markup(
            [_table(compared, named), *([_files(chosen)] if settled else [])]
        ),
    }
    figure = fitted(saturation_figure(named, found, theme, layer))
    shown = VISIBLE if any(found) else HIDDEN
    return *figure, shown, saturation_summary(named, found), said, settled


def _needed(chosen: Pass) -> Component:
    """What has to be there for something to be shown."""
    order = chosen.about.order
    files = [name.rpartition("/")[2] for name in order.files]
    asked = ["--text", order.text, "--max-tokens", str(order.max_tokens)]
    command = ["python", "-m", "app", "corpus", *files, *asked, "--tokens", "--model", "step-100"]
    return html.P(
        [
            "Shows how far the routing is settled, once this and other checkpoints of one training "
            "have read this corpus with every token’s routing written: on the page ",
            html.A("Corpora", href=links.to("/corpora")),
            ", or with ",
            html.Code(shlex.join(command)),
            ", where ",
            html.Code("MOESCOPE_MODELS"),
            " names the checkpoint as ",
            html.Code("step-100=FOLDER"),
            ".",
        ],
        className="quiet",
    )


def _said(chosen: Pass, compared: Sequence[Compared], named: Sequence[str]) -> list[Component]:
    """What they are compared with, how far that is, and what went wrong."""
    words = f"Compared with {chosen.about.order.model}, the pass that is shown."
    going = [
        (each.done, name) for each, name in zip(compared, named, strict=True) if not each.settled
    ]
    if going:
        done, name = max(going)
        words += (
            f" {len(compared) - len(going)} of {len(compared)} checkpoints are done, {name} to "
            f"{done:.0%}."
        )
    return [
        html.P(words, className="quiet"),
        *(
            html.P(f"{name}: {each.problem}.", className="problem")
            for name, each in zip(named, compared, strict=True)
            if each.problem
        ),
    ]


def _files(chosen: Pass) -> Component:
    """The same numbers in files."""
    links_to: list[Component | str] = ["Save as "]
    for path, label in _FILES:
        address = links.to(f"/api/v1/corpora/{chosen.about.id}/{path}")
        links_to += [html.A(label, href=address, download="", className="action"), " "]
    return html.P(links_to)


def _table(compared: Sequence[Compared], named: Sequence[str]) -> Component:
    rows = [
        (
            name,
            str(index + 1),
            share(its.share),
            interval(its.low, its.high, 100).strip("()") or "–",
            share(its.chance),
            f"{outcome.tokens:,}",
            f"{outcome.documents:,}",
        )
        for name, each in zip(named, compared, strict=True)
        if (outcome := each.outcome)
        for index, its in enumerate(outcome.layers)
    ]
    heads = ("Checkpoint", "Layer", "Same experts", "95 %", "By chance", "Tokens", "Documents")
    return table("Share of the same experts", heads, rows)


def register(app: Dash, analyst: Analyst) -> None:
    """Draws what is known, and looks again until all is."""

    @app.callback(
        Output(ids.CHECKPOINTS, "figure"),
        Output(ids.CHECKPOINTS, "style"),
        Output(ids.CHECKPOINTS_FRAME, "style"),
        Output(ids.CHECKPOINTS_SUMMARY, "children"),
        Output(ids.CHECKPOINTS_WORDS, "data"),
        Output(ids.CHECKPOINTS_TICK, "disabled"),
        Input(ids.EXPERTS_ASKED, "data"),
        Input(ids.CHECKPOINTS_TICK, "n_intervals"),
        prevent_initial_call=True,
    )
    def _draw(asked: Any, _looks: Any) -> Any:
        view = still_there(analyst.library, asked)
        if view is None:
            return (no_update,) * _OUTPUTS
        compared = analyst.saturations.beside(view.found)
        return drawn(view.found, compared, view.layer, THEMES.get(asked.get("theme") or "", LIGHT))

    app.clientside_callback(
        ClientsideFunction("moescope", "words"),
        Input(ids.CHECKPOINTS_WORDS, "data"),
        prevent_initial_call=True,
    )
