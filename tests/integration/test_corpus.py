"""Passes over a corpus with the bundled model: what they count, and how they go on."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from app.corpus import running
from app.corpus.counting.counts import Counts
from app.corpus.library import Library
from app.corpus.order import Order
from app.corpus.reading.rows import BLANK_LINE, NOT_JSON, TEXT_NOT_STRING
from app.corpus.reading.source import Corpus, Selection
from app.corpus.state import BusyPassError, Kept
from app.routing.batches import route
from app.routing.capture import capture
from app.routing.encoding import encode, encode_beginning
from app.routing.errors import TextTooLongError
from app.routing.loaded import LoadedModel
from app.routing.models import ModelRegistry
from app.routing.trace import RoutingTrace
from tests.forked import Forked, run_forked
from tests.integration.helpers import ROOT, Command, Environment, Folder, until
from tests.unit.test_corpus_counts import assert_same

HELD_OUT = ROOT / "training" / "heldout.jsonl.gz"
DOCUMENTS = 45
MOST = 96
# Few tokens a batch, so that a small corpus is many batches and several windows.
BATCH = 384


@pytest.fixture(scope="module")
def loaded(registry: ModelRegistry) -> LoadedModel:
    return registry.get(registry.default)


@pytest.fixture(scope="module")
def corpus_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts of all domains, with blank and broken lines between them."""
    with gzip.open(HELD_OUT, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    file = tmp_path_factory.mktemp("corpus") / "some.jsonl"
    chosen = [
        {"text": row["text"][: 60 + 17 * place], "domain": row["domain"]}
        for place, row in enumerate(rows[:: len(rows) // DOCUMENTS][:DOCUMENTS])
    ]
    texts = [json.dumps(row, ensure_ascii=False) for row in chosen]
    texts[3:3] = ["", '{"text": 7}', "no json"]
    file.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def order(corpus_file: Path) -> Order:
    return Order(
        (str(corpus_file),), "text", ("domain",), "switch-mini-8", MOST, "some", batch_tokens=BATCH
    )


def go(loaded: LoadedModel, order: Order, folder: Path, batches: int | None = None) -> bool:
    """Goes on with a pass, at most so many batches."""
    left = iter(range(batches)) if batches is not None else None
    corpus = Corpus([Path(name) for name in order.files], Selection(order.text, order.labels))

    def stop() -> bool:
        return left is not None and next(left, None) == (batches or 0) - 1

    return running.run(loaded, corpus, order, Kept(folder), stop=stop)


@pytest.fixture(scope="module")
def whole(loaded: LoadedModel, order: Order, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a pass that was never stopped."""
    folder = tmp_path_factory.mktemp("whole")
    assert go(loaded, order, folder)
    return folder


def counts_in(folder: Path) -> Counts:
    kept = Kept(folder)
    return Counts.load(kept.counts_of(kept.state().number))


def test_padding_and_packing_change_no_choice(loaded: LoadedModel) -> None:
    with gzip.open(HELD_OUT, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"][: 20 + 9 * place] for place, line in enumerate(lines)][
            :60
        ]
    encoded = [encode_beginning(loaded, text, 128)[0].ids for text in texts]
    together = route(loaded, encoded)
    begin = 0
    for ids in encoded:
        end = begin + len(ids)
        for output, single in zip(together, route(loaded, [ids]), strict=True):
            assert output.experts[begin:end].tolist() == single.experts.tolist()
            assert output.dropped[begin:end].tolist() == single.dropped.tolist()
            np.testing.assert_allclose(output.logits[begin:end], single.logits, atol=1e-4)
        begin = end
    assert begin == len(together[0].experts)


def test_capacity_counts_within_each_document(loaded: LoadedModel) -> None:
    ids = encode(loaded, "one " * 150, 512).ids
    room = loaded.capacity
    assert room is not None
    alone, twice = route(loaded, [ids]), route(loaded, [ids, ids])
    lost = [int(output.dropped.sum()) for output in alone]
    assert max(lost) > 0
    assert [int(output.dropped.sum()) for output in twice] == [2 * number for number in lost]


def test_counts_are_those_of_single_traces(
    loaded: LoadedModel, order: Order, corpus_file: Path, whole: Path
) -> None:
    counts = counts_in(whole)
    rows = []
    for line in corpus_file.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    texts = [row["text"] for row in rows if isinstance(row["text"], str)]
    assert len(texts) == counts.documents == DOCUMENTS
    traces: list[RoutingTrace] = []
    for text in texts:
        _, end = encode_beginning(loaded, text, MOST)
        traces.append(capture(loaded, text[:end], MOST))
    assert counts.tokens == sum(len(trace.layers[0].experts) for trace in traces)
    assert counts.truncated == sum(len(encode(loaded, text, 10_000).ids) > MOST for text in texts)
    for index in range(len(counts.shape)):
        experts = np.concatenate([trace.layers[index].experts.ravel() for trace in traces])
        found = counts.usage.assignments[counts.layout.part(index)]
        assert found.tolist() == np.bincount(experts, minlength=len(found)).tolist()
    assert Kept(whole).state().skips.counts == dict.fromkeys(
        (BLANK_LINE, TEXT_NOT_STRING, NOT_JSON), 1
    )


@pytest.mark.parametrize("batches", [1, 3, 7])
def test_a_stopped_pass_goes_on_to_the_same_counts(
    loaded: LoadedModel, order: Order, whole: Path, tmp_path: Path, batches: int
) -> None:
    starts = 1
    while not go(loaded, order, tmp_path, batches):
        assert Kept(tmp_path).state().finished is False
        starts += 1
    assert starts > 1
    assert_same(counts_in(tmp_path), counts_in(whole))
    assert Kept(tmp_path).state().skips.plain() == Kept(whole).state().skips.plain()


def test_every_tokens_routing_is_written_once(
    loaded: LoadedModel, order: Order, whole: Path, tmp_path: Path
) -> None:
    asked = replace(order, tokens=True)
    while not go(loaded, asked, tmp_path, 5):
        # What a process wrote after its last state belongs to none.
        (tmp_path / "tokens" / "part-00099.parquet").write_bytes(b"half a fi")
    counts = counts_in(whole)
    table = pq.read_table(tmp_path / "tokens")
    assert table.num_rows == counts.tokens
    places = set(zip(table["document"].to_pylist(), table["position"].to_pylist(), strict=True))
    assert len(places) == counts.tokens
    name = counts.shape[-1].name
    chosen = np.concatenate(table[f"{name}/experts"].to_numpy())
    assert np.bincount(chosen, minlength=8).tolist() == (
        counts.usage.assignments[counts.layout.part(len(counts.shape) - 1)].tolist()
    )


def test_two_processes_do_not_work_on_one_pass(tmp_path: Path) -> None:
    with Kept(tmp_path).alone(), pytest.raises(BusyPassError), Kept(tmp_path).alone():
        pass


def test_the_beginning_of_a_text_that_is_too_long(loaded: LoadedModel) -> None:
    text = "The river bank was closed on Sunday, and nobody knew why. " * 40
    found, end = encode_beginning(loaded, text, 50)
    assert 40 <= len(found.ids) <= 50
    assert found.ids == encode(loaded, text[:end], 50).ids
    whole, length = encode_beginning(loaded, "short", 50)
    assert length == 5
    assert whole.ids == encode(loaded, "short", 50).ids
    with pytest.raises(TextTooLongError):
        encode_beginning(loaded, text, 1)


def test_the_command_counts_and_records(
    command: Command, forked: Command, corpus_file: Path, data_folder: Folder
) -> None:
    folder = data_folder()
    asked = ("corpus", str(corpus_file), "--max-tokens", str(MOST))
    first = command(*asked, settings={"MOESCOPE_DATA_DIR": folder})
    assert first.returncode == 0, first.stderr
    lines = first.stdout.splitlines()
    assert lines[0].startswith(f"{DOCUMENTS} documents, ")
    assert sum(line.startswith("skipped 1:") for line in lines) == 3
    assert sum(" load " in line and "expert" in line for line in lines) == 24
    run = lines[-2].removeprefix("run ")
    assert lines[-1] == f"http://127.0.0.1:8050/experts?run={run}"
    (found,) = Library(folder).passes()
    assert (found.status, found.run_id) == ("recorded", run)
    written = {
        path.name for path in (folder / "artifacts" / run / "artifacts" / "counts").iterdir()
    }
    assert {"shape.json", "experts.parquet", "labels-0.parquet"} <= written
    again = forked(*asked, settings={"MOESCOPE_DATA_DIR": folder})
    assert again.stdout == first.stdout


def test_a_killed_pass_goes_on(
    environment: Environment, data_folder: Folder, loaded: LoadedModel, tmp_path: Path
) -> None:
    folder = data_folder()
    asked = ("corpus", str(HELD_OUT), "--max-tokens", "128", "--no-record")
    settings = environment(MOESCOPE_DATA_DIR=folder)
    process = Forked(asked, settings, stdout=folder / "said", stderr=folder / "said")
    library = Library(folder)
    until(lambda: any(one.state.number > 1 for one in library.passes()))
    process.kill()
    process.wait()
    (cut,) = library.passes()
    assert cut.status == "stopped"
    assert 0 < library.counts(cut.about.id).documents < 600
    done = run_forked(asked, settings)
    assert done.returncode == 0, done.stderr
    assert "goes on after" in done.stderr
    plain = Kept(tmp_path)
    corpus = Corpus([HELD_OUT], Selection("text", ("domain",)))
    assert running.run(loaded, corpus, cut.about.order, plain)
    assert_same(library.counts(cut.about.id), counts_in(tmp_path))


@pytest.mark.parametrize(
    ("content", "arguments", "said"),
    [
        (b"", (), "some.csv is empty"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, (), "some.csv"),
        (b"a,b\nhello there,2\n", ("--text", "words"), "words"),
        (b"text\nhello\n", ("--max-tokens", "0"), "--max-tokens"),
        (b"text\nhello\n", ("--model", "none/such"), "no model of that name"),
        (b"text\nhello\n", ("--label", "x", "--no-labels"), "--no-labels"),
    ],
)
def test_what_can_not_be_read_ends_with_2(
    forked: Command, tmp_path: Path, content: bytes, arguments: tuple[str, ...], said: str
) -> None:
    file = tmp_path / "some.csv"
    file.write_bytes(content)
    result = forked("corpus", str(file), *arguments)
    assert result.returncode == 2, result.stderr
    assert said in result.stderr
    assert "Traceback" not in result.stderr
