"""What the two ids of an address name: analyses, passes over corpora, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import dcc

from app.analysis import Analyst
from app.components import links
from app.corpus.library import Pass, PassNotFoundError
from app.recording.base import CorpusRunError, RecordedRun, RecordingError, RunNotFoundError

Opened = RecordedRun | Pass


def opened(analyst: Analyst, asked: Mapping[str, str]) -> tuple[dict[str, Opened], list[Any]]:
    """The runs that can be opened, by their letters, and what is wrong with the others."""
    runs: dict[str, Opened] = {}
    problems: list[Any] = []
    for name in ("a", "b"):
        if not asked[name]:
            continue
        try:
            runs[name] = _opened(analyst, asked[name])
        except CorpusRunError as error:
            page = dcc.Link("Its page", href=links.to(f"/runs/{error.summary.run_id}"))
            said = (
                f"Run {name} is a pass over a corpus whose counts were removed from this server. "
            )
            problems.append([said, page, " has what is left of it."])
        except RunNotFoundError:
            problems.append(f"Run {name}: there is no such run. It may have been deleted.")
        except RecordingError as error:
            problems.append(f"Run {name}: {str(error).rstrip('.')}.")
        except FileNotFoundError:
            problems.append(f"Run {name} is a pass over a corpus that has counted nothing yet.")
    if len(runs) == 2 and id_of(runs["a"]) == id_of(runs["b"]):
        problems.append("Run a and run b are the same run. Choose another for one of them.")
    return runs, problems


def _opened(analyst: Analyst, id_: str) -> Opened:
    try:
        found = analyst.library.find(id_)
    except PassNotFoundError:
        return analyst.recorded(id_)
    if not found.state.number:
        raise FileNotFoundError
    return found


def id_of(run: Opened) -> str:
    """The id that names it in addresses and lists."""
    if isinstance(run, RecordedRun):
        return run.summary.run_id
    return run.run_id or run.about.id
