"""The pages and the Dash application that holds them."""

from __future__ import annotations

import logging
from pathlib import Path

import dash
from dash import Dash, set_props

from app.analysis import Analyst
from app.automl.library import Trainings
from app.components import controls, diagrams, entry, ids, settled, shell, store_notice
from app.pages import compare, corpora, experts, live, metrics, not_found, predict, run, runs

log = logging.getLogger(__name__)
_SORRY = "Something went wrong on the server; its log says more. Nothing that was recorded is lost."
ASSETS = Path(__file__).parents[2] / "assets"


def create_app(analyst: Analyst, trainings: Trainings, base_path: str = "") -> Dash:
    """The Dash application with all pages; its `.server` is a WSGI application.

    Browsers ask for everything below `base_path`, which the application itself does not see.
    """
    app = Dash(
        __name__,
        requests_pathname_prefix=f"{base_path}/",
        routes_pathname_prefix="/",
        use_pages=True,
        pages_folder="",
        assets_folder=str(ASSETS),
        # What is in there is fetched when it is needed.
        assets_path_ignore=["vendor"],
        index_string=shell.INDEX,
        title="MoEScope",
        update_title="",
        on_error=_on_error,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
        description="Which expert takes each token of a Mixture-of-Experts model",
    )
    pages = (
        ("live", "/", "", "MoEScope", live.layout(analyst)),
        ("runs", "/runs", "", "Runs · MoEScope", runs.layout(analyst)),
        ("compare", "/compare", "", "Compare · MoEScope", compare.layout(analyst)),
        ("corpora", "/corpora", "", "Corpora · MoEScope", corpora.layout(analyst)),
        ("experts", "/experts", "", "Experts · MoEScope", experts.layout(analyst)),
        ("predict", "/predict", "", "Predict · MoEScope", predict.layout),
        ("metrics", "/metrics", "", "Metrics · MoEScope", metrics.layout),
        ("run", "", "/runs/<run_id>", "Run · MoEScope", run.layout(analyst)),
    )
    for name, path, template, title, layout in pages:
        dash.register_page(
            name, path=path or None, path_template=template or None, title=title, layout=layout
        )
    dash.register_page("not_found_404", layout=not_found.layout)
    app.layout = shell.shell()
    for part in (controls, settled, entry, store_notice):
        part.register(app, analyst)
    diagrams.register(app)
    for page in (runs, run, compare):
        page.register(app, analyst)
    experts.register(app, analyst, trainings)
    corpora.register(app)
    predict.register(app)
    metrics.register(app)
    return app


def _on_error(error: Exception) -> None:
    """Anything unforeseen in a callback: the log gets the traceback, the page a line."""
    log.error("a callback failed", exc_info=error)
    set_props(ids.PROBLEM, {"children": _SORRY})
