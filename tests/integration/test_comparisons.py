"""Over HTTP: a version beside the champion, and a sentence beside what explains a router."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.automl.library import Trainings
from app.server import build
from app.settings import load_settings
from app.surfaces import explained
from tests.atlas_pass import make_pass, write_corpus
from tests.integration.helpers import Folder, ask, is_ready, serving, until
from tests.integration.test_api import check_problem
from tests.trained import put


@pytest.fixture(scope="module")
def data(data_folder: Folder) -> Path:
    return data_folder()


@pytest.fixture(scope="module")
def trainings(data: Path) -> list[str]:
    """Of two versions of a model."""
    return [put(name, data, data / f"{name}.csv") for name in ("flowers", "flowers again")]


@pytest.fixture(scope="module")
def server(data: Path, trainings: list[str]) -> Iterator[str]:
    with serving(build(load_settings(MOESCOPE_DATA_DIR=data))) as address:
        until(lambda: is_ready(address))
        library = Trainings(data)
        until(lambda: all(library.find(id_).status == "recorded" for id_ in trainings))
        yield address


def test_both_versions_are_judged_on_the_same_rows(
    server: str, data: Path, trainings: list[str]
) -> None:
    found = ask(f"{server}/api/v1/models/flowers/comparison?version=2").json()
    assert (found["champion"], found["challenger"]) == (1, 2)
    result = Trainings(data).find(trainings[1]).result
    assert result is not None
    assert found["rows"] == result.rows["holdout"]
    # These are the rows that the challenger was judged by.
    assert found["challenger_metrics"] == pytest.approx(dict(result.best.holdout))
    losses_of = [found[f"{which}_metrics"]["log_loss"] for which in ("champion", "challenger")]
    assert found["better"] == pytest.approx(losses_of[0] - losses_of[1])
    assert found["better_low"] <= found["better"] <= found["better_high"]


def test_what_can_not_be_compared_is_told(server: str, data: Path) -> None:
    compare = f"{server}/api/v1/models/flowers/comparison?version="
    check_problem(ask(f"{compare}9"), 404)
    check_problem(ask(f"{compare}0"), 422)
    champion = ask(f"{compare}1")
    check_problem(champion, 422)
    assert "champion itself" in champion.json()["detail"]
    table = data / "flowers again.csv"
    hidden = table.rename(data / "elsewhere.csv")
    try:
        check_problem(ask(f"{compare}2"), 422)
    finally:
        hidden.rename(table)


def test_the_sentence_is_for_routers(server: str, trainings: list[str]) -> None:
    address = f"{server}/api/v1/trainings/{trainings[0]}/sentence"
    answer = ask(address, {"text": "A flower."})
    check_problem(answer, 422)
    assert "does not explain a router" in answer.json()["detail"]
    check_problem(ask(f"{server}/api/v1/trainings/{'0' * 32}/sentence", {"text": "A"}), 404)


def test_a_router_is_explained_and_a_sentence_stands_beside_it(server: str, data: Path) -> None:
    corpus = data / "corpus.jsonl"
    write_corpus(corpus, 2)
    make_pass(data, corpus, "with tokens", 64, tokens=True)
    (router,) = ask(f"{server}/api/v1/tables").json()["routers"]
    layer = router["layers"][1]
    order = {"table": layer["table"], "target": "expert", "models": 1}
    id_ = ask(f"{server}/api/v1/trainings", order).json()["id"]
    address = f"{server}/api/v1/trainings/{id_}"
    until(lambda: ask(address).json()["status"] == "recorded", 240)
    found = ask(address).json()
    assert found["router"]["layer_name"] == layer["name"]
    assert found["table"]["group"] == "document"
    best = found["leaders"][0]["holdout"]
    assert best["log_loss"] < found["baseline"]["log_loss"]
    assert {"explained", "confusion", "importance"} == set(ask(f"{address}/figures").json())
    (layer_told,) = explained(Trainings(data), router["id"])
    assert (layer_told.layer, layer_told.training) == (1, id_)
    assert (layer_told.best, layer_told.labels) == (best, ("domain",))
    text = "The bank of the river"
    guessed = ask(f"{address}/sentence", {"text": text}).json()
    analysis = ask(f"{server}/api/v1/analyses", {"text": text, "record": False}).json()
    place = [each["name"] for each in analysis["layers"]].index(layer["name"])
    assert guessed["tokens"] == analysis["tokens"]
    (only,) = guessed["layers"]
    assert (only["name"], only["training"]) == (layer["name"], id_)
    assert only["true"] == [str(token[0]) for token in analysis["experts"][place]]
    assert len(only["predicted"]) == len(only["true"])
    assert all(0 <= p <= 1 for p in only["probability"])
    labelled = {"text": text, "labels": {"domain": "code"}}
    (with_label,) = ask(f"{address}/sentence", labelled).json()["layers"]
    assert with_label["true"] == only["true"]
    check_problem(ask(f"{address}/sentence", {"text": " "}), 422)
