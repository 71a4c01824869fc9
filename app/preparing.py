"""A table as it goes into a training: read, prepared, split into rows to train on and others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app.automl.columns import Columns, Rows
from app.automl.order import Order
from app.sources import digest_of, group_of, read_source
from app.tables.cells import as_numbers, levels, ordered
from app.tables.columns import describe
from app.tables.drift import Bins
from app.tables.errors import TableError
from app.tables.fitting import fit, trainable
from app.tables.reading import Table
from app.tables.recipe import Recipe
from app.tables.schema import Schema
from app.tables.secret import secret_key
from app.tables.splitting import held_out, held_out_groups
from app.tables.targets import Target, guess_task, target_of


@dataclass(frozen=True)
class Prepared:
    """A table as it goes into a training.

    `about`, plain values: its digest, how many rows, those skipped, notes on the target, `fitted`
    to prepare other rows in the same way, `histograms` to compare them with.
    """

    columns: Columns
    rows: Rows
    about: Mapping[str, Any]


@dataclass(frozen=True)
class HeldOut:
    """The rows that an order holds out, as the table has them; `groups` int64 [rows]. The target
    is as a model gives it: a level, or a number."""

    frame: pd.DataFrame
    groups: NDArray[np.int64]


@dataclass(frozen=True)
class _Split:
    """The rows of a table that can be learnt from, and which are held out, bool [rows]."""

    table: Table
    recipe: Recipe
    frame: pd.DataFrame
    target: Target
    out: NDArray[np.bool_]


def prepare(order: Order, data: Path) -> Prepared:
    """Reads the table of an order, and prepares and splits it; what is known of the held-out
    rows goes into nothing. `data` is the folder with the key. Raises TableError."""
    split = _split(order, data)
    frame, recipe, out = split.frame, split.recipe, split.out
    key = secret_key(data) if recipe.hashed else None
    fitted = fit(frame[~out], recipe, key)
    answers = fitted.answers(frame)
    whole = fitted.apply(frame, key).assign(**{recipe.target: answers})
    training, holdout = whole[~out], whole[out]
    task = Schema.of_fitted(fitted).task
    columns = Columns.of_frame(training, recipe.target, task, recipe.features, ordered)
    if task != "regression" and len(columns.classes) < 2:
        raise TableError(f"without the rows held out «{recipe.target}» has one value only")
    groups = _groups(frame, recipe)
    rows = Rows(training, holdout)
    if groups is not None:
        rows = replace(rows, training_groups=groups[~out], holdout_groups=groups[out])
    about = {
        "digest": digest_of(order.source, data),
        "rows": len(split.table.frame),
        "skipped": split.table.skipped.plain(),
        "training": len(training),
        "holdout": len(holdout),
        "notes": list(split.target.notes),
        "fitted": fitted.plain(),
        "histograms": _histograms(fitted.inputs(frame[~out], key)),
    }
    return Prepared(columns, rows, about)


def held_out_rows(order: Order, data: Path) -> HeldOut:
    """The rows that a training of this order was judged by. Raises TableError."""
    split = _split(order, data)
    frame, recipe = split.frame[split.out], split.recipe
    answers = frame[recipe.target]
    answers = levels(answers) if recipe.task == "classification" else as_numbers(answers)
    groups = _groups(split.frame, recipe)
    of = np.arange(len(frame)) if groups is None else groups[split.out]
    return HeldOut(frame.assign(**{recipe.target: answers}), of)


def _split(order: Order, data: Path) -> _Split:
    table = read_source(order.source, data)
    recipe = _recipe(order, table.frame)
    recipe.check(table.frame.columns)
    frame = table.frame[trainable(table.frame, recipe)]
    target = target_of(frame[recipe.target], recipe.task)
    if target.problems:
        raise TableError(target.problems[0])
    return _Split(table, recipe, frame, target, _held_out(frame, recipe, order))


def _recipe(order: Order, frame: pd.DataFrame) -> Recipe:
    if order.recipe is not None:
        return Recipe.of(order.recipe)
    if order.target not in frame:
        raise TableError(f"there is no column «{order.target}»")
    task = guess_task(frame[order.target])
    return Recipe.guess(describe(frame), order.target, task, group_of(order.source))


def _held_out(frame: pd.DataFrame, recipe: Recipe, order: Order) -> NDArray[np.bool_]:
    if recipe.group is not None:
        return held_out_groups(frame[recipe.group], order.seed, order.holdout)
    classes = levels(frame[recipe.target]) if recipe.task == "classification" else None
    return held_out(len(frame), order.seed, order.holdout, classes)


def _groups(frame: pd.DataFrame, recipe: Recipe) -> NDArray[np.int64] | None:
    """The number of each row's group; a row without one is alone."""
    if recipe.group is None:
        return None
    codes, unique = pd.factorize(levels(frame[recipe.group]))
    alone = codes < 0
    numbers: NDArray[np.int64] = codes.astype(np.int64)
    numbers[alone] = len(unique) + np.arange(int(alone.sum()))
    return numbers


def _histograms(inputs: pd.DataFrame) -> dict[str, Any]:
    """What later rows are compared with: for each feature its bins and the training's counts."""
    found = {}
    for name in inputs.columns:
        bins = Bins.of_training(inputs[name])
        found[name] = {"bins": bins.plain(), "counts": bins.count(inputs[name]).tolist()}
    return found
