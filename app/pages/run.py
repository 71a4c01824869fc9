"""The permalink: one recorded analysis, exactly as it was."""

from __future__ import annotations

from collections.abc import Callable

from dash import html

from app.analysis import Analyst
from app.components.controls import Choices, controls
from app.components.diagrams import diagrams
from app.components.entry import entry
from app.components.message import message, sentence
from app.components.settled import settled_panels
from app.recording.base import RecordedRun, RecordingError, RunNotFoundError


def layout(analyst: Analyst) -> Callable[..., html.Div]:
    """The page's layout for a run id in the address."""

    def page(run_id: str = "", **_query: str) -> html.Div:
        try:
            run = analyst.recorded(run_id)
        except RunNotFoundError:
            return message("There is no such run", "It may have been deleted from the store.")
        except RecordingError as error:
            return message("The run can't be read", sentence(error))
        return _recorded(run, run_id)

    return page


def _recorded(run: RecordedRun, run_id: str) -> html.Div:
    trace, summary = run.trace, run.summary
    libraries = trace.provenance.get("libraries", {})
    choices = Choices.of_trace(trace)
    request = {
        "run": run_id,
        "text": trace.text,
        "model": trace.model.id,
        "view": choices.view,
        "settings": {},
    }
    recorded = {
        **request,
        "id": run_id,
        "run_id": summary.run_id,
        "status": summary.status,
    }
    return html.Div(
        [
            html.H1("Recorded run", className="visually-hidden"),
            entry(trace.text, [trace.model.id], trace.model.id, choices, fixed=True),
            controls(choices, fixed=True),
            html.P(
                [
                    html.Time(
                        f"{summary.created:%Y-%m-%d %H:%M} UTC",
                        dateTime=summary.created.isoformat(),
                    ),
                    f" · {trace.model.architecture} · revision {trace.model.revision[:12]} · "
                    f"{trace.provenance.get('dtype', '')} · "
                    + ", ".join(f"{name} {version}" for name, version in libraries.items()),
                ],
                className="quiet provenance",
            ),
            *diagrams(request, recorded),
            *settled_panels(),
        ]
    )
