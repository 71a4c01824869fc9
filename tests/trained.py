"""Finished trainings that lie in tests/data/trained, so that tests of what comes after need no H2O.

Made by `python -m tests.trained`, which trains them with a real H2O and also asks that for its
own answers to the rows held out.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from sklearn.datasets import load_diabetes, load_iris

from app.automl.files import H2O, MODELS, leaderboard_file, model_file
from app.automl.java import VERSION
from app.automl.judging import judge
from app.automl.library import Trainings
from app.automl.order import Order, Result
from app.automl.server import Server, h2o_server
from app.automl.training import Made, make
from app.preparing import Prepared, prepare
from app.tables.safe_csv import safe_csv
from app.trainings import leaderboard

KEPT = Path(__file__).parent / "data" / "trained"
ORDER, ANSWERS = "order.json", "answers.json"
NAMES = ("flowers", "flowers again", "diabetes")


def table_of(name: str) -> pd.DataFrame:
    """The table of a training, from scikit-learn: flowers with a category and missing values."""
    if name == "diabetes":
        frame: pd.DataFrame = load_diabetes(as_frame=True).frame
        return frame
    bunch = load_iris(as_frame=True)
    frame = bunch.frame.rename(columns=lambda column: column.replace(" (cm)", ""))
    frame["species"] = [bunch.target_names[place] for place in frame.pop("target")]
    frame["colour"] = ["dark" if width > 1 else "light" for width in frame["petal width"]]
    frame.loc[::7, "colour"] = None
    frame.loc[3::11, "sepal width"] = None
    return frame


def put(name: str, data: Path, file: Path | None = None) -> str:
    """Puts a finished training into the library of a data folder; gives its id. Its table is
    written to `file`, or is not there any more."""
    folder = KEPT / name
    order = Order.of(json.loads((folder / ORDER).read_text(encoding="utf-8")))
    if file is not None:
        table_of(name).to_csv(file, index=False)
        order = replace(order, source={"file": str(file), "name": file.name})
    library = Trainings(data)
    id_ = library.submit(order)
    shutil.copytree(folder, library.folder(id_), dirs_exist_ok=True)
    return id_


def own_answers(name: str) -> dict[str, Any]:
    """What H2O itself predicted: `rows`, then of each `predicted` (the number of a class, or a
    number) and `probabilities`."""
    found: dict[str, Any] = json.loads((KEPT / name / ANSWERS).read_text(encoding="utf-8"))
    return found


def _make(name: str, data: Path) -> None:
    frame = table_of(name)
    file = data / f"{name}.csv"
    frame.to_csv(file, index=False)
    target = "target" if name == "diabetes" else "species"
    order = Order(
        {"file": str(file), "name": file.name},
        target,
        name.removesuffix(" again"),
        models=2 if name == "diabetes" else 1,
        seed=2 if name.endswith("again") else 1,
        families=("GLM", "GBM") if name == "diabetes" else ("GLM",),
        folds=3,
    )
    library = Trainings(data)
    id_ = library.submit(order)
    folder, prepared = library.folder(id_), prepare(order, data)
    plan = order.plan(prepared.columns.task)
    with h2o_server(folder / H2O, 512, 1) as server:
        made = make(server, plan, prepared.columns, prepared.rows, folder)
        predicted = _asked(server, made, prepared)
    result = _judged(made, prepared, plan.metric, folder)
    leaderboard_file(folder).write_text(safe_csv(leaderboard(result)), encoding="utf-8")
    library.described(id_, prepared.about)
    library.finished(id_, result)
    held_out = frame.loc[prepared.rows.holdout.index].astype(object)
    answers = {
        "rows": held_out.where(held_out.notna(), None).to_dict("records"),
        "predicted": predicted[0],
        "probabilities": [list(row) for row in zip(*predicted[1:], strict=True)],
    }
    (folder / ANSWERS).write_text(json.dumps(answers), encoding="utf-8")
    plain = replace(order, source={"file": file.name, "name": file.name}).plain()
    (folder / ORDER).write_text(json.dumps(plain, indent=1), encoding="utf-8")
    (folder / "about.json").unlink()
    for model in (folder / MODELS).iterdir():
        if model != model_file(folder, result.best.name):
            model.unlink()
    shutil.rmtree(KEPT / name, ignore_errors=True)
    shutil.copytree(folder, KEPT / name)


def _asked(server: Server, made: Made, prepared: Prepared) -> list[list[float]]:
    """Column by column, the answers of the best model."""
    table, holdout = server.folder / "rows.csv", prepared.rows.holdout
    server.client.upload(table, "rows", prepared.columns.write(holdout, table))
    key = made.kept[0].key
    server.client.ask("POST", f"/3/Predictions/models/{key}/frames/rows?predictions_frame=answers")
    told = server.client.ask("GET", f"/3/Frames/answers?row_count={len(holdout)}")
    return [column["data"] for column in told["frames"][0]["columns"]]


def _judged(made: Made, prepared: Prepared, metric: str, folder: Path) -> Result:
    columns, rows = prepared.columns, prepared.rows
    verdict = judge(columns, rows, made.kept, made.seconds, folder, 1)
    return Result(
        columns=columns,
        metric=metric,
        models=verdict.models,
        others=(),
        failures=made.last.failures,
        baseline=verdict.baseline,
        importance=verdict.importance,
        rows={"training": len(rows.training), "holdout": len(rows.holdout)},
        seconds=made.last.seconds,
        stopped=made.stopped,
        versions={"h2o": made.version, "java": str(VERSION)},
    )


if __name__ == "__main__":
    with TemporaryDirectory() as made_in:
        for each in NAMES:
            _make(each, Path(made_in))
