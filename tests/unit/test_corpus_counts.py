"""What is counted of a corpus: planted structure comes back, however the corpus is cut up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.corpus.counting.batch import LayerShape, RoutedBatch, RoutedLayer
from app.corpus.counting.counts import Counts
from app.corpus.counting.examples import EXAMPLES
from app.corpus.counting.labels import MOST_VALUES, OTHER, Labels
from app.corpus.counting.layout import Layout
from app.corpus.counting.resamples import RESAMPLES, weights
from app.corpus.counting.sample import DOCUMENTS
from app.corpus.counting.sums import Sums, summed
from app.corpus.counting.usage import bucket, bucket_starts
from app.corpus.documents import Document

EXPERTS = 4
VOCABULARY = 12
VALUES = ("c", "go", "python")
WIDTH = 3


def shapes(layers: int = 3, experts: int = EXPERTS, top_k: int = 1) -> tuple[LayerShape, ...]:
    return tuple(
        LayerShape(f"encoder.block.{i}.router", "encoder", i, experts, top_k, 64)
        for i in range(layers)
    )


def document(number: int, length: int, value: str | None = None) -> Document:
    """A text of `length` tokens of three characters each."""
    label = VALUES[number % 3] if value is None else value
    text = "".join(f"{place % 10}ab" for place in range(length))
    return Document(number, text, {"language": label})


def routed(documents: Sequence[Document], k: int = 1) -> RoutedBatch:
    """Expert = token id in layer 0, label in layer 1, by chance in layer 2; k − 1 follow it.

    A document's routing depends on the document alone. Its last token is special, every third
    token of layer 0 is dropped.
    """
    parts = []
    for each in documents:
        rng = np.random.default_rng(each.number)
        n = len(each.text) // WIDTH
        ids = rng.integers(0, VOCABULARY, n)
        label = VALUES.index(each.labels["language"]) if each.labels["language"] in VALUES else 3
        first = [ids % EXPERTS, np.full(n, label), rng.integers(0, EXPERTS, n)]
        scores = rng.random((3, n, EXPERTS)).astype(np.float32)
        parts.append((ids, first, scores))
    lengths = [len(ids) for ids, _, _ in parts]
    positions = np.concatenate([np.arange(n) for n in lengths] or [np.zeros(0, int)])
    ends = np.concatenate([np.arange(n) == n - 1 for n in lengths] or [np.zeros(0, bool)])
    n = len(positions)
    layers = []
    for layer in range(3):
        first = np.concatenate([chosen[layer] for _, chosen, _ in parts] or [np.zeros(0, int)])
        experts = (first[:, None] + np.arange(k)) % EXPERTS
        scores = np.concatenate(
            [each[layer] for _, _, each in parts] or [np.zeros((0, EXPERTS), np.float32)]
        )
        dropped = (positions % 3 == 0) & (layer == 0)
        layers.append(RoutedLayer(experts, scores, dropped))
    return RoutedBatch(
        documents=tuple(documents),
        document_of=np.repeat(np.arange(len(lengths)), lengths),
        positions=positions,
        token_ids=np.concatenate([ids for ids, _, _ in parts] or [np.zeros(0, int)]),
        special=ends,
        spans=np.where(
            ends[:, None], -1, np.stack((WIDTH * positions, WIDTH * (positions + 1)), axis=1)
        ).reshape(n, 2),
        layers=tuple(layers),
    )


def counted(
    batches: Sequence[Sequence[Document]],
    k: int = 1,
    columns: tuple[str, ...] = ("language",),
    seed: int = 0,
) -> Counts:
    counts = Counts.empty(shapes(top_k=k), VOCABULARY, columns, seed)
    for each in batches:
        counts.add(routed(each, k))
    return counts


def numbers(column: pa.ChunkedArray) -> np.ndarray:
    """A column of numbers or lists of them, flat."""
    values = column.combine_chunks()
    values = pa.concat_arrays(values.chunks) if isinstance(values, pa.ChunkedArray) else values
    if pa.types.is_fixed_size_list(values.type):
        values = values.flatten()
    return values.to_numpy(zero_copy_only=False)


def assert_same(one: Counts, other: Counts) -> None:
    """Whole numbers and texts to the bit, fractions but for rounding."""
    for name in ("documents", "tokens", "truncated", "shape", "vocabulary", "label_columns"):
        assert getattr(one, name) == getattr(other, name)
    a, b = one.tables(), other.tables()
    assert a.keys() == b.keys()
    for name, table in a.items():
        assert table.schema == b[name].schema, name
        for column in table.column_names:
            left, right = numbers(table[column]), numbers(b[name][column])
            if left.dtype.kind == "f":
                np.testing.assert_allclose(left, right, rtol=1e-9, err_msg=f"{name}.{column}")
            else:
                assert table[column].to_pylist() == b[name][column].to_pylist(), (name, column)


CORPUS = [document(number, 1 + number * 7 % 23) for number in range(30)]


def test_planted_structure_comes_back() -> None:
    counts = counted([CORPUS])
    batch = routed(CORPUS)
    assert (counts.documents, counts.tokens) == (30, len(batch.token_ids))
    for layer, routing in enumerate(batch.layers):
        found = counts.usage.assignments[counts.layout.part(layer)]
        assert found.tolist() == np.bincount(routing.experts[:, 0], minlength=EXPERTS).tolist()
    first, second, _ = (counts.layout.part(layer) for layer in range(3))
    for token in range(VOCABULARY):
        seen = int((batch.token_ids == token).sum())
        expected = [seen if expert == token % EXPERTS else 0 for expert in range(EXPERTS)]
        assert counts.token_table.of_token(token)[first].tolist() == expected
    labels = counts.labels["language"]
    assert labels.names == (OTHER, *VALUES)
    assert labels.assignments[1:, second].tolist() == np.diag([*labels.tokens[1:], 0])[:3].tolist()
    assert labels.documents.tolist() == [0, 10, 10, 10]
    pairs = counts.usage.transitions[0]
    by_hand = np.zeros((EXPERTS, EXPERTS), dtype=int)
    np.add.at(by_hand, (batch.layers[0].experts[:, 0], batch.layers[1].experts[:, 0]), 1)
    assert pairs.tolist() == by_hand.tolist()


def test_sums_of_scores_are_of_distributions() -> None:
    counts = counted([CORPUS])
    batch = routed(CORPUS)
    scores = batch.layers[2].probabilities.astype(np.float64)
    p = scores / scores.sum(axis=1, keepdims=True)
    part, ranked = counts.layout.part(2), np.sort(p, axis=1)
    assert counts.usage.probability[part] == pytest.approx(p.sum(axis=0))
    assert counts.usage.entropy[2] == pytest.approx(-(p * np.log2(p)).sum())
    assert counts.usage.margin[2] == pytest.approx((ranked[:, -1] - ranked[:, -2]).sum())
    chosen = batch.layers[2].experts[:, 0]
    by_hand = np.bincount(chosen, ranked[:, -1], minlength=EXPERTS)
    assert counts.usage.confidence[part] == pytest.approx(by_hand)


def test_scores_of_zero_prefer_no_expert() -> None:
    batch = routed([document(0, 5)])
    nothing = np.zeros_like(batch.layers[0].probabilities)
    layers = tuple(RoutedLayer(each.experts, nothing, each.dropped) for each in batch.layers)
    counts = Counts.empty(shapes(), VOCABULARY, ())
    counts.add(RoutedBatch(**{**vars(batch), "layers": layers}))
    assert counts.usage.probability.tolist() == [5 / EXPERTS] * 3 * EXPERTS
    assert counts.usage.entropy.tolist() == [5 * math.log2(EXPERTS)] * 3


def test_positions_by_hand() -> None:
    assert bucket(np.array([0, 1, 2, 3, 4, 7, 8, 15, 16])).tolist() == [0, 1, 2, 3, 4, 4, 5, 5, 6]
    assert bucket(np.array([2**20 - 1, 2**20, 2**40])).tolist() == [21, 22, 22]
    assert bucket_starts()[[0, 3, 4, 5, 22]].tolist() == [0, 3, 4, 8, 2**20]
    counts = counted([[document(0, 10), document(1, 3)]])
    assert counts.usage.position_tokens[:7].tolist() == [2, 2, 2, 1, 4, 2, 0]
    part = counts.layout.part(0)
    assert counts.usage.by_position[:, part].sum(axis=1)[:6].tolist() == [2, 2, 2, 1, 4, 2]
    # Positions 0, 3, 6 and 9 of layer 0 are dropped.
    dropped = counts.usage.dropped_by_position
    assert dropped[:, part].sum(axis=1)[:6].tolist() == [2, 0, 0, 1, 1, 1]
    assert dropped[:, counts.layout.part(1)].sum() == 0
    assert counts.usage.dropped[part].sum() == 5


def test_every_pair_of_experts_and_every_chosen_expert_counts() -> None:
    counts = counted([CORPUS], k=2)
    assert counts.usage.assignments[counts.layout.part(0)].sum() == 2 * counts.tokens
    assert counts.usage.transitions[0].sum() == 4 * counts.tokens
    assert counts.token_table.entries().counts.sum() == 3 * 2 * counts.tokens


@settings(max_examples=25, deadline=None)
@given(st.data(), st.sampled_from([1, 2]))
def test_merged_parts_equal_the_whole(data: st.DataObject, k: int) -> None:
    order = data.draw(st.permutations(range(len(CORPUS))))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(CORPUS)), min_size=1, max_size=4)))
    parts = np.split(np.array(order), cuts)
    made = [counted([[CORPUS[i] for i in part]], k) for part in parts]
    merged = made[0]
    for other in made[1:]:
        merged.merge(other)
    assert_same(merged, counted([CORPUS], k))


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 30))
def test_batches_do_not_matter(size: int) -> None:
    batches = [CORPUS[start : start + size] for start in range(0, len(CORPUS), size)]
    assert_same(counted(batches), counted([CORPUS]))


def test_what_is_merged_stays_as_it_was() -> None:
    one, other = counted([CORPUS[:10]]), counted([CORPUS[10:]])
    one.merge(other)
    one.add(routed([document(99, 9)]))
    assert_same(other, counted([CORPUS[10:]]))


@pytest.mark.parametrize(
    "other",
    [
        Counts.empty(shapes(2), VOCABULARY, ("language",)),
        Counts.empty(shapes(experts=5), VOCABULARY, ("language",)),
        Counts.empty(shapes(), 13, ("language",)),
        Counts.empty(shapes(), VOCABULARY, ("topic",)),
        Counts.empty(shapes(), VOCABULARY, ("language",), seed=1),
    ],
)
def test_other_counts_are_not_merged(other: Counts) -> None:
    with pytest.raises(ValueError, match="cannot be merged"):
        counted([CORPUS]).merge(other)


def test_batches_of_another_shape_are_refused() -> None:
    batch = routed(CORPUS)
    cases = {
        "layers where": {"layers": batch.layers[:2]},
        "another shape": {"layers": routed(CORPUS, k=2).layers},
        "no document": {"document_of": batch.document_of + 1},
        "differ in length": {"positions": batch.positions[1:]},
        "negative": {"positions": batch.positions - 1},
        "vocabulary": {"token_ids": batch.token_ids + 1},
    }
    for message, change in cases.items():
        counts = counted([])
        with pytest.raises(ValueError, match=message):
            counts.add(RoutedBatch(**{**vars(batch), **change}))
        assert_same(counts, counted([]))


def test_saved_and_loaded_counts_are_the_same(tmp_path: Path) -> None:
    counts = counted([CORPUS], columns=("language", "topic"))
    counts.save(tmp_path / "a" / "counts")
    loaded = Counts.load(tmp_path / "a" / "counts")
    assert_same(loaded, counts)
    # They can be counted on with, and replace what lies there.
    loaded.add(routed([document(40, 12)]))
    loaded.save(tmp_path / "a" / "counts")
    again = Counts.load(tmp_path / "a" / "counts")
    assert_same(again, counted([CORPUS, [document(40, 12)]], columns=("language", "topic")))
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["counts"]


def test_a_save_that_was_cut_off_leaves_the_older_counts(tmp_path: Path) -> None:
    counts = counted([CORPUS])
    counts.save(tmp_path / "counts")
    (tmp_path / "counts").rename(tmp_path / ".counts.before")
    assert_same(Counts.load(tmp_path / "counts"), counts)
    counts.save(tmp_path / "counts")
    assert [path.name for path in tmp_path.iterdir()] == ["counts"]


def test_another_schema_is_refused(tmp_path: Path) -> None:
    counted([CORPUS]).save(tmp_path / "counts")
    file = tmp_path / "counts" / "shape.json"
    file.write_text(file.read_text().replace('"schema": 1', '"schema": 2'))
    with pytest.raises(ValueError, match="schema 2, not 1"):
        Counts.load(tmp_path / "counts")


def test_empty_counts(tmp_path: Path) -> None:
    empty = Counts.empty(shapes(), VOCABULARY, ("language",))
    empty.save(tmp_path / "counts")
    loaded = Counts.load(tmp_path / "counts")
    assert_same(loaded, empty)
    loaded.merge(counted([CORPUS]))
    loaded.add(routed([]))
    assert_same(loaded, counted([CORPUS]))


def test_documents_without_tokens_are_documents() -> None:
    counts = counted([[document(0, 0), document(1, 4)]])
    assert (counts.documents, counts.tokens) == (2, 4)
    assert counts.labels["language"].documents.sum() == 2


def test_missing_labels_are_left_out() -> None:
    counts = counted([[document(0, 5, ""), document(1, 4)]], columns=("language", "topic"))
    assert counts.labels["language"].tokens.tolist() == [0, 4]
    assert counts.labels["topic"].tokens.tolist() == [0]


def test_half_a_surrogate_pair_can_be_saved(tmp_path: Path) -> None:
    counts = Counts.empty(shapes(), VOCABULARY, ("language",))
    counts.add(routed([Document(0, "\ud83dab" * 4, {"language": "\udc00"})]))
    counts.save(tmp_path / "counts")
    assert Counts.load(tmp_path / "counts").labels["language"].values == ("?",)


def sums_of(tokens: int) -> Sums:
    each = np.full((1, 2), tokens / 2)
    nothing = np.zeros(2)
    count = np.array([tokens])
    return Sums(np.array([0]), count, each, each * 0, each * 0, nothing, nothing, nothing)


@settings(max_examples=5, deadline=None)
@given(st.randoms(use_true_random=False))
def test_many_label_values_are_counted_alike_in_any_order(random) -> None:
    layout = Layout(shapes(1, 2))
    values = [f"value {i % 300}" for i in range(330)]
    drawn = weights(0, np.array([0]))

    def of(chosen: Sequence[str]) -> Labels:
        found = Labels(layout)
        for value in chosen:
            found.add([value], sums_of(2 * len(value)), drawn)
        return found

    whole = of(values)
    assert len(whole.values) == MOST_VALUES
    assert whole.documents[0] == 330 - whole.documents[1:].sum() >= 100
    shuffled = random.sample(values, len(values))
    merged = of(shuffled[:120])
    merged.merge(of(shuffled[120:]))
    assert merged.values == whole.values
    for name, table in whole.tables().items():
        assert table.equals(merged.tables()[name])


def test_a_value_named_other_is_among_the_others() -> None:
    found = Labels(Layout(shapes(1, 2)))
    found.add([OTHER], sums_of(4), weights(0, np.array([0])))
    assert (found.names, found.tokens.tolist()) == ((OTHER,), [4])


def test_weights_are_poisson_and_depend_on_the_document_alone() -> None:
    drawn = weights(0, np.arange(5000))
    assert np.array_equal(weights(0, np.array([17, 3])), drawn[[17, 3]])
    assert not np.array_equal(weights(1, np.arange(5)), drawn[:5])
    size = drawn.size
    for count in range(6):
        p = math.exp(-1) / math.factorial(count)
        assert (drawn == count).mean() == pytest.approx(p, abs=5 * math.sqrt(p / size))
    # Neither documents nor resamples go together.
    assert abs(np.corrcoef(drawn[:-1, 0], drawn[1:, 0])[0, 1]) < 5 / math.sqrt(5000)
    assert abs(np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1]) < 5 / math.sqrt(5000)


def test_resamples_are_weighted_sums() -> None:
    counts, batch = counted([CORPUS]), routed(CORPUS)
    drawn = weights(0, np.arange(30))
    assert drawn.shape == (30, RESAMPLES)
    per_token = drawn[batch.document_of]
    part = counts.layout.part(2)
    chosen = batch.layers[2].experts[:, 0]
    for expert in range(EXPERTS):
        found = counts.resamples.assignments[:, part][:, expert]
        assert found.tolist() == per_token[chosen == expert].sum(axis=0).tolist()
    labels = counts.labels["language"]
    assert labels.resampled.sum(axis=0).tolist() == counts.resamples.assignments.tolist()
    assert labels.resampled_tokens.sum(axis=0).tolist() == per_token.sum(axis=0).tolist()


def test_examples_show_their_token_in_its_text() -> None:
    counts, batch = counted([CORPUS]), routed(CORPUS)
    examples = counts.examples.of(counts.layout.slot(0, 1))
    assert len(examples) == EXAMPLES
    for each in examples:
        (row,) = np.flatnonzero(
            (batch.document_of == each.document) & (batch.positions == each.position)
        )
        text, begin = CORPUS[each.document].text, WIDTH * each.position
        assert (each.token_id, each.token_id % EXPERTS) == (batch.token_ids[row], 1)
        assert not batch.special[row]
        assert each.text == text[begin : begin + WIDTH]
        assert each.before == text[max(begin - 60, 0) : begin]
        assert each.after == text[begin + WIDTH : begin + WIDTH + 60]
        scores = batch.layers[0].probabilities[row].astype(np.float64)
        assert each.probability == pytest.approx(scores[1] / scores.sum())


def test_examples_are_a_uniform_sample() -> None:
    # Each of 96 tokens of one expert is among the 24 in a quarter of the seeds.
    batch = routed([document(number, 25) for number in range(4)])
    one = batch.layers[0]
    same = RoutedLayer(np.zeros_like(one.experts), one.probabilities, one.dropped)
    batch = RoutedBatch(**{**vars(batch), "layers": (same,)})
    seeds, drawn = 400, np.zeros((4, 24))
    for seed in range(seeds):
        counts = Counts.empty(shapes(1), VOCABULARY, (), seed)
        counts.examples.add(batch)
        for each in counts.examples.of(0):
            drawn[each.document, each.position] += 1
    assert drawn.sum() == seeds * EXAMPLES
    p = EXAMPLES / drawn.size
    # χ² of inclusions, whose variance is p(1 − p) and whose sum is fixed: mean 95.
    chi2 = ((drawn - seeds * p) ** 2).sum() / (seeds * p * (1 - p)) * 95 / 96
    assert abs(chi2 - 95) < 4 * math.sqrt(2 * 95)


def test_the_sample_of_documents_has_their_counts() -> None:
    counts = counted([CORPUS])
    sampled = counts.sample.documents()
    assert sorted(sampled.numbers.tolist()) == list(range(30))
    assert (np.diff(sampled.hashes.astype(object)) > 0).all()
    for number, assigned, labels in zip(
        sampled.numbers, sampled.assignments, sampled.labels, strict=True
    ):
        alone = counted([[CORPUS[number]]])
        assert assigned.tolist() == alone.usage.assignments.tolist()
        assert labels.tolist() == [CORPUS[number].labels["language"]]


def test_the_sample_of_documents_is_bounded_and_the_same_in_any_order() -> None:
    def sampled(groups: Sequence[range]) -> Counts:
        counts = Counts.empty(shapes(), VOCABULARY, ("language",))
        for each in groups:
            batch = routed([document(number, 1) for number in each])
            counts.sample.add([["x"]] * len(each), summed(batch, counts.layout))
            counts.sample.documents()
        return counts

    whole = sampled([range(7000)]).sample.documents()
    # After 6000 documents only those with a lower hash than the highest kept come in.
    again = sampled([range(1000, 7000), range(1000)]).sample.documents()
    assert np.array_equal(again.numbers, whole.numbers)
    parts = sampled([range(6000, 7000), range(2000, 6000)])
    parts.sample.merge(sampled([range(2000)]).sample)
    assert len(whole.numbers) == DOCUMENTS
    assert np.array_equal(parts.sample.documents().numbers, whole.numbers)
    # Uniform: a seventh of each thousand, but for chance.
    share = np.bincount(whole.numbers // 1000, minlength=7) / 1000
    assert share == pytest.approx(np.full(7, 5 / 7), abs=0.07)


def test_ten_times_the_tokens_are_no_larger_on_disk(tmp_path: Path) -> None:
    def size(counts: Counts, name: str) -> int:
        counts.save(tmp_path / name)
        return sum(path.stat().st_size for path in (tmp_path / name).iterdir())

    def tokens_of(length: int) -> list[Document]:
        return [document(number, length) for number in range(20)]

    one, ten = counted([tokens_of(300)]), counted([tokens_of(3000)])
    assert ten.tokens == 10 * one.tokens
    # Higher numbers take more digits, and there are more position buckets in use.
    assert size(ten, "ten") < 1.3 * size(one, "one")
    for name, table in one.tables().items():
        assert len(table) == len(ten.tables()[name]), name
