"""What the rows of a training hold, as counts: what later rows are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from app.tables.drift import Bins, Counts


@dataclass(frozen=True)
class Counted:
    """Values in bins; `counts` int64 [bins]."""

    bins: Bins
    counts: Counts

    @classmethod
    def of_column(cls, column: pd.Series) -> Counted:
        """A column in bins that are made for it."""
        bins = Bins.of_training(column)
        return cls(bins, bins.count(column))

    def plain(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"bins": self.bins.plain(), "counts": self.counts.tolist()}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Counted:
        """The inverse of `plain`. Raises TypeError or KeyError for other values."""
        return cls(Bins.of(values["bins"]), np.array(values["counts"], dtype=np.int64))


@dataclass(frozen=True)
class Profile:
    """What went into a model, and what comes out: the features of the rows that were trained on
    (`Fitted.inputs`), and the predictions for those that were held out."""

    features: Mapping[str, Counted]
    predictions: Counted

    def plain(self) -> dict[str, Any]:
        """As plain JSON values."""
        features = {name: counted.plain() for name, counted in self.features.items()}
        return {"features": features, "predictions": self.predictions.plain()}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Profile:
        """The inverse of `plain`. Raises TypeError or KeyError for other values."""
        features = {name: Counted.of(counted) for name, counted in values["features"].items()}
        return cls(features, Counted.of(values["predictions"]))
