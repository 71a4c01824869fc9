"""Trainings as MLflow runs, and their best models in the registry."""

from __future__ import annotations

import csv
import json
import shutil
import uuid
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from app.automl.library import Trainings
from app.figures.trainings.recorded import training_figures
from app.recording.base import InvalidQueryError, RecordingError
from app.recording.model_runs import ModelRecorder, Recorded
from app.recording.registered import ModelNotFoundError
from app.recording.registry import Registry
from app.settings import Settings, load_settings
from app.trainings import Trainers
from tests.integration.helpers import Folder
from tests.s3 import S3Server
from tests.trained import KEPT, NAMES, own_answers, put


def record(settings: Settings, name: str) -> Recorded:
    """A training of this name, recorded."""
    library = Trainings(settings.data_dir)
    id_ = put(name, settings.data_dir)
    recorder = ModelRecorder(settings, training_figures)
    return recorder.record(library.find(id_), library.folder(id_))


def files_of(settings: Settings, run_id: str) -> Path:
    return settings.data_dir / "artifacts" / run_id / "artifacts"


def all_runs(settings: Settings) -> list[Run]:
    client = MlflowClient(settings.tracking_uri)
    return list(client.search_runs([each.experiment_id for each in client.search_experiments()]))


@pytest.fixture(scope="module")
def kept(data_folder: Folder) -> Settings:
    """Settings of a folder in which all trainings are recorded; not to be changed."""
    return load_settings(MOESCOPE_DATA_DIR=data_folder())


@pytest.fixture(scope="module")
def recorded(kept: Settings) -> dict[str, Recorded]:
    return {name: record(kept, name) for name in NAMES}


@pytest.fixture
def registry(kept: Settings, recorded: dict[str, Recorded], tmp_path: Path) -> Registry:
    """The registry of all trainings, to be changed."""
    shutil.copy(kept.data_dir / "mlflow.db", tmp_path)
    return Registry(load_settings(MOESCOPE_DATA_DIR=tmp_path))


def test_a_run_holds_what_was_trained_and_how_good_it_is(
    kept: Settings, recorded: dict[str, Recorded]
) -> None:
    found = recorded["diabetes"]
    run = MlflowClient(kept.tracking_uri).get_run(found.run_id)
    training = Trainings(kept.data_dir).find(run.data.tags["moescope.training"])
    assert run.info.status == "FINISHED"
    assert run.data.params["table_sha256"] == training.table["digest"]
    assert run.data.params["best_model"] == "GLM_1"
    assert run.data.params["h2o_version"].startswith("3.46")
    assert training.result is not None
    assert run.data.metrics["holdout/rmse"] == training.result.best.holdout["rmse"]
    assert run.data.metrics["baseline/rmse"] > run.data.metrics["holdout/rmse"]
    (dataset,) = run.inputs.dataset_inputs
    assert dataset.dataset.digest == training.table["digest"][:36]
    assert {each["name"] for each in json.loads(dataset.dataset.schema)["mlflow_colspec"]} >= {
        "bmi",
        "target",
    }
    folder = files_of(kept, found.run_id)
    with (folder / "leaderboard.csv").open(encoding="utf-8", newline="") as rows:
        assert [row["model"] for row in csv.DictReader(rows)] == ["GLM_1", "GBM_1"]
    assert {file.name for file in (folder / "figures").iterdir()} == {
        f"{name}.{ending}" for name in ("residuals", "importance") for ending in ("html", "json")
    }


def test_each_model_has_a_run_below(kept: Settings, recorded: dict[str, Recorded]) -> None:
    parent = recorded["diabetes"].run_id
    runs = all_runs(kept)
    below = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent]
    assert {run.info.run_name for run in below} == {"GLM_1", "GBM_1"}
    for run in below:
        assert run.info.status == "FINISHED"
        assert run.data.metrics.keys() >= {"validation/rmse", "holdout/rmse", "training_seconds"}


def test_classes_have_a_confusion_matrix(kept: Settings, recorded: dict[str, Recorded]) -> None:
    folder = files_of(kept, recorded["flowers"].run_id)
    table = pd.read_csv(folder / "confusion.csv", index_col="true class")
    assert list(table.index) == list(table.columns) == ["setosa", "versicolor", "virginica"]
    assert table.to_numpy().sum() == len(pd.read_parquet(folder / "holdout.parquet"))
    assert (folder / "figures" / "confusion.html").exists()


def test_recording_again_finds_what_is_there(settings: Settings) -> None:
    found = record(settings, "flowers")
    library = Trainings(settings.data_dir)
    (training,) = library.all()
    recorder = ModelRecorder(settings, training_figures)
    assert recorder.record(training, library.folder(training.id)) == found
    assert len(all_runs(settings)) == 2
    assert len(MlflowClient(settings.tracking_uri).search_model_versions()) == 1


def test_a_recording_that_was_broken_off_is_finished(settings: Settings) -> None:
    id_ = put("flowers", settings.data_dir)
    library = Trainings(settings.data_dir)
    training, folder = library.find(id_), library.folder(id_)
    holdout = folder / "holdout.parquet"
    holdout.rename(folder / "away")
    recorder = ModelRecorder(settings, training_figures)
    with pytest.raises(RecordingError, match="can't record the training"):
        recorder.record(training, folder)
    (begun,) = all_runs(settings)
    assert begun.info.status == "RUNNING"
    versions = MlflowClient(settings.tracking_uri).search_model_versions()
    assert not versions, "nothing is registered half"
    (folder / "away").rename(holdout)
    found = recorder.record(training, folder)
    assert found.run_id == begun.info.run_id
    assert found.version is not None
    assert found.version.role == "champion"


def test_what_is_removed_before_it_is_whole_is_marked(settings: Settings) -> None:
    id_ = put("flowers", settings.data_dir)
    trainers = Trainers(settings)
    (trainers.library.folder(id_) / "holdout.parquet").unlink()
    with pytest.raises(RecordingError):
        trainers.record(id_)
    trainers.remove(id_)
    (begun,) = all_runs(settings)
    assert begun.info.status == "KILLED"
    assert "removed before it was recorded" in begun.data.tags["mlflow.note.content"]


def test_one_that_ended_without_a_model_has_a_run_that_says_why(settings: Settings) -> None:
    trainers = Trainers(settings)
    library = trainers.library
    id_ = put("flowers", settings.data_dir)
    (library.folder(id_) / "result.json").unlink()
    library.want(id_, "run")
    with library.alone(id_):
        assert library.find(id_).status == "running"
    trainers.note_end(id_)
    (run,) = all_runs(settings)
    assert run.info.status == "KILLED"
    assert "its process ended before it had a result" in run.data.tags["mlflow.note.content"]
    library.failed(id_, "out of memory")
    trainers.note_end(id_)
    assert all_runs(settings)[0].info.status == "KILLED", "it says so once"
    library.want(id_, "run")
    shutil.copytree(KEPT / "flowers", library.folder(id_), dirs_exist_ok=True)
    recorded = trainers.record(id_)
    assert recorded.run_id == run.info.run_id, "it is the same training's"
    assert recorded.version is not None
    whole = MlflowClient(settings.tracking_uri).get_run(run.info.run_id)
    assert whole.info.status == "FINISHED"
    assert whole.data.tags["mlflow.note.content"].startswith("Models that predict")


def test_mlflow_loads_what_is_registered(
    kept: Settings, recorded: dict[str, Recorded], monkeypatch: pytest.MonkeyPatch
) -> None:
    with warnings.catch_warnings():
        # MLflow's own, at import.
        warnings.simplefilter("ignore", UserWarning)
        import mlflow.pyfunc
    monkeypatch.setenv("MLFLOW_TRACKING_URI", kept.tracking_uri)
    model = mlflow.pyfunc.load_model("models:/flowers@champion")
    signature = model.metadata.signature
    assert signature.inputs.input_names() == [
        *("sepal length", "sepal width", "petal length", "petal width", "colour"),
    ]
    own = own_answers("flowers")
    rows = pd.DataFrame(own["rows"])[signature.inputs.input_names()]
    answers = model.predict(rows.astype({"colour": object}))
    probabilities = answers.drop(columns="prediction").to_numpy()
    assert np.abs(probabilities - np.array(own["probabilities"])).max() < 1e-6
    example = model.input_example
    assert len(model.predict(example)) == 1


def test_the_first_version_is_champion_and_later_ones_wait(
    kept: Settings, recorded: dict[str, Recorded]
) -> None:
    first, second = (recorded[name].version for name in ("flowers", "flowers again"))
    assert first is not None
    assert second is not None
    assert (first.name, first.version, first.role) == ("flowers", 1, "champion")
    assert (second.name, second.version, second.role) == ("flowers", 2, "challenger")
    assert [each.name for each in Registry(kept).models()] == ["diabetes", "flowers"]
    model = Registry(kept).model("flowers")
    assert (model.champion, model.challenger, model.previous) == (1, 2, None)
    assert model.versions[0].metrics["accuracy"] > model.versions[0].baseline["accuracy"]


def test_versions_are_promoted_rolled_back_and_retired(registry: Registry, tmp_path: Path) -> None:
    promoted = registry.promote("flowers", 2)
    assert (promoted.champion, promoted.challenger, promoted.previous) == (2, None, 1)
    assert registry.version("flowers").version == 2
    back = registry.roll_back("flowers")
    assert (back.champion, back.previous) == (1, None)
    assert [each.role for each in back.versions] == ["former", "champion"]
    with pytest.raises(InvalidQueryError, match="no champion before"):
        registry.roll_back("flowers")
    retired = registry.retire("flowers", 1)
    assert retired.champion is None
    assert [each.role for each in retired.versions] == ["former", "retired"]
    with pytest.raises(ModelNotFoundError, match="«flowers» has no champion"):
        registry.version("flowers")
    with pytest.raises(ModelNotFoundError, match="version 1 of «flowers» is retired"):
        registry.promote("flowers", 1)
    assert registry.promote("flowers", 2).champion == 2
    told = [(event.action, event.version) for event in registry.model("flowers").events]
    assert told == [
        ("promoted", 2),
        ("retired", 1),
        ("rolled back", 2),
        ("promoted", 2),
        ("promoted", 1),
    ]
    tags = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").get_model_version("flowers", "2").tags
    assert tags.keys() >= {"moescope.promoted", "moescope.rolled_back"}


def test_what_is_not_there_is_said(kept: Settings, recorded: dict[str, Recorded]) -> None:
    registry = Registry(kept)
    for name in ("nothing", "a/b", "", "x" * 300, "'; drop"):
        with pytest.raises(ModelNotFoundError, match="there is no"):
            registry.version(name)
    with pytest.raises(ModelNotFoundError, match="«flowers» has no version 9"):
        registry.version("flowers", 9)
    with pytest.raises(ModelNotFoundError, match="«diabetes» has no challenger"):
        registry.version("diabetes", "challenger")
    with pytest.raises(ModelNotFoundError, match="has no version 9"):
        registry.promote("flowers", 9)


def test_a_name_that_others_have_gets_a_number(settings: Settings) -> None:
    client = MlflowClient(settings.tracking_uri)
    client.create_registered_model("flowers")
    found = record(settings, "flowers").version
    assert found is not None
    assert found.name == "flowers-2"
    assert [each.name for each in Registry(settings).models()] == ["flowers-2"]
    with pytest.raises(ModelNotFoundError):
        Registry(settings).model("flowers")


def test_a_training_that_renews_another_is_a_version_of_its_model(settings: Settings) -> None:
    record(settings, "flowers")
    library = Trainings(settings.data_dir)
    (first,) = library.all()
    id_ = put("flowers again", settings.data_dir)
    again = library.find(id_)
    again = replace(again, order=replace(again.order, name="renamed", follows=first.id))
    recorder = ModelRecorder(settings, training_figures)
    found = recorder.record(again, library.folder(id_)).version
    assert found is not None
    assert (found.name, found.version) == ("flowers", 2)


def test_an_alias_that_was_set_elsewhere_is_followed(registry: Registry, tmp_path: Path) -> None:
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    client.set_registered_model_alias("flowers", "champion", "2")
    model = registry.model("flowers")
    assert (model.champion, model.previous) == (2, 1)


def test_files_in_a_bucket_are_fetched(
    s3: S3Server, data_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MLFLOW_S3_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "")  # what is set here is as before afterwards
    bucket = s3.settings(f"models-{uuid.uuid4().hex[:12]}")
    settings = load_settings(MOESCOPE_DATA_DIR=data_folder(), **bucket)
    version = record(settings, "flowers").version
    assert version is not None
    assert version.source.startswith("s3://")
    with Registry(settings).folder(version) as folder:
        assert {file.name for file in folder.iterdir()} >= {"MLmodel", "model.zip", "schema.json"}
    assert not folder.exists()


def test_a_store_that_is_down_is_one_line(settings: Settings) -> None:
    down = settings.model_copy(update={"mlflow_tracking_uri": "http://127.0.0.1:9"})
    with pytest.raises(RecordingError) as raised:
        Registry(down).models()
    assert "\n" not in str(raised.value)
