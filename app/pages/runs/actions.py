"""What can be done with chosen runs: the bar over the list, and what its buttons do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import dash_bootstrap_components as dbc
from dash import html
from dash.development.base_component import Component

from app.components import ids, links
from app.components.attributes import attributes
from app.components.message import sentence
from app.figures.labels import count_of
from app.recording.base import InvalidQueryError, Recorder, RecordingError, RunNotFoundError

EXPORT = "/api/v1/runs/export"


def bar() -> html.Div:
    """The check mark for the whole page and, once runs are chosen, what can be done with them."""
    return html.Div(
        [
            dbc.Checkbox(id=ids.RUNS_ALL, value=False, label="Select all on this page"),
            html.Div(
                [
                    html.A(
                        "Compare",
                        id=ids.RUNS_COMPARE,
                        className="action",
                        title="Choose exactly two runs",
                        **attributes(data_runs="visit", data_page=links.to("/compare")),
                    ),
                    html.A("CSV (zip)", id=ids.RUNS_CSV, className="action", download=""),
                    html.A("Parquet", id=ids.RUNS_PARQUET, className="action", download=""),
                    _button("Tag", ids.RUNS_TAG_OPEN, "tag-open"),
                    _button("Rename", ids.RUNS_RENAME_OPEN, "rename-open"),
                    _button("Delete", ids.RUNS_DELETE, "delete"),
                ],
                id=ids.RUNS_BAR,
                className="actions",
                hidden=True,
                role="group",
                **attributes(aria_label="Chosen runs", data_export=links.to(EXPORT)),
            ),
            html.Span(id=ids.RUNS_COUNT, className="quiet", **attributes(aria_live="polite")),
            _form(
                ids.RUNS_TAG_FORM,
                ids.RUNS_TAG_INPUT,
                "Tag",
                [("Add", "tag-add"), ("Remove", "tag-remove"), ("Cancel", "cancel")],
                ids.RUNS_TAGS,
            ),
            _form(
                ids.RUNS_RENAME_FORM,
                ids.RUNS_RENAME_INPUT,
                "Name",
                [("Save", "rename"), ("Cancel", "cancel")],
                hint="empty: its text again",
            ),
            html.Datalist(id=ids.RUNS_TAGS),
            html.P(id=ids.RUNS_PROBLEM, className="problem", role="alert"),
        ],
        id=ids.RUNS_TOOLS,
        className="runs-tools",
    )


def _button(label: str, id_: str, does: str) -> html.Button:
    return html.Button(label, id=id_, className="action", **attributes(data_runs=does))


def _form(
    id_: str,
    field: str,
    name: str,
    buttons: Sequence[tuple[str, str]],
    known: str | None = None,
    hint: str = "",
) -> html.Div:
    first = buttons[0][1]
    return html.Div(
        [
            html.Label(name, htmlFor=field),
            # Enter does what the first button does.
            dbc.Input(
                id=field, type="text", value="", autocomplete="off", list=known, placeholder=hint
            ),
            *[
                html.Button(
                    label,
                    className="primary" if does == first else "action",
                    **attributes(data_runs=does),
                )
                for label, does in buttons
            ],
        ],
        id=id_,
        className="runs-form",
        hidden=True,
    )


def act(recorder: Recorder, action: dict[str, Any]) -> dict[str, Any]:
    """Does what the page asks for; gives the ids for which it was done, and what went wrong."""
    chosen = [str(id_) for id_ in action.get("ids", ())]
    text = str(action.get("text") or "")
    done: list[str] = []
    try:
        match action["do"]:
            case "delete":
                recorder.delete(chosen)
                done = chosen
            case "restore":
                done = recorder.restore(chosen)
                problem = "" if len(done) == len(chosen) else _too_late(len(chosen) - len(done))
                return {**action, "done": done, "problem": problem}
            case "rename":
                recorder.rename(chosen[0], text)
                done = chosen[:1]
            case "tag-add":
                _each(chosen, done, lambda id_: recorder.tag(id_, add=[text]))
            case "tag-remove":
                if not text.strip():
                    raise InvalidQueryError("which tag should be removed")
                _each(chosen, done, lambda id_: recorder.tag(id_, remove=[text]))
    except (InvalidQueryError, RunNotFoundError, RecordingError) as error:
        partly = f" {len(done)} of {len(chosen)} are done." if done else ""
        return {**action, "done": done, "problem": sentence(error) + partly}
    return {**action, "done": done, "problem": ""}


def _each(chosen: Sequence[str], done: list[str], work: Callable[[str], None]) -> None:
    for id_ in chosen:
        work(id_)
        done.append(id_)


def _too_late(count: int) -> str:
    return f"It is too late for {count_of(count, 'run')}: the files are gone."


def toasts() -> Component:
    """The place of «3 runs deleted. Undo»; the browser's script fills it."""
    return html.Div(id=ids.RUNS_TOASTS, className="toasts", role="status")
