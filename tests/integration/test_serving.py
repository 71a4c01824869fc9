"""Registered models over HTTP: answers, changes of the champion, drift and quality."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow.tracking import MlflowClient

from app.automl.library import Trainings
from app.automl.mojo import ModelFileError
from app.figures.trainings.recorded import training_figures
from app.recording.base import RecordingError
from app.recording.model_runs import ModelRecorder
from app.recording.registry import Registry
from app.server import build
from app.serving.predictor import Predictor
from app.serving.serving import MOST_ROWS, Serving
from app.settings import Settings, load_settings
from app.tables.secret import mark
from tests.integration.helpers import ROOT, Answer, Folder, ask, serving, until
from tests.integration.test_api import check_problem
from tests.trained import NAMES, own_answers, put, table_of

COLUMNS = ("sepal length", "sepal width", "petal length", "petal width", "colour")
ROW = {
    "sepal length": 5.1,
    "sepal width": 3.5,
    "petal length": 1.4,
    "petal width": 0.2,
    "colour": "light",
}


@pytest.fixture(scope="module")
def settings(data_folder: Folder) -> Settings:
    """A folder in which all trainings are recorded: two versions of «flowers», «diabetes»."""
    found = load_settings(MOESCOPE_DATA_DIR=data_folder())
    library, recorder = Trainings(found.data_dir), ModelRecorder(found, training_figures)
    for name in NAMES:
        id_ = put(name, found.data_dir)
        recorder.record(library.find(id_), library.folder(id_))
    return found


@pytest.fixture(scope="module")
def server(settings: Settings) -> Iterator[str]:
    with serving(build(settings)) as address:
        yield address


@pytest.fixture
def champion(settings: Settings, server: str) -> Iterator[Registry]:
    """The registry; the first version is the champion, before and afterwards."""
    registry = Registry(settings)
    yield registry
    registry.promote("flowers", 1)
    until(lambda: predict(server, [ROW]).json()["version"] == 1)


@pytest.fixture
def table() -> list[dict[str, Any]]:
    """The rows of «flowers», the truth among them."""
    frame = table_of("flowers").astype(object)
    rows: list[dict[str, Any]] = frame.where(frame.notna(), None).to_dict("records")
    return rows


def predict(server: str, rows: Any, name: str = "flowers", **fields: Any) -> Answer:
    return ask(f"{server}/api/v1/models/{name}/predict", {"rows": rows} | fields)


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    written = io.StringIO()
    lines = csv.DictWriter(written, rows[0])
    lines.writeheader()
    lines.writerows(rows)
    return written.getvalue().encode()


def check_schema_problem(answer: Answer, *errors: tuple[int, str, str, str]) -> None:
    """That rows are refused with these offences: row, column, expected, found."""
    assert answer.status == 422
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    names = ("row", "column", "expected", "found")
    assert body["errors"] == [dict(zip(names, each, strict=True)) for each in errors]
    assert body["total"] == len(errors)
    assert body["detail"].startswith(f"row {errors[0][0]}")


class TestAnswers:
    @pytest.mark.parametrize("name", ["flowers", "diabetes"])
    def test_they_are_h2os_own(self, server: str, name: str) -> None:
        own = own_answers(name)
        answer = predict(server, own["rows"], name)
        assert answer.status == 200
        found = answer.json()
        assert (found["model"], found["version"]) == (name, 1)
        if name == "diabetes":
            assert found["task"] == "regression"
            assert found["probabilities"] == []
            assert np.abs(np.array(found["predictions"]) - own["predicted"]).max() < 1e-6
            return
        classes = ["setosa", "versicolor", "virginica"]
        assert found["predictions"] == [classes[int(place)] for place in own["predicted"]]
        theirs = np.array(own["probabilities"])
        ours = np.array([[each[name] for name in classes] for each in found["probabilities"]])
        assert np.abs(ours - theirs).max() < 1e-6
        assert len(set(found["ids"])) == len(own["rows"])

    def test_csv_is_answered_as_json_is(self, server: str) -> None:
        rows = own_answers("flowers")["rows"]
        by_json = predict(server, rows).json()
        address = f"{server}/api/v1/models/flowers/predict"
        kind = {"content-type": "text/csv; charset=utf-8"}
        by_csv = ask(address, as_csv(rows), **kind).json()
        assert by_csv["probabilities"] == by_json["probabilities"]
        one = ask(f"{server}/predict?name=flowers&version=2", as_csv(rows), **kind).json()
        assert one["version"] == 2
        assert one["probabilities"] != by_json["probabilities"]
        semicolons = as_csv(rows[:1]).replace(b",", b";").replace(b".", b",")
        german = ask(address, semicolons, **kind).json()
        assert german["probabilities"] == by_json["probabilities"][:1]

    def test_the_name_may_be_in_the_body(self, server: str) -> None:
        found = ask(f"{server}/predict", {"name": "flowers", "rows": [ROW]})
        assert found.status == 200
        assert found.json()["predictions"] == ["setosa"]
        check_problem(ask(f"{server}/predict", {"rows": [ROW]}), 422)
        assert ask(f"{server}/predict").headers["content-type"].startswith("text/html")

    def test_another_version_or_alias_is_asked_by_its_name(self, server: str) -> None:
        assert predict(server, [ROW], version=2).json()["version"] == 2
        assert predict(server, [ROW], alias="challenger").json()["version"] == 2
        assert predict(server, [ROW], alias="champion").json()["version"] == 1
        both = check_problem(predict(server, [ROW], alias="champion", version=1), 422)
        assert both["detail"] == "name an alias or a version, not both"

    def test_missing_and_unknown_values_are_taken_as_the_model_was_told(self, server: str) -> None:
        rows = [ROW | {"colour": None}, ROW | {"colour": "never seen"}, ROW | {"colour": ""}]
        found = predict(server, rows).json()["probabilities"]
        assert found[0] == found[1] == found[2]
        assert found[0] != predict(server, [ROW]).json()["probabilities"][0]
        assert predict(server, [ROW | {"other": 1, "sepal width": "3.5"}]).status == 200

    def test_many_ask_at_once(self, server: str) -> None:
        rows = own_answers("flowers")["rows"]
        alone = [predict(server, [row]).json()["probabilities"][0] for row in rows]
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(lambda row: predict(server, [row]).json(), rows * 3))
        assert [each["probabilities"][0] for each in together] == alone * 3
        assert len({each["ids"][0] for each in together}) == 3 * len(rows)


class TestRefusals:
    def test_every_offence_is_told_with_its_place(self, server: str) -> None:
        rows = [
            ROW,
            ROW | {"sepal length": "abc", "petal width": True},
            {name: value for name, value in ROW.items() if name != "colour"},
            ROW | {"colour": ["red"]},
        ]
        check_schema_problem(
            predict(server, rows),
            (2, "sepal length", "a number or null", "«abc»"),
            (2, "petal width", "a number or null", "true"),
            (3, "colour", "text or null", "nothing"),
            (4, "colour", "text or null", "a list"),
        )
        check_schema_problem(predict(server, []), (1, "", "at least one row", "none"))
        check_schema_problem(predict(server, [ROW, 3]), (2, "", "an object", "3"))

    def test_of_many_offences_the_first_are_told(self, server: str) -> None:
        body = predict(server, [ROW | {"sepal length": "x"}] * 1000).json()
        assert len(body["errors"]) == 20
        assert body["total"] == 1000
        assert body["detail"].endswith("and 999 more")

    @pytest.mark.parametrize(
        ("body", "detail"),
        [
            (b"{", "the body is not valid JSON"),
            (b'{"rows": [{"a": NaN}]}', "the body is not valid JSON"),
            (b"[1]", "the body must be a JSON object, sent as application/json"),
            (b"{}", "rows: Field required"),
            (b'{"rows": 1}', "rows: Input should be a valid list"),
            (b'{"rows": [], "what": 1}', "the body has a field that is not known here"),
            (b'{"rows": [], "version": 0}', "version: Input should be greater than or equal to 1"),
        ],
    )
    def test_a_body_that_is_none_is_refused(self, server: str, body: bytes, detail: str) -> None:
        answer = ask(f"{server}/api/v1/models/flowers/predict", body)
        assert check_problem(answer, 422)["detail"] == detail

    def test_csv_that_is_none_is_refused(self, server: str) -> None:
        address, kind = f"{server}/api/v1/models/flowers/predict", {"content-type": "text/csv"}
        header = ",".join(COLUMNS).encode()
        lines = header + b"\n1,2,3,4,red\n\n1,2\n"
        broken = check_problem(ask(address, lines, **kind), 422)
        assert broken["detail"] == "line 4 can't be read: fewer cells than the header"
        assert check_problem(ask(address, header + b"\n", **kind), 422)
        assert check_problem(ask(address, b"", **kind), 422)
        check_schema_problem(
            ask(address, b"sepal length,sepal width,petal length,petal width\nx,1,1,1\n", **kind),
            (1, "sepal length", "a number or null", "«x»"),
            (1, "colour", "text or null", "nothing"),
        )
        assert check_problem(ask(address, b"a", **{"content-type": "text/plain"}), 415)

    def test_what_is_not_there_is_404(self, server: str) -> None:
        for name in ("nothing", "a%2Fb", "x" * 300, "; DROP"):
            assert predict(server, [ROW], name.replace(" ", "%20")).status == 404
        assert check_problem(predict(server, [ROW], version=9), 404)["detail"] == (
            "«flowers» has no version 9"
        )
        assert check_problem(predict(server, [ROW], "diabetes", alias="challenger"), 404)

    def test_too_many_rows_are_413(self, server: str) -> None:
        rows = [{}] * (MOST_ROWS + 1)
        detail = check_problem(predict(server, rows), 413)["detail"]
        assert detail == f"{MOST_ROWS + 1:,} rows; at most {MOST_ROWS:,} are answered at once"
        large = b" " * 32_000_001
        check_problem(ask(f"{server}/api/v1/models/flowers/predict", large), 413)

    def test_without_java_it_says_what_to_install(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("app.automl.java._PACKAGES", ("no_such_package",))
        with serving(build(settings)) as address:
            detail = check_problem(predict(address, [ROW]), 503)["detail"]
        assert detail == "H2O is missing: pip install -r requirements-automl.txt"


def test_the_schema_is_what_generates_clients(server: str) -> None:
    found = ask(f"{server}/api/v1/models/flowers/schema").json()
    assert found["classes"] == ["setosa", "versicolor", "virginica"]
    assert tuple(each["name"] for each in found["fields"]) == COLUMNS
    assert found["row"]["required"] == list(COLUMNS)
    assert found["row"]["properties"]["colour"]["examples"] == ["dark", "light"]
    assert predict(server, [found["example"]]).status == 200
    check_problem(ask(f"{server}/api/v1/models/nothing/schema"), 404)


def test_the_documentation_has_both_ways_to_ask(server: str) -> None:
    paths = ask(f"{server}/openapi.json").json()["paths"]
    for path in ("/predict", "/api/v1/models/{name}/predict"):
        asked = paths[path]["post"]
        assert asked["requestBody"]["content"].keys() == {"application/json", "text/csv"}
        assert asked["responses"].keys() == {"200", "404", "413", "415", "422", "503"}
    assert "get" not in paths["/predict"]


class TestChampions:
    def test_a_new_champion_answers_without_a_failed_request(
        self, server: str, champion: Registry
    ) -> None:
        versions, stopping = list[int](), threading.Event()

        def go_on() -> None:
            while not stopping.is_set():
                answer = predict(server, [ROW])
                assert answer.status == 200
                versions.append(answer.json()["version"])

        with ThreadPoolExecutor(3) as pool:
            asking = [pool.submit(go_on) for _ in range(3)]
            try:
                until(lambda: len(versions) > 20)
                champion.promote("flowers", 2)  # by another process, as it were
                until(lambda: versions[-1] == 2)
                champion.roll_back("flowers")
                until(lambda: versions[-1] == 1)
            finally:
                stopping.set()
            for each in asking:
                each.result(60)
        assert set(versions) == {1, 2}

    @pytest.mark.usefixtures("champion")
    def test_what_is_changed_here_holds_from_the_next_answer_on(self, server: str) -> None:
        models = f"{server}/api/v1/models/flowers"
        assert predict(server, [ROW]).json()["version"] == 1
        promoted = ask(f"{models}/promote", {"version": 2}).json()
        assert (promoted["champion"], promoted["previous"]) == (2, 1)
        assert predict(server, [ROW]).json()["version"] == 2
        back = ask(f"{models}/rollback", method="POST").json()
        assert back["champion"] == 1
        assert [each["action"] for each in back["events"]][:2] == ["rolled back", "promoted"]
        assert predict(server, [ROW]).json()["version"] == 1
        check_problem(ask(f"{models}/rollback", method="POST"), 422)
        check_problem(ask(f"{models}/promote", {"version": 9}), 404)
        check_problem(ask(f"{models}/promote", {"version": "2"}), 422)

    def test_models_are_listed_with_their_versions(self, server: str) -> None:
        found = ask(f"{server}/api/v1/predictors").json()["predictors"]
        assert [each["name"] for each in found] == ["diabetes", "flowers"]
        flowers = ask(f"{server}/api/v1/predictors/flowers").json()
        assert flowers == found[1]
        assert flowers["target"] == "species"
        assert [each["version"] for each in flowers["versions"]] == [2, 1]
        assert flowers["versions"][0]["metrics"]["accuracy"] > 0.8
        check_problem(ask(f"{server}/api/v1/predictors/nothing"), 404)

    def test_where_training_is_off_nobody_changes_versions(self, settings: Settings) -> None:
        off = settings.model_copy(update={"training": False})
        with serving(build(off)) as address:
            models = f"{address}/api/v1/models/flowers"
            for answer in (
                ask(f"{models}/promote", {"version": 2}),
                ask(f"{models}/rollback", method="POST"),
                ask(f"{models}/retire", {"version": 1}),
            ):
                assert "switched off" in check_problem(answer, 403)["detail"]
            assert predict(address, [ROW]).status == 200


class TestWatching:
    """On the second version, which nothing else is asked of for long."""

    def get(self, server: str, what: str, query: str = "") -> dict[str, Any]:
        answer = ask(f"{server}/api/v1/models/flowers/{what}?version=2{query}")
        assert answer.status == 200, answer.body
        found: dict[str, Any] = answer.json()
        return found

    def test_requests_are_counted(self, server: str) -> None:
        before = self.get(server, "traffic")
        predict(server, [ROW] * 3, version=2)
        predict(server, [{}], version=2)
        after = self.get(server, "traffic")
        grown = {name: after[name] - before[name] for name in ("requests", "rows", "refused")}
        assert grown == {"requests": 2, "rows": 3, "refused": 1}
        assert sum(after["days"][-1]["latencies"]) == after["requests"]
        assert after["median_ms"] in after["bins"]

    def test_shifted_rows_are_drift(self, server: str) -> None:
        rows = table_of("diabetes").to_dict("records")
        answer = predict(server, [row | {"bmi": row["bmi"] + 0.1} for row in rows], "diabetes")
        assert answer.status == 200
        found = ask(f"{server}/api/v1/models/diabetes/drift?days=1").json()
        by_name = {each["name"]: each for each in found["features"]}
        assert by_name["bmi"]["verdict"] == "much"
        assert by_name["s5"]["verdict"] == "stable"
        assert by_name["bmi"]["psi"] > 0.25 > by_name["bmi"]["chance"]
        for each in (*found["features"], found["predictions"]):
            assert len(each["bins"]) == len(each["training"]) == len(each["now"])
            assert sum(each["now"]) == each["rows"] >= len(rows)
        assert found["predictions"]["name"] == ""
        assert found["predictions"]["verdict"] == "much"

    def test_labels_give_live_quality(self, server: str, table: list[dict[str, Any]]) -> None:
        answered = predict(server, table, version=2).json()
        labels = [
            {"id": id_, "truth": row["species"]}
            for id_, row in zip(answered["ids"], table, strict=True)
        ]
        address = f"{server}/api/v1/models/flowers/labels"
        told = ask(address, {"labels": [*labels[:100], {"id": "unknown-1", "truth": "setosa"}]})
        assert told.json() == {"known": 100, "unknown": 1}
        rest = ask(address, as_csv(labels[100:]), **{"content-type": "text/csv"})
        assert rest.json() == {"known": 50, "unknown": 0}
        found = self.get(server, "quality")
        right = np.mean(
            [a == b["species"] for a, b in zip(answered["predictions"], table, strict=True)]
        )
        assert found["labelled"] == 150
        assert found["metrics"]["accuracy"] == pytest.approx(right)
        assert found["metrics"]["accuracy_low"] <= right <= found["metrics"]["accuracy_high"]
        assert found["holdout"]["accuracy"] > found["baseline"]["accuracy"]
        other = ask(f"{server}/api/v1/models/diabetes/labels", {"labels": labels[:1]})
        check_problem(other, 422)

    def test_labels_that_are_none_are_refused(self, server: str) -> None:
        address = f"{server}/api/v1/models/flowers/labels"
        for body in ({"labels": [{"id": "a"}]}, {"labels": [{"id": "a", "truth": []}]}, {}):
            check_problem(ask(address, body), 422)
        bad = ask(address, b"a,b\n1,2\n", **{"content-type": "text/csv"})
        assert "«id» and «truth»" in check_problem(bad, 422)["detail"]
        check_problem(ask(address.replace("flowers", "nothing"), {"labels": []}), 404)

    def test_nothing_is_lost_at_the_end(self, settings: Settings) -> None:
        with serving(build(settings)) as address:
            before = self.get(address, "traffic")["requests"]
            for _ in range(5):
                assert predict(address, [ROW], version=2).status == 200
        with serving(build(settings)) as address:
            assert self.get(address, "traffic")["requests"] == before + 5


@pytest.fixture
def copied(settings: Settings, tmp_path: Path) -> Settings:
    """The same registry, to be changed."""
    shutil.copy(settings.data_dir / "mlflow.db", tmp_path)
    return load_settings(MOESCOPE_DATA_DIR=tmp_path)


def test_a_retired_version_answers_no_more(copied: Settings) -> None:
    with serving(build(copied)) as address:
        assert predict(address, [ROW]).status == 200
        retired = ask(f"{address}/api/v1/models/flowers/retire", {"version": 1}).json()
        assert retired["champion"] is None
        for answer in (predict(address, [ROW]), predict(address, [ROW], version=1)):
            check_problem(answer, 404)


def test_what_cannot_be_loaded_leaves_the_one_before(
    settings: Settings, copied: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    client, here = MlflowClient(copied.tracking_uri), Serving(copied)
    first = Registry(copied).version("flowers")
    with Registry(copied).folder(first) as folder:
        broken = Path(shutil.copytree(folder, copied.data_dir / "broken"))
    (broken / "model.zip").write_bytes(b"no zip")
    tags = client.get_model_version("flowers", "1").tags
    client.create_model_version("flowers", broken.as_uri(), first.run_id, tags)
    with pytest.raises(ModelFileError, match="holds no model"):
        here.predict("flowers", [ROW], 3)
    assert here.predict("flowers", [ROW]).version.version == 1
    here.promote("flowers", 3)
    assert here.predict("flowers", [ROW]).version.version == 1
    assert "the one before answers" in caplog.text
    (broken / "schema.json").write_text("{}")
    with pytest.raises(ModelFileError, match="can't be read"):
        here.predict("flowers", [ROW], 3)
    shutil.rmtree(broken)
    with pytest.raises(RecordingError, match="are gone"):
        here.predict("flowers", [ROW], 3)
    assert here.predict("flowers", [ROW], 2).version.version == 2
    here.close()


def test_hashed_columns_need_their_key(settings: Settings, tmp_path: Path) -> None:
    registry, key = Registry(settings), b"a key"
    with registry.folder(registry.version("flowers")) as folder:
        copy = Path(shutil.copytree(folder, tmp_path / "model"))
    recipe = json.loads((copy / "recipe.json").read_text())
    (copy / "recipe.json").write_text(json.dumps(recipe | {"key": mark(key)}))
    with pytest.raises(ModelFileError, match=r"the key .* is not here"):
        Predictor(copy, lambda: b"another")
    assert Predictor(copy, lambda: key).checked([ROW]).shape == (1, 5)


def test_a_store_that_goes_down_stops_no_answers(copied: Settings) -> None:
    here = Serving(copied)
    assert here.predict("flowers", [ROW]).version.version == 1
    database = copied.data_dir / "mlflow.db"
    database.write_bytes(b"no database")
    time.sleep(1.1)  # it is looked up again at most every second
    here.predict("flowers", [ROW])
    assert here.predict("flowers", [ROW]).version.version == 1
    with pytest.raises(RecordingError):
        here.predict("flowers", [ROW], 2)
    here.close()


_ANSWERING = """
import json, sys, threading
from pathlib import Path
from app.automl.columns import Columns
from app.automl.mojo import Scorer
folder = Path(sys.argv[1])
columns = Columns.of(json.loads((folder / "columns.json").read_text()))
first = threading.Thread(target=Scorer, args=(folder / "model.zip", columns))
first.start()
first.join()
"""


def test_a_process_ends_though_the_thread_that_began_java_is_gone(settings: Settings) -> None:
    registry = Registry(settings)
    with registry.folder(registry.version("flowers")) as folder:
        command = [sys.executable, "-c", _ANSWERING, str(folder)]
        assert subprocess.run(command, cwd=ROOT, timeout=120, check=False).returncode == 0
