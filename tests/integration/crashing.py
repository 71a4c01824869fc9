"""A process that records and may be killed at any moment. Started by a fork server that has
imported everything already, so that hundreds of them start quickly."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from multiprocessing.connection import Connection

# MLflow's own, which are imported when they are used first.
import mlflow.store.artifact.s3_artifact_repo
import mlflow.store.tracking.sqlalchemy_store  # noqa: F401

from app.analysis import analysis_key, figures_of
from app.recording.base import Entry
from app.recording.mlflow_recorder import MlflowRecorder
from app.routing.trace import RoutingTrace
from app.settings import load_settings


def entry(template: RoutingTrace, number: int) -> Entry:
    """An analysis that differs from the template by its text."""
    trace = replace(template, text=f"{template.text} {number}")
    return Entry(trace, analysis_key(trace))


def work(
    settings: Mapping[str, str], template: bytes, numbers: list[int], told: Connection
) -> None:
    """Accepts analyses, tells the id of each, goes on until all that wait are recorded."""
    recorder = MlflowRecorder(load_settings(**settings), figures_of)
    recorder.start()
    trace = RoutingTrace.from_bytes(template)
    for number in numbers:
        told.send((number, recorder.submit(entry(trace, number)).id))
    while recorder.state().pending:
        time.sleep(0.005)
    told.send("done")
    recorder.close()
