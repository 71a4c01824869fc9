"""How good answers are on rows that took no part in the training. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from app.automl.columns import Columns
from app.automl.mojo import Scores

Floats = NDArray[np.float64]
Groups = NDArray[np.int64]

RESAMPLES = 400
_PERCENTILES = (2.5, 97.5)
# What a class that was held to be impossible counts as, in the logarithm.
_LEAST = 1e-15


def metrics(columns: Columns, truth: Floats, scores: Scores, groups: Groups) -> dict[str, float]:
    """The task's metrics; `truth` as `Columns.truth` gives it, `groups` int64 [rows].

    For classes accuracy, log loss in nats, the mean over classes of the share that is predicted
    wrong, and for two of them the area under the ROC curve. For numbers root mean square error,
    mean absolute error and R². What these rows can't tell is left out: the area with one class
    alone, R² with one value. What is a mean over rows has a 95 % interval, `NAME_low` and
    `NAME_high`: percentile bootstrap over groups, since rows of one depend on each other
    (Davison and Hinkley 1997, §3.8).
    """
    if columns.task == "regression":
        return _of_numbers(truth, scores.predicted, groups)
    means = {
        "accuracy": (scores.predicted == truth).astype(np.float64),
        "log_loss": row_losses(truth, scores),
    }
    found = _with_intervals(means, groups)
    counts = confusion(truth, scores.predicted, len(columns.classes))
    of_class = counts.sum(axis=1)
    there = of_class > 0
    if there.any():
        right = np.diag(counts)[there] / of_class[there]
        found["mean_per_class_error"] = float(1 - right.mean())
    if columns.task == "binary" and there.all():
        found["auc"] = _auc(truth, scores.probabilities[:, 1])
    return found


def baseline(columns: Columns, trained_on: Floats, rows: int) -> Scores:
    """What who knows the training's target alone would answer to so many rows: the most frequent
    class, and how frequent each is; the mean of numbers.

    The log loss of that is the entropy of the target, where the hold-out is like the training.
    """
    if columns.task == "regression":
        return Scores(np.full(rows, trained_on.mean()), np.empty((rows, 0)))
    shares = np.bincount(trained_on.astype(int), minlength=len(columns.classes)) / len(trained_on)
    return Scores(np.full(rows, float(shares.argmax())), np.tile(shares, (rows, 1)))


def loss(columns: Columns, truth: Floats, scores: Scores) -> float:
    """What is to be small: the mean log loss, or the root mean square error."""
    if columns.task == "regression":
        return float(np.sqrt(((truth - scores.predicted) ** 2).mean()))
    return float(row_losses(truth, scores).mean())


def row_losses(truth: Floats, scores: Scores) -> Floats:
    """For each row minus the logarithm of the probability that its class was given, in nats.

    A class that the training had not has probability 0, which counts as 1e-15.
    """
    known = ~np.isnan(truth)
    given = np.zeros(len(truth))
    given[known] = scores.probabilities[known, truth[known].astype(int)]
    return -np.log(np.maximum(given, _LEAST))


def losses(columns: Columns, truth: Floats, scores: Scores) -> Floats:
    """For each row what is to be small: log loss, or how far off a number is."""
    if columns.task == "regression":
        return np.abs(truth - scores.predicted)
    return row_losses(truth, scores)


def difference(one: Floats, other: Floats, groups: Groups) -> dict[str, float]:
    """By how much the mean loss of `one` is below that of the `other` on the same rows, with the
    95 % interval of the pairs' differences: `better`, `better_low` and `better_high`."""
    return _with_intervals({"better": other - one}, groups)


def confusion(truth: Floats, predicted: Floats, classes: int) -> NDArray[np.int64]:
    """How often each class (rows) was taken for each (columns), int64 [classes, classes]."""
    known = ~np.isnan(truth)
    places = truth[known].astype(int) * classes + predicted[known].astype(int)
    return np.bincount(places, minlength=classes * classes).reshape(classes, classes)


def _of_numbers(truth: Floats, predicted: Floats, groups: Groups) -> dict[str, float]:
    errors = truth - predicted
    found = _with_intervals({"rmse": errors**2, "mae": np.abs(errors)}, groups)
    for name in ("rmse", "rmse_low", "rmse_high"):
        found[name] = float(np.sqrt(found[name]))
    spread = float(((truth - truth.mean()) ** 2).mean())
    if spread:
        found["r2"] = 1 - found["rmse"] ** 2 / spread
    return found


def _with_intervals(values: Mapping[str, Floats], groups: Groups) -> dict[str, float]:
    """The mean of each over rows, and its interval."""
    _, place = np.unique(groups, return_inverse=True)
    sums = np.column_stack(
        [np.bincount(place), *(np.bincount(place, weights=each) for each in values.values())]
    )
    random, count = np.random.default_rng(0), len(sums)
    drawn = np.array(
        [random.multinomial(count, np.full(count, 1 / count)) @ sums for _ in range(RESAMPLES)]
    )
    low, high = np.percentile(drawn[:, 1:] / drawn[:, :1], _PERCENTILES, axis=0)
    found = {}
    for at, (name, each) in enumerate(values.items()):
        found[name] = float(each.mean())
        found[f"{name}_low"], found[f"{name}_high"] = float(low[at]), float(high[at])
    return found


def _auc(truth: Floats, probability: Floats) -> float:
    """The share of pairs of one row of each class that are in the right order, ties half
    (Mann and Whitney 1947; Hanley and McNeil 1982)."""
    positive, negative = (truth == 1).sum(), (truth == 0).sum()
    _, place, counts = np.unique(probability, return_inverse=True, return_counts=True)
    middle_ranks = np.cumsum(counts) - (counts - 1) / 2
    ranks = middle_ranks[place][truth == 1].sum()
    return float((ranks - positive * (positive + 1) / 2) / (positive * negative))
