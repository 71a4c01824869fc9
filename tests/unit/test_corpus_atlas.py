"""What is read from the counts of a corpus: planted structure is found, chance is not."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from app.corpus.atlas import (
    context_sensitivity,
    drop_rate,
    expert_similarity,
    favourites,
    label_information,
    label_profile,
    layer_tables,
    load,
    mean_confidence,
    position_profile,
    speciality,
    token_routing,
    top_tokens,
    transitions,
)
from app.corpus.atlas.speciality import NONE, token_class
from app.corpus.atlas.tokens import tokens_of_layer
from app.corpus.counting.batch import LayerShape, RoutedBatch, RoutedLayer
from app.corpus.counting.counts import Counts
from app.corpus.documents import Document
from app.routing.metrics import jensen_shannon

LANGUAGES = ("c", "go", "python")
# Token ids 0 to 9 are digits, 10 to 19 words, 20 to 29 full stops.
PIECES = (
    {i: f"▁{i}" for i in range(10)}
    | {i: f"▁{chr(87 + i) * 3}" for i in range(10, 20)}
    | {i: "." * (i - 19) for i in range(20, 30)}
)
VOCABULARY = 31
SPECIAL = 30


def counted(
    documents: Sequence[tuple[str, Sequence[int], Sequence[Sequence[Sequence[int]]]]],
    experts: int,
    seed: int = 0,
    dropped: Sequence[int] = (),
) -> Counts:
    """Of documents (label, token ids, experts [layer][token][k]); `dropped` are positions."""
    layers = len(documents[0][2])
    k = np.asarray(documents[0][2]).shape[2]
    shape = tuple(LayerShape(f"r{i}", "encoder", i, experts, k, None) for i in range(layers))
    counts = Counts.empty(shape, VOCABULARY, ("language",), seed)
    lengths = [len(ids) for _, ids, _ in documents]
    ids = np.concatenate([np.asarray(ids) for _, ids, _ in documents])
    positions = np.concatenate([np.arange(length) for length in lengths])
    routing = []
    for layer in range(layers):
        chosen = np.concatenate([np.asarray(each[layer]) for _, _, each in documents])
        p = np.full((len(ids), experts), 0.2 / experts, dtype=np.float32)
        np.put_along_axis(p, chosen, 0.2 / experts + 0.8 / k, axis=1)
        routing.append(RoutedLayer(chosen, p, np.isin(positions, dropped)))
    counts.add(
        RoutedBatch(
            documents=tuple(
                Document(number, "", {"language": label})
                for number, (label, _, _) in enumerate(documents)
            ),
            document_of=np.repeat(np.arange(len(lengths)), lengths),
            positions=positions,
            token_ids=ids,
            special=ids == SPECIAL,
            spans=np.full((len(ids), 2), -1),
            layers=tuple(routing),
        )
    )
    return counts


def planted(documents: int = 90, seed: int = 0) -> Counts:
    """Layer 0 by kind of token, layer 1 by label with 10 % noise, layer 2 by chance."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(documents):
        label, ids = number % 3, rng.integers(0, 30, 30)
        noisy = np.where(rng.random(30) < 0.1, rng.integers(0, 4, 30), label)
        chosen = np.stack((ids // 10, noisy, rng.integers(0, 4, 30)))[:, :, None]
        ids[-1] = SPECIAL
        chosen[0, -1] = 3
        made.append((LANGUAGES[label], ids, chosen))
    return counted(made, 4, seed)


PLANTED = planted()


def test_a_labels_expert_is_found() -> None:
    profile = label_profile(PLANTED, 1, "language")
    assert profile.values == LANGUAGES
    assert profile.tokens.tolist() == [900] * 3
    assert profile.documents.tolist() == [30] * 3
    assert (profile.comparisons, profile.level) == (12, pytest.approx(1 - 0.05 / 12))
    for value in range(3):
        for expert in range(3):
            ratio, low = profile.risk_ratio[expert, value], profile.low[expert, value]
            high = profile.high[expert, value]
            assert low < ratio < high
            if expert == value:
                # Which documents a corpus has varies too, and with it P(expert).
                assert low > 1.7
            else:
                assert high < 0.5
    table = PLANTED.labels["language"].assignments[1:, PLANTED.layout.part(1)]
    assert profile.share == pytest.approx(table.T / 900)
    assert profile.baseline == pytest.approx(table.sum(axis=0) / 2700)
    assert profile.recall == pytest.approx((table / table.sum(axis=0)).T)


def test_exact_labels_have_ratios_without_intervals_for_none() -> None:
    made = [(LANGUAGES[i % 2], [0, 1], [[[i % 2], [i % 2]]]) for i in range(60)]
    profile = label_profile(counted(made, 3), 0, "language")
    assert profile.risk_ratio[:2].tolist() == [[2, 0], [0, 2]]
    # The third expert has no token; no resample could tell how rare a pair not seen is.
    assert np.isnan(profile.risk_ratio[2]).all()
    assert np.isnan(profile.low[[0, 1, 2, 2], [1, 0, 0, 1]]).all()
    assert (profile.low[[0, 1], [0, 1]] > 1).all()


def test_few_documents_give_no_interval() -> None:
    made = [("c", [0] * 50, [[[i % 2]] * 50]) for i in range(30)]
    made.append(("go", [0] * 50, [[[0]] * 25 + [[1]] * 25]))
    profile = label_profile(counted(made, 2), 0, "language")
    assert profile.risk_ratio[:, 1] == pytest.approx([1, 1], rel=0.1)
    assert np.isnan(profile.low[:, 1]).all()
    assert not np.isnan(profile.low[:, 0]).any()


def chance(seed: int, documents: int = 80) -> Counts:
    """Labels that say nothing, documents that differ: each prefers one of two experts."""
    rng = np.random.default_rng(seed)
    prefers = rng.random(documents)
    chosen = (rng.random((documents, 20)) < prefers[:, None]).astype(int)
    labels = rng.permutation(np.arange(documents) % 2)
    made = [
        (LANGUAGES[label], np.zeros(20, dtype=int), its[None, :, None])
        for label, its in zip(labels, chosen, strict=True)
    ]
    return counted(made, 2, seed)


def test_intervals_cover_chance_at_their_rate() -> None:
    replications, single, family, p_values = 250, [], [], []
    for seed in range(replications):
        counts = chance(seed)
        # Four comparisons at 60 % together are 90 % each.
        each = label_profile(counts, 0, "language", level=0.6)
        single.append(each.low[0, 0] < 1 < each.high[0, 0])
        together = label_profile(counts, 0, "language")
        family.append(bool(((together.low < 1) & (together.high > 1)).all()))
        p_values.append(label_information(counts, 0, "language", permutations=39).p_value)
    tolerance = 3.5 * math.sqrt(0.9 * 0.1 / replications)
    assert np.mean(single) == pytest.approx(0.9, abs=tolerance)
    assert np.mean(family) >= 0.95 - 3.5 * math.sqrt(0.95 * 0.05 / replications)
    # Tokens of a document are alike: a test of tokens would reject far more often.
    rejected = np.mean(np.array(p_values) <= 0.1)
    assert rejected == pytest.approx(0.1, abs=tolerance)


def test_information_of_labels() -> None:
    found = label_information(PLANTED, 1, "language")
    assert found.bits == pytest.approx(1.17, abs=0.08)
    assert found.low <= found.bits <= found.high
    assert (found.sampled, found.documents, found.tokens) == (90, 90, 2700)
    # The whole corpus is sampled.
    assert found.sample_bits == pytest.approx(found.bits)
    assert found.null_bits < found.null_high < 0.2 < found.bits
    assert found.p_value == pytest.approx(1 / 201)
    by_chance = label_information(PLANTED, 2, "language")
    assert by_chance.bias == pytest.approx(2 * 3 / (2 * 2700 * math.log(2)))
    assert by_chance.p_value > 0.05
    # Without likeness in documents both nulls are the same.
    assert by_chance.null_bits == pytest.approx(by_chance.bias, rel=0.2)
    assert label_information(PLANTED, 1, "language") == found


def test_exact_labels_are_known_from_the_expert() -> None:
    made = [(LANGUAGES[i % 3], [0] * 4, [[[i % 3]] * 4]) for i in range(60)]
    found = label_information(counted(made, 3), 0, "language")
    assert found.bits == pytest.approx(math.log2(3))
    # Whole documents are shuffled: far more than the bias of 240 independent tokens.
    assert found.null_bits > 2.5 * found.bias


def test_top_tokens_are_those_planted() -> None:
    top = top_tokens(PLANTED, 0, 2)
    assert {each.token_id for each in top} == set(range(20, 30))
    assert len(top) == 10
    table = PLANTED.token_table
    seen = ~table.special
    others = int(table.tokens[seen].sum())
    mine = int(table.tokens[20:30].sum())
    for each in top:
        assert each.count == each.total == table.tokens[each.token_id]
        assert each.pmi == pytest.approx(math.log2(others / mine))
    # All have the same information, so the more frequent go first.
    assert [each.count for each in top] == sorted((each.count for each in top), reverse=True)
    assert len(top_tokens(PLANTED, 0, 2, most=3)) == 3
    assert top_tokens(PLANTED, 0, 2, minimum=10**6) == ()


def test_specials_are_shown_when_asked_for() -> None:
    assert top_tokens(PLANTED, 0, 3) == ()
    (only,) = top_tokens(PLANTED, 0, 3, specials=True)
    assert (only.token_id, only.count) == (SPECIAL, 90)
    assert only.pmi == pytest.approx(math.log2(2700 / 90))


def test_experts_with_no_token_in_common_are_as_far_as_can_be() -> None:
    distance = expert_similarity(PLANTED, 0)
    assert distance == pytest.approx(1 - np.eye(4), abs=1e-7)
    assert (expert_similarity(PLANTED, 2)[~np.eye(4, dtype=bool)] < 0.4).all()
    half = counted([("c", [0, 0, 0, 1], [[[0], [0], [1], [1]]])], 3)
    found = expert_similarity(half, 0)
    # p = (1, 0), q = (½, ½), m = (¾, ¼).
    bits = (math.log2(4 / 3) + 0.5 * math.log2(2 / 3) + 0.5) / 2
    assert found[0, 1] == pytest.approx(math.sqrt(bits))
    assert np.isnan(found[2]).all()
    assert np.isnan(found[:, 2]).all()


def test_distances_are_those_of_the_metric() -> None:
    counts = planted(seed=3)
    table = tokens_of_layer(counts, 1, specials=True)
    p = table.counts.T / table.counts.sum(axis=0)[:, None]
    found = expert_similarity(counts, 1)
    for one, distances in zip(p, found, strict=True):
        bits = [jensen_shannon(one, other) for other in p]
        assert distances == pytest.approx(np.sqrt(bits), abs=1e-7)
    assert (np.diag(found) == 0).all()


def test_tables_at_hand_change_nothing() -> None:
    columns = ("language",)
    for layer in range(3):
        tables = layer_tables(PLANTED, layer, columns)
        for expert in range(4):
            asked = (PLANTED, layer, expert, columns, PIECES)
            assert speciality(*asked, tables) == speciality(*asked)
            at_hand = top_tokens(PLANTED, layer, expert, table=tables.tokens)
            assert at_hand == top_tokens(PLANTED, layer, expert)


def test_where_one_token_goes() -> None:
    made = [("c", [7, 7, 7, 7], [[[0]] * 4, [[0], [1], [1], [1]]])]
    counts = counted(made, 4)
    routing, varied = token_routing(counts, 7), context_sensitivity(counts, 7)
    assert routing.n == 4
    assert [each.tolist() for each in routing.shares] == [[1, 0, 0, 0], [0.25, 0.75, 0, 0]]
    assert varied.away.tolist() == [0, 0.25]
    bits = -0.25 * math.log2(0.25) - 0.75 * math.log2(0.75)
    assert varied.entropy == pytest.approx([0, bits / 2])
    absent = token_routing(counts, 8)
    assert absent.n == 0
    assert np.isnan(absent.shares[0]).all()
    assert np.isnan(context_sensitivity(counts, 8).away).all()
    with pytest.raises(ValueError, match="outside the vocabulary"):
        token_routing(counts, VOCABULARY)


def test_always_the_same_set_is_not_sensitive() -> None:
    same = counted([("c", [7, 7], [[[0, 1], [1, 0]]])], 4)
    assert context_sensitivity(same, 7).away.tolist() == [0]
    assert context_sensitivity(same, 7).entropy.tolist() == [0]
    everywhere = counted([("c", [7, 7], [[[0, 1], [2, 3]]])], 4)
    assert context_sensitivity(everywhere, 7).away.tolist() == [0.5]
    assert context_sensitivity(everywhere, 7).entropy.tolist() == [1]
    assert np.isnan(context_sensitivity(counted([("c", [7], [[[0, 1]]])], 2), 7).entropy).all()


def test_loads_and_drops_by_hand() -> None:
    made = [("c", [0, 0, 0, 0], [[[0], [0], [0], [1]]]) for _ in range(10)]
    counts = counted(made, 3, dropped=[0, 3])
    found = load(counts, 0)
    assert found.value.tolist() == [0.75, 0.25, 0]
    assert found.n.tolist() == [30, 10, 0]
    # All documents are alike, so that resamples are too.
    assert found.low == pytest.approx(found.value)
    assert found.high == pytest.approx(found.value)
    dropped = drop_rate(counts, 0)
    assert dropped.value[:2] == pytest.approx([1 / 3, 1])
    assert np.isnan(dropped.value[2])
    assert np.isnan(dropped.low[2])
    confident = mean_confidence(counts, 0)
    assert confident.value[:2] == pytest.approx([0.2 / 3 + 0.8] * 2)
    profile = position_profile(counts, 0)
    assert profile.starts[:5].tolist() == [0, 1, 2, 3, 4]
    assert profile.tokens[:5].tolist() == [10, 10, 10, 10, 0]
    assert profile.share[:, :4].tolist() == [[1, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert profile.dropped[0, :3].tolist() == [1, 0, 0]
    assert np.isnan(profile.share[:, 4]).all()


def test_intervals_of_loads_are_of_documents() -> None:
    found = load(chance(0), 0)
    assert (found.low < found.value).all()
    assert (found.value < found.high).all()
    # Preferences are uniform, σ = √(1/12), beside the tokens' own chance.
    error = math.sqrt((1 / 12 + 1 / 6 / 20) / 80)
    assert found.high[0] - found.low[0] == pytest.approx(2 * 1.96 * error, rel=0.3)
    alone = load(counted([("c", [0, 0], [[[0], [1]]])], 2), 0)
    assert alone.value.tolist() == [0.5, 0.5]
    assert np.isnan([alone.low, alone.high]).all()


def test_transitions_by_hand() -> None:
    made = [("c", [0] * 4, [[[0], [0], [0], [1]], [[2], [2], [1], [1]]])]
    counts = counted(made, 3)
    found = transitions(counts, 0)
    assert found.pairs.tolist() == [[0, 1, 2], [0, 1, 0], [0, 0, 0]]
    assert found.share[:2] == pytest.approx(np.array([[0, 1 / 3, 2 / 3], [0, 1, 0]]))
    assert np.isnan(found.share[2]).all()
    assert found.lift[:2, 1:] == pytest.approx(np.array([[2 / 3, 4 / 3], [2, 0]]))
    before, after = favourites(counts, 0, 0)
    assert before == ()
    assert [(each.expert, each.pairs) for each in after] == [(2, 2), (1, 1)]
    assert (after[0].share, after[0].lift) == pytest.approx((2 / 3, 4 / 3))
    before, after = favourites(counts, 1, 1)
    assert [(each.expert, each.pairs, each.share) for each in before] == [(0, 1, 0.5), (1, 1, 0.5)]
    assert [each.lift for each in before] == pytest.approx([2 / 3, 2])
    assert after == ()


@pytest.mark.parametrize("layer", [-1, 3])
def test_layers_that_are_not_there(layer: int) -> None:
    for of_layer in (load, drop_rate, mean_confidence, position_profile, expert_similarity):
        with pytest.raises(ValueError, match="no router layer"):
            of_layer(PLANTED, layer)
    with pytest.raises(ValueError, match="no router layer"):
        transitions(PLANTED, layer)
    with pytest.raises(ValueError, match="has no expert 4"):
        top_tokens(PLANTED, 0, 4)
    with pytest.raises(ValueError, match="no router layer 3"):
        transitions(PLANTED, 2)


def test_specialities_are_named() -> None:
    def named(layer: int, expert: int) -> str:
        return speciality(PLANTED, layer, expert, ("language",), PIECES)[0]

    assert [named(0, expert) for expert in range(3)] == ["digits", "frequent words", "punctuation"]
    assert [named(1, expert) for expert in range(3)] == [f"mostly {value}" for value in LANGUAGES]
    assert named(0, 3) == named(2, 0) == NONE
    _, (sentence,) = speciality(PLANTED, 1, 2, ("language",), PIECES)
    assert "language python" in sentence
    assert "30 documents" in sentence
    _, (sentence,) = speciality(PLANTED, 0, 0, ("language",), PIECES)
    assert sentence.startswith("100% of its tokens are digits")


def test_several_values_are_named_together() -> None:
    rng = np.random.default_rng(0)
    made = []
    for number in range(240):
        value = number % 6
        noisy = np.where(rng.random(20) < 0.1, rng.integers(0, 3, 20), value // 2)
        made.append(("abcdef"[value], rng.integers(0, 30, 20), noisy[None, :, None]))
    label, evidence = speciality(counted(made, 3), 0, 1, ("language",), PIECES)
    assert label in ("c and d", "d and c")
    assert len(evidence) == 2


@pytest.mark.parametrize(
    ("piece", "frequent", "found"),
    [
        ("▁42", False, "digits"),
        ("▁", False, "white space"),
        ("Ċ", False, "white space"),
        ("", False, None),
        ("…", True, "punctuation"),
        ("_", False, "punctuation"),
        ("▁the", True, "frequent words"),
        ("▁the", False, None),
        ("ĠParis", False, "capitalised words"),
        ("▁I", True, "frequent words"),
        ("x1", True, None),
    ],
)
def test_classes_of_tokens(piece: str, frequent: bool, found: str | None) -> None:
    assert token_class(piece, frequent) == found


def test_nothing_counted_is_undefined() -> None:
    shape = tuple(LayerShape(f"r{i}", "encoder", i, 3, 1, None) for i in range(2))
    empty = Counts.empty(shape, VOCABULARY, ("language",))
    for estimate in (load(empty, 0), drop_rate(empty, 0), mean_confidence(empty, 0)):
        assert np.isnan([estimate.value, estimate.low, estimate.high]).all()
    profile = label_profile(empty, 0, "language")
    assert (profile.values, profile.comparisons) == ((), 0)
    information = label_information(empty, 0, "language")
    assert np.isnan([information.bits, information.null_bits, information.p_value]).all()
    assert top_tokens(empty, 0, 0) == ()
    assert np.isnan(expert_similarity(empty, 0)).all()
    assert np.isnan(transitions(empty, 0).share).all()
    assert np.isnan(position_profile(empty, 0).share).all()
    assert favourites(empty, 0, 0) == ((), ())
    assert speciality(empty, 0, 0, ("language",), PIECES) == (
        NONE,
        ("No token of this corpus went to it.",),
    )
