"""Router saturation of parts made by hand, whose every number is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import ArrayLike

from app.corpus import saturation as measured
from app.corpus.counting.batch import LayerShape
from app.corpus.parts import schema_of
from app.corpus.saturation import DifferentTokensError, Overlap, Saturation, saturation
from app.routing import metrics

EXPERTS = 8


def shape(layers: int = 1, k: int = 1) -> tuple[LayerShape, ...]:
    return tuple(LayerShape(f"r{i}", "encoder", i, EXPERTS, k, None) for i in range(layers))


def parts(
    folder: Path, experts: ArrayLike, lengths: Sequence[int], cuts: Sequence[int] = (), **other: int
) -> list[Path]:
    """Parts of documents of these lengths, cut before the tokens `cuts`; experts [layer][token][k].

    `other` adds to the last token's document, position or token id.
    """
    chosen = np.asarray(experts)
    layers, tokens, k = chosen.shape
    schema = schema_of(shape(layers, k))
    columns = {
        "document": np.repeat(np.arange(len(lengths)), lengths),
        "position": np.concatenate([np.arange(length) for length in lengths]),
        "token_id": np.arange(tokens) % 50,
    }
    for name, more in other.items():
        columns[name][-1] += more
    arrays = {name: pa.array(values, schema.field(name).type) for name, values in columns.items()}
    for layer in range(layers):
        flat = pa.array(chosen[layer].ravel(), pa.int16())
        arrays[f"r{layer}/experts"] = pa.FixedSizeListArray.from_arrays(flat, k)
        arrays[f"r{layer}/probability"] = pa.array(np.zeros(tokens), pa.float32())
    table = pa.table(arrays, schema=schema)
    folder.mkdir()
    ends = [0, *cuts, tokens]
    files = [folder / f"part-{number:05d}.parquet" for number in range(len(ends) - 1)]
    for file, begin, end in zip(files, ends, ends[1:], strict=False):
        pq.write_table(table.slice(begin, end - begin), file)
    return files


def of(a: list[Path], b: list[Path], layers: int = 1, k: int = 1) -> Saturation:
    found = saturation(a, b, shape(layers, k))
    assert found is not None
    return found


def test_the_share_of_the_same_experts_and_the_chance_level(tmp_path: Path) -> None:
    a = parts(tmp_path / "a", [[[0], [0], [1], [1]], [[0], [1], [2], [3]]], [2, 2])
    b = parts(tmp_path / "b", [[[0], [1], [1], [2]], [[0], [1], [2], [3]]], [2, 2])
    found = of(a, b, 2)
    assert (found.tokens, found.documents) == (4, 2)
    half, same = found.layers
    assert half.share == 0.5
    # Loads ½, ½ and ¼, ½, ¼.
    assert half.chance == pytest.approx(0.5 * 0.25 + 0.5 * 0.5)
    assert (same.share, same.low, same.high) == (1.0, 1.0, 1.0)
    assert same.chance == pytest.approx(0.25)


def test_with_two_experts_a_token_their_order_does_not_matter(tmp_path: Path) -> None:
    a = parts(tmp_path / "a", [[[0, 1], [0, 1], [2, 3], [4, 5]]], [4])
    b = parts(tmp_path / "b", [[[1, 0], [1, 2], [4, 5], [4, 6]]], [4])
    (layer,) = of(a, b, k=2).layers
    assert layer.share == pytest.approx((2 + 1 + 0 + 1) / 8)
    # Times chosen in a: 2 2 1 1 1 1, in b: 1 2 1 0 2 1 1; over k and the tokens squared.
    assert layer.chance == pytest.approx((2 + 4 + 1 + 0 + 2 + 1) / (2 * 4**2))
    assert np.isnan([layer.low, layer.high]).all(), "one document says nothing of others"


def test_it_is_the_metric_and_its_chance_that_of_dealt_choices(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    a, b = (np.argsort(rng.gumbel(size=(600, EXPERTS)) + np.arange(8) / 3)[:, :3] for _ in "ab")
    files = [parts(tmp_path / name, each[None], [60] * 10) for name, each in (("a", a), ("b", b))]
    (layer,) = of(*files, k=3).layers
    assert layer.share == pytest.approx(metrics.saturation(a, b))
    dealt = [metrics.saturation(a, rng.permutation(b)) for _ in range(300)]
    assert layer.chance == pytest.approx(np.mean(dealt), abs=0.003)
    assert layer.chance > 3 / EXPERTS


def test_where_parts_are_cut_and_read_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    lengths = [1, 40, 7, 2, 30, 20]
    a, b = rng.integers(0, EXPERTS, (2, 2, sum(lengths), 1))
    whole = of(parts(tmp_path / "a", a, lengths), parts(tmp_path / "b", b, lengths), 2)
    monkeypatch.setattr(measured, "_ROWS", 16)
    told: list[float] = []
    cut = saturation(
        parts(tmp_path / "c", a, lengths, [3, 3, 50]),
        parts(tmp_path / "d", b, lengths, [50, 77]),
        shape(2),
        told.append,
    )
    assert cut is not None
    assert (cut.tokens, cut.documents) == (whole.tokens, whole.documents) == (100, 6)
    for mine, its in zip(cut.layers, whole.layers, strict=True):
        assert tuple(vars(mine).values()) == pytest.approx(tuple(vars(its).values()))
    assert told == sorted(told)
    assert told[-1] == 1
    assert len(told) > 6, "many pieces, one after the other"


def test_it_is_the_same_either_way_round(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    a, b = rng.integers(0, 3, (2, 1, 90, 1))
    files = [parts(tmp_path / name, each, [30] * 3) for name, each in (("a", a), ("b", b))]
    assert of(*files) == of(*reversed(files))


def test_other_tokens_are_an_error(tmp_path: Path) -> None:
    experts = np.zeros((1, 6, 1), dtype=int)
    a = parts(tmp_path / "a", experts, [3, 3])
    for name in ("document", "position", "token_id"):
        b = parts(tmp_path / name, experts, [3, 3], **{name: 1})
        with pytest.raises(DifferentTokensError, match="the two passes read different tokens"):
            saturation(a, b, shape())
    for name, length in (("fewer", 2), ("more", 4)):
        b = parts(tmp_path / name, np.zeros((1, 3 + length, 1), dtype=int), [3, length])
        with pytest.raises(DifferentTokensError):
            saturation(a, b, shape())


def test_nothing_read_is_undefined(tmp_path: Path) -> None:
    found = of([], [])
    assert (found.tokens, found.documents) == (0, 0)
    assert np.isnan(list(vars(found.layers[0]).values())).all()


def test_it_ends_when_told_to(tmp_path: Path) -> None:
    a = parts(tmp_path / "a", np.zeros((1, 6, 1), dtype=int), [6])
    assert saturation(a, a, shape(), stop=lambda: True) is None


def test_the_interval_covers_the_true_share_at_about_its_level() -> None:
    """Documents differ in how much is the same in them, 0.6 on average, and so do their lengths."""
    rng = np.random.default_rng(3)
    covered = 0
    for corpus in range(300):
        overlap = Overlap(shape(), seed=corpus)
        lengths = rng.integers(5, 15, 60)
        same = np.repeat(rng.beta(3, 2, 60), lengths)
        a = rng.integers(0, EXPERTS, len(same))
        b = np.where(rng.random(len(same)) < same, a, (a + 1) % EXPERTS)
        numbers = np.repeat(np.arange(60), lengths)
        positions = np.concatenate([np.arange(length) for length in lengths])
        overlap.add(numbers, positions, [a[:, None]], [b[:, None]])
        (layer,) = overlap.result().layers
        assert layer.low < layer.share < layer.high
        covered += layer.low < 0.6 < layer.high
    assert 0.90 < covered / 300 < 0.985
