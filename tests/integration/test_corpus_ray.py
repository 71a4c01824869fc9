"""A pass on Ray: the same counts as in one process, wherever it stopped and whoever goes on."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from app.corpus import running
from app.corpus.counting.counts import Counts
from app.corpus.on_ray import LOCAL, Cluster, RayError, Recipe, run_on_ray
from app.corpus.order import Order, Progress
from app.corpus.reading.source import Corpus, Selection, SourceError
from app.corpus.running import Stop
from app.corpus.state import PARTS, Kept
from app.routing.loaded import LoadedModel
from app.settings import BUNDLED_FOLDER, BUNDLED_MODEL, ModelSpec
from tests.integration.helpers import ROOT, Environment, free_port
from tests.texts import sentences

# Ray Data 2.60 warns of its own defaults when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:`use_:DeprecationWarning")

DOCUMENTS = 150
LANGUAGES = ("c", "go", "python")
WORKERS = 2


def corpus_file(folder: Path) -> Path:
    """Sentences of three labels, and some lines that are no documents."""
    file = folder / "sentences.jsonl"
    lines = [
        json.dumps({"text": text, "language": LANGUAGES[number % 3]})
        for number, text in enumerate(sentences(DOCUMENTS))
    ]
    for place in (40, 20, 1):
        lines.insert(place, '{"text": null, "language": "go"}')
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def order_of(file: Path) -> Order:
    """A pass of several windows, some of several batches."""
    return Order(
        (str(file),), "text", ("language",), BUNDLED_MODEL, 48, tokens=True, batch_tokens=32
    )


class Pass:
    """One pass in a folder of its own, gone on with in this process or on Ray."""

    def __init__(self, loaded: LoadedModel, order: Order, folder: Path) -> None:
        self.loaded, self.order, self.kept = loaded, order, Kept(folder)
        self.told: list[Progress] = []

    def here(self, stop: Stop = lambda: False) -> bool:
        return running.run(
            self.loaded, self._corpus(), self.order, self.kept, self.told.append, stop
        )

    def on_ray(
        self, stop: Stop = lambda: False, address: str = LOCAL, workers: int = WORKERS
    ) -> bool:
        spec = ModelSpec(BUNDLED_MODEL, str(BUNDLED_FOLDER), local=True)
        recipe = Recipe(spec, "float32", torch.get_num_threads(), self.kept.folder.parent)
        return run_on_ray(
            self.loaded, self._corpus(), self.order, self.kept, Cluster(address, workers), recipe,
            self.told.append, stop,
        )  # fmt: skip

    def _corpus(self) -> Corpus:
        paths = [Path(name) for name in self.order.files]
        return Corpus(paths, Selection(self.order.text, self.order.labels))

    def counts(self) -> Counts:
        return Counts.load(self.kept.counts_of(self.kept.state().number))

    def tokens(self) -> pa.Table:
        """Every token's routing, by document and position."""
        parts = sorted((self.kept.folder / PARTS).glob("part-*.parquet"))
        table = pa.concat_tables([pq.read_table(part) for part in parts])
        return table.sort_by([("document", "ascending"), ("position", "ascending")])


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus_file(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def local(loaded: LoadedModel, file: Path, tmp_path_factory: pytest.TempPathFactory) -> Pass:
    """The pass that was never stopped, in this process."""
    found = Pass(loaded, order_of(file), tmp_path_factory.mktemp("local"))
    assert found.here()
    return found


def is_the_same(found: Pass, expected: Pass) -> None:
    """Whole numbers and words to the bit, fractions but for the order of adding."""
    counts, other = found.counts(), expected.counts()
    assert (counts.documents, counts.tokens, counts.truncated) == (
        other.documents,
        other.tokens,
        other.truncated,
    )
    tables, others = counts.tables(), other.tables()
    assert tables.keys() == others.keys()
    for name, table in tables.items():
        assert table.schema == others[name].schema
        for column in table.column_names:
            values, known = table[column], others[name][column]
            if pa.types.is_floating(flat_type(values.type)):
                assert np.allclose(flat(values), flat(known), rtol=1e-9, atol=0), (name, column)
            else:
                assert values.equals(known), (name, column)
    assert found.kept.state().skips == expected.kept.state().skips
    assert found.kept.state().place == expected.kept.state().place
    assert found.tokens().equals(expected.tokens())


def addresses_listened_at() -> set[str]:
    """By the processes that this one started, and those that they did."""
    found = set()
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            sockets = process.net_connections("tcp")
            found |= {each.laddr.ip for each in sockets if each.status == psutil.CONN_LISTEN}
    return found


def flat_type(kind: pa.DataType) -> pa.DataType:
    return flat_type(kind.value_type) if hasattr(kind, "value_type") else kind


def flat(values: pa.ChunkedArray) -> np.ndarray:
    while hasattr(values.type, "value_type"):
        values = pa.compute.list_flatten(values)
    return values.to_numpy()


def is_finished_on_ray(found: Pass) -> None:
    """Lets Ray go on to the end of a pass, and looks who could reach it meanwhile."""
    heard, told = set(), len(found.told)

    def listen() -> bool:
        heard.update(addresses_listened_at())
        return False

    assert found.on_ray(stop=listen)
    assert heard, "Ray's processes were not found"
    assert heard <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}, "others can reach it"
    assert len(found.told) > told + 1, "the corpus is one window: nothing was shared"
    assert found.told[-1].done == found.told[-1].size
    assert found.told[-1].skipped == 3
    assert found.counts().documents == DOCUMENTS


@pytest.mark.timeout(600)
def test_two_workers_go_on_with_a_pass_as_one_process_does(
    loaded: LoadedModel, local: Pass, tmp_path: Path
) -> None:
    found = Pass(loaded, local.order, tmp_path)
    # In the middle of a window.
    assert not found.here(stop=lambda: len(found.told) == 2)
    assert found.kept.state().groups == 2
    before = found.counts().documents
    assert 0 < before < DOCUMENTS
    is_finished_on_ray(found)
    assert found.told[2].documents > before
    is_the_same(found, local)
    told = len(found.told)
    assert found.on_ray()
    assert len(found.told) == told, "a finished pass was counted again"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_workers_count_what_one_process_counts(
    loaded: LoadedModel, local: Pass, tmp_path: Path
) -> None:
    found = Pass(loaded, local.order, tmp_path)
    is_finished_on_ray(found)
    is_the_same(found, local)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_workers_go_on_where_two_workers_stopped(
    loaded: LoadedModel, local: Pass, tmp_path: Path
) -> None:
    found = Pass(loaded, local.order, tmp_path)
    assert not found.on_ray(stop=lambda: True)
    assert found.kept.state().groups == 0
    assert not found.kept.state().finished
    before = found.counts().documents
    assert 0 < before < DOCUMENTS
    assert found.on_ray()
    assert found.told[1].documents > before
    is_the_same(found, local)


@pytest.mark.timeout(600)
def test_what_is_wrong_with_a_file_is_told_as_in_one_process(
    loaded: LoadedModel, file: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.jsonl.gz"
    # The fault lies beyond what is looked at when a file is opened.
    chance = random.Random(3)
    rest = "".join(
        f'\n{{"text": null, "x": "{chance.randbytes(200).hex()}"}}' for _ in range(20_000)
    )
    cut.write_bytes(gzip.compress(file.read_bytes() + rest.encode())[:-1000])
    here, on_ray = (Pass(loaded, order_of(cut), tmp_path / name) for name in ("here", "on_ray"))
    with pytest.raises(SourceError) as error:
        here.here()
    assert here.told, "the fault was found before anything was counted"
    with pytest.raises(SourceError) as other:
        on_ray.on_ray(workers=1)
    assert str(other.value) == str(error.value)


def test_an_address_without_ray_is_told(loaded: LoadedModel, file: Path, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(RayError, match=f"no Ray answers at {address}"):
        Pass(loaded, order_of(file), tmp_path).on_ray(address=address)


def test_without_ray_one_line_says_what_to_install(
    environment: Environment, file: Path, tmp_path: Path
) -> None:
    code = (
        "import sys; sys.modules['ray'] = None; from app.__main__ import main;"
        "sys.exit(main(sys.argv[1:]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, "corpus", str(file), "--ray", "local"],
        cwd=ROOT,
        env=environment(MOESCOPE_DATA_DIR=tmp_path),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    assert result.stderr == ("moescope: Ray is missing: pip install -r requirements-ray.txt\n")
    assert not (tmp_path / "corpora").exists()
