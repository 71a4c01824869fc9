"""What H2O tells of a training, in our words."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from app.automl.client import rows_of
from app.automl.order import Failure, Leader

_METRICS = {
    "logloss": "log_loss",
    "auc": "auc",
    "mean_per_class_error": "mean_per_class_error",
    "rmse": "rmse",
    "mae": "mae",
}
# The number of the training and its time, which H2O puts into every name.
_STAMP = re.compile(r"_AutoML_\d+_\d{8}_\d{6}")
_BEGUN = re.compile(r"starting (\S+) ")
_PARAMETER = re.compile(r"^_(\w+) param, ")


def now_of(message: str) -> str:
    """The name of the model that is being trained, "" between two: what H2O says of its job is
    «GBM_1_AutoML_1_20261127_185208 [GBM def_5]», or a sentence."""
    model, bracket, _ = message.partition(" [")
    return name_of(model) if bracket else ""


def name_of(key: str) -> str:
    """A model's name within its training: GBM_1_AutoML_1_20261127_185208 is GBM_1."""
    return _STAMP.sub("", key)


def leaders_of(automl: Mapping[str, Any]) -> tuple[Leader, ...]:
    """The models that there are so far, the best first."""
    found = []
    for row in rows_of(automl["leaderboard_table"]):
        values = {ours: float(row[theirs]) for theirs, ours in _METRICS.items() if theirs in row}
        known = {name: value for name, value in values.items() if math.isfinite(value)}
        found.append(Leader(name_of(row["model_id"]), row["model_id"], known))
    return tuple(found)


def failures_of(automl: Mapping[str, Any]) -> tuple[Failure, ...]:
    """The models that could not be trained. H2O's log names a model when it begins with it."""
    found, begun = [], ""
    for row in rows_of(automl["event_log_table"]):
        message = " ".join(str(row["message"]).split())
        if match := _BEGUN.search(message):
            begun = name_of(match[1])
        if row["level"] == "ERROR":
            found.append(Failure(begun, _PARAMETER.sub(r"\1: ", message)))
    return tuple(found)
