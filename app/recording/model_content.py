"""What the runs of a training hold: tags, parameters, metrics, dataset and tables. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from app.automl.holdout import confusion_of
from app.automl.library import Training
from app.automl.order import Model
from app.recording import content
from app.recording.model_files import fitted_of, result_of
from app.recording.registry_tags import (
    TAG_BASELINE,
    TAG_FAMILY,
    TAG_METRICS,
    TAG_TARGET,
    TAG_TASK,
    TAG_TRAINING,
    write_numbers,
)

# Of a run of one model within its training.
TAG_TRAINED = f"{content.PREFIX}trained"
_PARENT = "mlflow.parentRunId"
_DIGEST = 36
_MOST_PARAM = 6000


def tags(found: Training) -> dict[str, str]:
    """Tags of the training's own run, and a note that explains it on MLflow's page."""
    result = result_of(found)
    return {
        TAG_TRAINING: found.id,
        TAG_TASK: result.columns.task,
        TAG_TARGET: result.columns.target,
        content.TAG_NOTE: _note(found),
    }


def early_tags(found: Training) -> dict[str, str]:
    """Tags of the run of a training that has no result."""
    return {TAG_TRAINING: found.id, TAG_TARGET: found.order.target}


def ended_note(found: Training, reason: str) -> str:
    """The note on MLflow's page for a training that no model came of."""
    target, name = _named(found.order.target), _named(source_name(found))
    return f"No model that predicts `{target}` came of the training on `{name}`: {reason}."


def model_tags(found: Training, model: Model, parent: str) -> dict[str, str]:
    """Tags of the run of one model."""
    return {_PARENT: parent, TAG_TRAINED: f"{found.id}/{model.name}"}


def version_tags(found: Training) -> dict[str, str]:
    """Tags of the version that the registry gets: what the model is, and how good."""
    result = result_of(found)
    return {
        TAG_TRAINING: found.id,
        TAG_TASK: result.columns.task,
        TAG_TARGET: result.columns.target,
        TAG_FAMILY: result.best.family,
        TAG_METRICS: write_numbers(result.best.holdout),
        TAG_BASELINE: write_numbers(result.baseline),
    }


def params(found: Training) -> dict[str, str]:
    """Everything that decided the result."""
    order, result, recipe = found.order, result_of(found), fitted_of(found).recipe
    values: dict[str, Any] = {
        "model": order.name,
        "target": result.columns.target,
        "task": result.columns.task,
        "table_sha256": found.table["digest"],
        **{f"source_{name}": value for name, value in order.source.items() if name != "file"},
        "features": len(recipe.features),
        "dropped": ", ".join(f"{name} ({why})" for name, why in recipe.dropped.items()),
        "hashed": ", ".join(recipe.hashed),
        "group": recipe.group or "",
        "missing_values": recipe.missing,
        "unknown_levels": recipe.unknown,
        "most_levels": recipe.most_levels,
        "least_rows_of_a_level": recipe.least_rows,
        "holdout": order.holdout,
        "metric": result.metric,
        "most_seconds": order.seconds,
        "most_models": order.models,
        "families": ", ".join(order.families),
        "folds": order.folds,
        "seed": order.seed,
        "stopped_early": result.stopped,
        "follows": order.follows,
        "best_model": result.best.name,
        **{f"{name}_version": value for name, value in result.versions.items()},
    }
    return {name: _shortened(str(value)) for name, value in values.items()}


def metrics(found: Training) -> Iterator[tuple[str, float]]:
    """Those of the training's own run: the best model's, and what it is compared with."""
    result = result_of(found)
    yield "rows_training", float(result.rows["training"])
    yield "rows_holdout", float(result.rows["holdout"])
    yield "models", float(len(result.models) + len(result.others))
    yield "models_failed", float(len(result.failures))
    yield "seconds", result.seconds
    yield from of_model(result.best)
    yield from _finite("baseline", result.baseline)


def of_model(model: Model) -> Iterator[tuple[str, float]]:
    """Metrics of one model, on the training's rows by cross-validation and on those held out."""
    yield from _finite("validation", model.validation)
    yield from _finite("holdout", model.holdout)
    yield "training_seconds", model.seconds


def dataset(found: Training) -> dict[str, str]:
    """The table as an input of MLflow: name, digest, columns, counts."""
    columns, recipe = result_of(found).columns, fitted_of(found).recipe
    spec = [
        {"type": "double" if kind == "number" else "string", "name": name}
        for name, kind in recipe.features.items()
    ]
    target = {
        "type": "double" if columns.task == "regression" else "string",
        "name": columns.target,
    }
    profile = {
        "num_rows": found.table["rows"],
        "training": found.table["training"],
        "holdout": found.table["holdout"],
    }
    name = source_name(found)
    return {
        "name": content.text_beginning(name),
        "digest": str(found.table["digest"])[:_DIGEST],
        "source_type": "code",
        "source": json.dumps({"tags": {"table": name}}),
        "schema": json.dumps({"mlflow_colspec": [*spec, target]}),
        "profile": json.dumps(profile),
    }


def source_name(found: Training) -> str:
    """What people know the training's table by."""
    source = found.order.source
    return str(source.get("name") or Path(str(source.get("file", "table"))).name)


def confusion_table(found: Training, holdout: pd.DataFrame) -> pd.DataFrame:
    """How often each true class (rows) was taken for each (columns), with the names beside."""
    classes = result_of(found).columns.classes
    heading = "true class"
    while heading in classes:
        heading += "_"
    table = pd.DataFrame(confusion_of(holdout, classes), columns=list(classes))
    table.insert(0, heading, list(classes))
    return table


def importance_table(found: Training) -> pd.DataFrame:
    """A row per column, the most important first."""
    rows = [
        {"column": one.feature, "importance": one.value, "deviation": one.deviation}
        for one in result_of(found).importance
    ]
    return pd.DataFrame(rows, columns=["column", "importance", "deviation"])


def _note(found: Training) -> str:
    target, name = _named(result_of(found).columns.target), _named(source_name(found))
    return (
        f"Models that predict `{target}`, trained on `{name}`; the best one is a version in the "
        "model registry.\n\n"
        "**Metrics**: `validation/…` is cross-validated on the training's rows and ranks the "
        "models, `holdout/…` is of rows that took no part, `baseline/…` of a model that knows the "
        "target alone. `…_low` and `…_high` are the ends of a 95 % interval over rows, or over "
        "groups of them.\n\n"
        "**Artifacts**: `leaderboard.csv` has all models, and each that was kept has a run below "
        "this one. `figures/` shows the errors on the hold-out and what the best model rests on, "
        "`holdout.parquet` its answers; `model/` is what is registered."
    )


def _named(name: str) -> str:
    """A name as it can stand between backquotes."""
    return name.replace("`", "ˋ")


def _finite(prefix: str, values: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if math.isfinite(value):
            yield f"{prefix}/{name}", value


def _shortened(value: str) -> str:
    return value if len(value) <= _MOST_PARAM else value[: _MOST_PARAM - 1] + "…"
