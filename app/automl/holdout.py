"""The best model's answers to the rows held out, as `judging` keeps them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app.automl.evaluation import confusion


def confusion_of(holdout: pd.DataFrame, classes: Sequence[str]) -> NDArray[np.int64]:
    """How often each true class (rows) was taken for each (columns), int64 [classes, classes];
    rows of a class that the training had not are left out."""
    places = {name: float(place) for place, name in enumerate(classes)}
    truth, predicted = (
        holdout[name].astype(str).map(places).to_numpy(dtype=np.float64)
        for name in ("truth", "predicted")
    )
    return confusion(truth, predicted, len(classes))
