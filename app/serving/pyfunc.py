"""What MLflow's tools load a model with: `mlflow.pyfunc.load_model("models:/NAME@champion")`.

MoEScope has to be on Python's path, and Java there; columns that are hashed need the key of the
data folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from app.recording.model_files import PREDICTION, probability_of
from app.serving.predictor import Predictor
from app.settings import load_settings
from app.tables.secret import secret_key


class Model:
    """A registered model as MLflow calls it."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def predict(self, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:  # noqa: ARG002
        """The prediction of each row, and for classes the probability of each."""
        predictor = self._predictor
        rows = model_input.astype(object).where(model_input.notna(), None).to_dict("records")
        scores = predictor.scores(predictor.checked(rows))
        found = {PREDICTION: predictor.named(scores)}
        for place, name in enumerate(predictor.columns.classes):
            found[probability_of(name)] = scores.probabilities[:, place].tolist()
        return pd.DataFrame(found, model_input.index)


def _load_pyfunc(path: str) -> Model:
    """By this name MLflow asks for it."""
    return Model(Predictor(Path(path), lambda: secret_key(load_settings().data_dir)))
