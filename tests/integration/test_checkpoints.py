"""Passes of several checkpoints compared token by token: real models, passes, server."""

from __future__ import annotations

import csv
import io
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from app.corpus.checkpoints import checkpoints, names
from app.corpus.library import Library, Pass
from app.corpus.parts import part_files
from app.corpus.saturations import Compared, Saturations
from app.routing import metrics
from app.routing.capture import capture
from app.routing.encoding import encode_beginning
from app.server import build
from app.settings import load_settings
from tests.atlas_pass import write_corpus
from tests.checkpoints import make_passes, write_checkpoint
from tests.conftest import load
from tests.integration.helpers import ask, is_ready, serving, until
from tests.integration.test_api import check_problem

# In the order of their names as texts, which is not that of their numbers.
NOISE = {"step-10": 0.3, "step-9": 0.6, "step-100": 0.0}
MOST = 48


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="module")
def corpus(data: Path) -> Path:
    path = data / "corpus.jsonl"
    write_corpus(path, 2)
    return path


@pytest.fixture(scope="module")
def folders(data: Path, tiny_switch: Callable[..., Path]) -> dict[str, Path]:
    final = tiny_switch()
    return {name: write_checkpoint(final, data / name, noise) for name, noise in NOISE.items()}


@pytest.fixture(scope="module")
def made(data: Path, corpus: Path, folders: dict[str, Path]) -> dict[str, str]:
    return make_passes(data, corpus, folders, max_tokens=MOST)


@pytest.fixture(scope="module")
def library(data: Path, made: dict[str, str]) -> Library:
    return Library(data)


@pytest.fixture
def final(library: Library, made: dict[str, str]) -> Pass:
    return library.find(made["step-100"])


def beside(library: Library, chosen: Pass) -> list[Compared]:
    compared = Saturations(library).beside(chosen, 60)
    assert all(each.settled for each in compared)
    return compared


def test_checkpoints_stand_in_the_order_of_their_numbers(library: Library, final: Pass) -> None:
    assert names(checkpoints(library, final)) == ["step-9", "step-10"]


def test_it_is_the_saturation_of_single_traces(
    library: Library, final: Pass, folders: dict[str, Path], corpus: Path
) -> None:
    texts = [json.loads(line)["text"] for line in corpus.read_text("utf-8").splitlines()]
    loaded = {name: load(folder, name) for name, folder in folders.items()}

    def chosen(name: str) -> list[np.ndarray]:
        """Of each layer, the experts of all tokens."""
        of = loaded[name]
        traces = [
            capture(of, text[: encode_beginning(of, text, MOST)[1]], MOST).stack_layers("encoder")
            for text in texts
        ]
        return [
            np.concatenate([each.experts for each in layer]) for layer in zip(*traces, strict=True)
        ]

    last = chosen("step-100")
    shares = []
    for each in beside(library, final):
        outcome = each.outcome
        assert outcome is not None
        assert (outcome.documents, outcome.tokens) == (len(texts), len(last[0]))
        its = chosen(each.found.about.order.model)
        for layer, mine, found in zip(outcome.layers, last, its, strict=True):
            assert layer.share == pytest.approx(metrics.saturation(mine, found))
            assert layer.low < layer.share < layer.high
            loads = [metrics.expert_load(experts, 4) for experts in (mine, found)]
            assert layer.chance == pytest.approx(loads[0] @ loads[1])
        shares.append(np.mean([layer.share for layer in outcome.layers]))
    assert shares[0] < shares[1] < 1, "the later checkpoint is nearer"


def test_two_are_compared_once(library: Library, final: Pass, made: dict[str, str]) -> None:
    first = beside(library, final)
    kept = sorted(library.folder(id_) for id_ in made.values())
    files = [file for folder in kept for file in folder.glob("saturation-*.json")]
    assert len(files) == 2
    # Without the tokens it could not be done again, from either side.
    place = part_files(library.folder(final.about.id), 1)[0]
    away = place.with_suffix(".away")
    place.rename(away)
    try:
        assert beside(library, final) == first
        other = library.find(made["step-9"])
        its = {each.found.about.order.model: each for each in beside(library, other)}
        assert its["step-100"].outcome == first[0].outcome
        # This one is new, and does not need what is away.
        assert its["step-10"].outcome is not None
    finally:
        away.rename(place)


def test_what_does_not_fit_is_left_out(
    library: Library,
    final: Pass,
    data: Path,
    corpus: Path,
    folders: dict[str, Path],
    tiny_switch: Callable[..., Path],
) -> None:
    step = {"step-9": folders["step-9"]}
    (without,) = make_passes(data, corpus, step, tokens=False, max_tokens=MOST).values()
    (shorter,) = make_passes(data, corpus, step, max_tokens=MOST - 1).values()
    others = {"more": tiny_switch(num_experts=8)}
    (more,) = make_passes(data, corpus, others, max_tokens=MOST).values()
    # The same pass by another name, with other labels: the newest counts.
    (again,) = make_passes(data, corpus, step, labels=(), max_tokens=MOST).values()
    try:
        found = [one.about.id for one in checkpoints(library, final)]
        assert len(found) == 2
        assert found[0] == again
        assert not {without, shorter, more} & set(found)
        assert checkpoints(library, library.find(without)) == []
    finally:
        for id_ in (without, shorter, more, again):
            library.remove(id_)


def copied(data: Path, to: Path) -> Library:
    """The same passes, none compared yet."""
    ignored = shutil.ignore_patterns("saturation-*")
    shutil.copytree(data / "corpora", to / "corpora", ignore=ignored)
    return Library(to)


def test_work_under_way_holds_nobody_up(final: Pass, data: Path, tmp_path: Path) -> None:
    go = threading.Event()
    work = Saturations(copied(data, tmp_path), go.wait)
    first = work.beside(final)
    assert [each.settled for each in first] == [False, False]
    assert not any(each.done for each in first)
    go.set()
    assert all(each.settled for each in work.beside(final, 60))
    work.close()


def test_parts_that_differ_or_are_gone_are_told(
    library: Library, final: Pass, data: Path, made: dict[str, str], tmp_path: Path
) -> None:
    copy = copied(data, tmp_path)
    (part,) = part_files(copy.folder(made["step-9"]), 1)
    table = pq.read_table(part)
    pq.write_table(table.slice(0, len(table) - 1), part)
    part_files(copy.folder(made["step-10"]), 1)[0].write_bytes(b"no Parquet")
    told = {each.found.about.order.model: each.problem for each in beside(copy, final)}
    assert told["step-9"] == "the two passes read different tokens"
    assert "could not be read" in told["step-10"]


@pytest.fixture(scope="module")
def server(data: Path, made: dict[str, str]) -> Iterator[str]:
    with serving(build(load_settings(MOESCOPE_DATA_DIR=data))) as address:
        until(lambda: is_ready(address))
        yield address


def test_both_files_say_the_same(server: str, library: Library, final: Pass) -> None:
    base = f"{server}/api/v1/corpora/{final.about.id}/checkpoints"
    answer = ask(f"{base}.csv")
    assert answer.status == 200
    name = f"checkpoints-{final.about.id[:8]}.csv"
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    rows = list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))
    table = pq.read_table(io.BytesIO(ask(f"{base}.parquet").body)).to_pylist()
    compared = beside(library, final)
    layers = [(each, one) for each in compared if each.outcome for one in each.outcome.layers]
    assert len(rows) == len(table) == len(layers) == 4
    for row, found, (each, layer) in zip(rows, table, layers, strict=True):
        assert found["model"] == row["model"] == each.found.about.order.model
        assert found["compared_with"] == row["compared_with"] == final.about.id
        values = (layer.share, layer.low, layer.high, layer.chance)
        columns = ("saturation", "low", "high", "chance")
        assert tuple(found[column] for column in columns) == values
        assert tuple(float(row[column]) for column in columns) == values
        assert found["tokens"] == each.found.progress.tokens


def test_a_pass_that_none_fits_is_a_problem(
    server: str, data: Path, corpus: Path, folders: dict[str, Path]
) -> None:
    alone = {"step-9": folders["step-9"]}
    (id_,) = make_passes(data, corpus, alone, max_tokens=MOST - 2).values()
    check_problem(ask(f"{server}/api/v1/corpora/{id_}/checkpoints.csv"), 404)
    check_problem(ask(f"{server}/api/v1/corpora/{id_}/checkpoints.html"), 404)
    check_problem(ask(f"{server}/api/v1/corpora/{'0' * 32}/checkpoints.csv"), 404)
