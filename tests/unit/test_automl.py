"""The parts of AutoML that need neither H2O nor Java: columns by number, metrics, leaderboards."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sklearn_metrics

from app.automl import evaluation
from app.automl.columns import FOLD, TARGET, Columns, Kind
from app.automl.importance import importances
from app.automl.leaderboard import failures_of, leaders_of, name_of, now_of
from app.automl.mojo import Scores
from app.automl.order import Failure, Importance, Leader, Model, Progress, Result

AWKWARD = ['; DROP "x"', " a,b", "NA", "line\nbreak", "a.b", "ünï", "="]
STAMP = "_AutoML_1_20261127_185208"


def awkward() -> tuple[pd.DataFrame, Columns]:
    """A table whose names and levels are what files don't like; the last row has nothing."""
    frame = pd.DataFrame(
        {
            AWKWARD[0]: [*AWKWARD, None],
            "n": [1.5, -2e300, 0.1 + 0.2, np.nan, np.inf, 3.0, 4.0, np.nan],
            "y,": [*"abcabc", "a", "b"],
        }
    )
    kinds: dict[str, Kind] = {AWKWARD[0]: "category", "n": "number"}
    return frame, Columns.of_frame(frame, "y,", "multiclass", kinds)


class TestColumns:
    def test_a_category_is_the_number_of_its_level(self) -> None:
        frame, columns = awkward()
        assert columns.features[0].levels == tuple(sorted(AWKWARD))
        numbers = columns.numbers(frame)
        assert [sorted(AWKWARD)[int(place)] for place in numbers[:-1, 0]] == AWKWARD
        assert np.isnan(numbers[-1, 0])

    def test_a_number_stays_what_it_is_and_an_infinite_one_is_missing(self) -> None:
        frame, columns = awkward()
        found = columns.numbers(frame)[:, 1]
        assert found[:3].tolist() == [1.5, -2e300, 0.1 + 0.2]
        assert np.isnan(found[[3, 4, 7]]).all()

    def test_what_the_training_had_not_is_missing(self) -> None:
        frame, columns = awkward()
        other = frame.assign(**{AWKWARD[0]: "never seen", "y,": "z"})
        assert np.isnan(columns.numbers(other)[:, 0]).all()
        assert np.isnan(columns.truth(other)).all()

    def test_values_that_are_no_text_are_levels_too(self) -> None:
        frame = pd.DataFrame({"b": [True, False, None], "y": [1, 0, 1]})
        columns = Columns.of_frame(frame, "y", "binary", {"b": "category"})
        assert (columns.features[0].levels, columns.classes) == (("False", "True"), ("0", "1"))
        assert columns.truth(frame).tolist() == [1, 0, 1]

    def test_h2o_reads_no_name_and_no_level(self, tmp_path: Path) -> None:
        frame, columns = awkward()
        types = columns.write(frame, tmp_path / "table.csv", np.arange(8) % 3)
        assert types == {"c0": "Enum", "c1": "Numeric", TARGET: "Enum", FOLD: "Numeric"}
        text = (tmp_path / "table.csv").read_text(encoding="utf-8")
        assert set(text) <= set("0123456789.,e+-\n") | set("c" + TARGET + FOLD)
        rows = list(csv.reader(text.splitlines()))
        assert rows[0] == ["c0", "c1", TARGET, FOLD]
        assert rows[-1] == ["", "", "000001", "1"]
        assert float(rows[3][1]) == 0.1 + 0.2

    def test_they_are_the_same_after_json(self) -> None:
        _, columns = awkward()
        assert Columns.of(json.loads(json.dumps(columns.plain()))) == columns

    def test_a_missing_column_is_an_error(self) -> None:
        frame, columns = awkward()
        with pytest.raises(KeyError):
            columns.numbers(frame.drop(columns="n"))


def classes(*names: str) -> Columns:
    return Columns((), "y", "binary" if len(names) == 2 else "multiclass", names)


def random_answers(rows: int, count: int) -> tuple[np.ndarray[Any, Any], Scores]:
    random = np.random.default_rng(3)
    truth = random.integers(0, count, rows).astype(float)
    raw = random.random((rows, count)) + np.eye(count)[truth.astype(int)] / 2
    # Two digits make ties.
    probabilities = np.round(raw / raw.sum(axis=1, keepdims=True), 2) + 1e-3
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return truth, Scores(probabilities.argmax(axis=1).astype(float), probabilities)


class TestDifference:
    def test_it_is_that_of_the_mean_losses_with_an_interval_of_the_pairs(self) -> None:
        columns = classes(*"abc")
        truth, scores = random_answers(300, 3)
        sharper = Scores(
            scores.predicted, (scores.probabilities + np.eye(3)[truth.astype(int)]) / 2
        )
        groups = np.arange(300) // 3
        mine, others = (evaluation.losses(columns, truth, each) for each in (sharper, scores))
        found = evaluation.difference(mine, others, groups)
        assert found["better"] == pytest.approx(others.mean() - mine.mean())
        assert 0 < found["better_low"] < found["better"] < found["better_high"]
        same = evaluation.difference(mine, mine, groups)
        assert same == {"better": 0, "better_low": 0, "better_high": 0}

    def test_of_numbers_it_is_how_far_off_they_are(self) -> None:
        columns = Columns((), "y", "regression")
        truth = np.array([1.0, 2.0])
        scores = Scores(np.array([3.0, 1.5]), np.empty((2, 0)))
        assert evaluation.losses(columns, truth, scores).tolist() == [2.0, 0.5]


class TestMetrics:
    @pytest.mark.parametrize("count", [2, 5])
    def test_those_of_classes_are_scikit_learns(self, count: int) -> None:
        truth, scores = random_answers(300, count)
        found = evaluation.metrics(classes(*"abcde"[:count]), truth, scores, np.arange(300))
        balanced = sklearn_metrics.balanced_accuracy_score(truth, scores.predicted)
        assert found["accuracy"] == sklearn_metrics.accuracy_score(truth, scores.predicted)
        assert found["log_loss"] == pytest.approx(
            sklearn_metrics.log_loss(truth, scores.probabilities)
        )
        assert found["mean_per_class_error"] == pytest.approx(1 - balanced)
        if count == 2:
            auc = sklearn_metrics.roc_auc_score(truth, scores.probabilities[:, 1])
            assert found["auc"] == pytest.approx(auc)
        else:
            assert "auc" not in found

    def test_those_of_numbers_are_scikit_learns(self) -> None:
        random = np.random.default_rng(4)
        truth = random.normal(size=200)
        predicted = truth + random.normal(size=200) / 3
        columns = Columns((), "y", "regression")
        scores = Scores(predicted, np.empty((200, 0)))
        found = evaluation.metrics(columns, truth, scores, np.arange(200))
        assert found["rmse"] ** 2 == pytest.approx(
            sklearn_metrics.mean_squared_error(truth, predicted)
        )
        assert found["mae"] == pytest.approx(sklearn_metrics.mean_absolute_error(truth, predicted))
        assert found["r2"] == pytest.approx(sklearn_metrics.r2_score(truth, predicted))
        assert found["rmse_low"] < found["rmse"] < found["rmse_high"]
        assert evaluation.loss(columns, truth, scores) == found["rmse"]

    def test_an_interval_covers_what_it_should_about_as_often(self) -> None:
        random = np.random.default_rng(5)
        covered = 0
        for _ in range(200):
            truth = (random.random(150) < 0.5).astype(float)
            scores = Scores(
                np.where(random.random(150) < 0.8, truth, 1 - truth), np.eye(2)[[0] * 150]
            )
            found = evaluation.metrics(classes("a", "b"), truth, scores, np.arange(150))
            covered += found["accuracy_low"] <= 0.8 <= found["accuracy_high"]
        assert 180 <= covered <= 198

    def test_rows_of_one_group_are_no_more_sure_than_one(self) -> None:
        truth, scores = random_answers(100, 3)
        many = Scores(np.repeat(scores.predicted, 9), np.repeat(scores.probabilities, 9, axis=0))
        groups = np.repeat(np.arange(100), 9)
        one = evaluation.metrics(classes(*"abc"), truth, scores, np.arange(100))
        nine = evaluation.metrics(classes(*"abc"), np.repeat(truth, 9), many, groups)
        assert nine == pytest.approx(one)

    def test_a_class_that_the_training_had_not_is_a_miss_and_a_great_loss(self) -> None:
        truth = np.array([0.0, np.nan])
        scores = Scores(np.zeros(2), np.array([[0.9, 0.1], [0.5, 0.5]]))
        found = evaluation.metrics(classes("a", "b"), truth, scores, np.arange(2))
        assert found["accuracy"] == 0.5
        assert found["log_loss"] == pytest.approx((-math.log(0.9) - math.log(1e-15)) / 2)

    def test_what_the_rows_cannot_tell_is_left_out(self) -> None:
        ones = Scores(np.ones(3), np.tile([0.2, 0.8], (3, 1)))
        found = evaluation.metrics(classes("a", "b"), np.ones(3), ones, np.arange(3))
        assert "auc" not in found
        assert found["mean_per_class_error"] == 0
        numbers = Columns((), "y", "regression")
        assert "r2" not in evaluation.metrics(numbers, np.ones(3), ones, np.arange(3))

    def test_the_baseline_knows_the_trainings_target_alone(self) -> None:
        trained_on = np.array([0.0, 1, 1, 1])
        scores = evaluation.baseline(classes("a", "b"), trained_on, 2)
        assert scores.predicted.tolist() == [1, 1]
        assert scores.probabilities.tolist() == [[0.25, 0.75]] * 2
        # On the training's own rows its log loss is the entropy of the target.
        own = evaluation.baseline(classes("a", "b"), trained_on, 4)
        entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
        assert evaluation.loss(classes("a", "b"), trained_on, own) == pytest.approx(entropy)
        numbers = evaluation.baseline(Columns((), "y", "regression"), np.array([1.0, 3]), 3)
        assert numbers.predicted.tolist() == [2, 2, 2]

    def test_confusion_counts_truth_by_row(self) -> None:
        truth, predicted = np.array([0.0, 0, 1, np.nan]), np.array([0.0, 1, 1, 0])
        assert evaluation.confusion(truth, predicted, 2).tolist() == [[1, 1], [0, 1]]


class TestImportance:
    def test_a_column_that_is_used_is_ahead_of_one_that_is_not(self) -> None:
        random = np.random.default_rng(6)
        numbers = random.normal(size=(400, 3))
        truth = 3 * numbers[:, 2] + numbers[:, 0]

        def loss(shuffled: np.ndarray[Any, Any], rows: np.ndarray[Any, Any]) -> float:
            answers = 3 * shuffled[:, 2] + shuffled[:, 0]
            return float(np.sqrt(((truth[rows] - answers) ** 2).mean()))

        found = importances(["some", "none", "most"], numbers, loss, seed=1)
        assert [one.feature for one in found] == ["most", "some", "none"]
        # Shuffled, a column differs from itself by √2 of its spread.
        assert found[0].value == pytest.approx(3 * math.sqrt(2), rel=0.1)
        assert (found[2].value, found[2].deviation) == (0, 0)
        assert importances(["some", "none", "most"], numbers, loss, seed=1) == found

    def test_of_a_wide_table_some_rows_are_drawn(self) -> None:
        seen: list[int] = []

        def loss(shuffled: np.ndarray[Any, Any], rows: np.ndarray[Any, Any]) -> float:
            seen.append(len(rows))
            assert len(shuffled) == len(rows)
            return 0.0

        importances([f"c{place}" for place in range(1000)], np.zeros((500, 1000)), loss, seed=1)
        assert set(seen) == {50}


def table(names: list[str], *rows: list[Any]) -> dict[str, Any]:
    """A table as H2O tells it."""
    return {"columns": [{"name": name} for name in names], "data": list(zip(*rows, strict=True))}


class TestLeaderboard:
    def test_names_are_without_h2os_stamp(self) -> None:
        assert name_of(f"GBM_1{STAMP}") == "GBM_1"
        assert name_of(f"GBM_grid_1{STAMP}_model_3") == "GBM_grid_1_model_3"
        assert now_of(f"DRF_1{STAMP} [DRF def_1]") == "DRF_1"
        assert now_of("No base models; skipping this StackedEnsemble") == ""

    def test_leaders_have_our_metrics_and_no_empty_ones(self) -> None:
        told = table(
            ["", "model_id", "logloss", "mean_per_class_error", "rmse", "mse"],
            ["0", f"StackedEnsemble_AllModels_1{STAMP}", 0.5, 0.1, "NaN", 0.2],
            ["1", f"GLM_1{STAMP}", 0.6, 0.2, 0.3, 0.2],
        )
        first, second = leaders_of({"leaderboard_table": told})
        assert (first.name, first.family) == ("StackedEnsemble_AllModels_1", "StackedEnsemble")
        assert first.validation == {"log_loss": 0.5, "mean_per_class_error": 0.1}
        assert second == Leader(
            "GLM_1", f"GLM_1{STAMP}", {"log_loss": 0.6, "mean_per_class_error": 0.2, "rmse": 0.3}
        )

    def test_a_failure_belongs_to_the_model_that_was_begun(self) -> None:
        told = table(
            ["level", "message"],
            ["INFO", f"AutoML: starting GLM_1{STAMP} model training"],
            ["INFO", f"AutoML: starting GBM_1{STAMP} model training"],
            ["ERROR", "_min_rows param, The dataset size\n is too small"],
        )
        found = failures_of({"event_log_table": told})
        assert found == (Failure("GBM_1", "min_rows: The dataset size is too small"),)


def test_progress_and_result_are_the_same_after_json() -> None:
    leader = Leader("GLM_1", f"GLM_1{STAMP}", {"log_loss": 0.5})
    failure = Failure("GBM_1", "too few rows")
    progress = Progress("training", 3.5, None, "GBM_2", (leader,), (failure,))
    assert Progress.of(json.loads(json.dumps(progress.plain()))) == progress
    _, columns = awkward()
    result = Result(
        columns=columns,
        metric="log_loss",
        models=(Model("GLM_1", "GLM", {"log_loss": 0.5}, {"accuracy": 0.9}, 1.5),),
        others=(leader,),
        failures=(failure,),
        baseline={"accuracy": 0.5},
        importance=(Importance("n", 0.25, 0.5),),
        rows={"training": 7, "holdout": 3},
        seconds=12.5,
        stopped=False,
        versions={"h2o": "3"},
    )
    assert Result.of(json.loads(json.dumps(result.plain()))) == result
