"""Sentences found in tokens, and intervals of the measures over them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from app.routing import bootstrap, metrics
from app.routing.bootstrap import intervals, sentence_ids
from app.routing.spelling import spelt
from app.routing.trace import RouterLayer


def make_layer(tokens: int = 40, experts: int = 6, k: int = 2, seed: int = 0) -> RouterLayer:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(tokens, experts)) * 2
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    chosen = np.argsort(-p, axis=1)[:, :k]
    dropped = rng.random(tokens) < 0.2
    weights = np.take_along_axis(p, chosen, axis=1) * ~dropped[:, None]
    return RouterLayer("r", "encoder", 1, logits, p, chosen, weights, dropped, capacity=tokens)


def part(layer: RouterLayer, tokens: np.ndarray) -> RouterLayer:
    names = ("logits", "probabilities", "experts", "weights", "dropped")
    arrays = {name: getattr(layer, name)[tokens] for name in names}
    return RouterLayer(
        "r", "encoder", 1, **arrays, score_function=layer.score_function, capacity=layer.capacity
    )


def byte_level(*pieces: str) -> list[str]:
    return [spelt(piece) for piece in pieces]


class TestSentenceIds:
    @pytest.mark.parametrize(
        ("tokens", "expected"),
        [
            # SentencePiece: a stop, then the start of a word.
            ("▁The ▁end . ▁He ▁sat .", [0, 0, 0, 1, 1, 1]),
            ("▁Go ! ▁Why ? ▁Yes … ▁So", [0, 0, 1, 1, 2, 2, 3]),
            # A number, and pieces of a word, start nothing.
            ("▁3 . 14 ▁is ▁pi", [0, 0, 0, 0, 0]),
            ("▁www . site . org", [0, 0, 0, 0, 0]),
            # What the rule cannot know.
            ("▁Dr . ▁Who", [0, 0, 1]),
            # Closing quotes belong to the sentence, opening ones to the next.
            ('▁" Go ! " ▁He', [0, 0, 0, 0, 1]),
            ('▁said . ▁" Go', [0, 0, 1, 1]),
            ("▁(Go .) ▁He", [0, 0, 1]),
            # Special tokens at the end belong to the last sentence, at the beginning to the first.
            ("<s> ▁A . ▁B . </s> <pad>", [0, 0, 0, 1, 1, 1, 1]),
            ("[CLS] ▁A . [SEP]", [0, 0, 0, 0]),
            ("▁A . </s> ▁B .", [0, 0, 1, 1, 1]),
            ("</s>", [0]),
            # Chinese and Japanese have no spaces.
            ("▁你 好 。 我 在 ！ 是", [0, 0, 0, 1, 1, 1, 2]),
            ("▁你 好 。 」 OK", [0, 0, 0, 0, 1]),
            ("はい . そう", [0, 0, 1]),
            # A line ends a sentence, and some empty lines are no sentence.
            ("▁Title <0x0A> <0x0A> Ne w", [0, 0, 0, 1, 1]),
            ("Title Ċ Ċ New", [0, 0, 0, 1]),
            ("Hi . Ġ Ċ Yes", [0, 0, 1, 1, 1]),
            ("▁a <0x41> . <0x41>", [0, 0, 0, 0]),
            ("", []),
        ],
    )
    def test_by_rule(self, tokens: str, expected: list[int]) -> None:
        found = sentence_ids(tokens.split())
        assert found.tolist() == expected
        assert found.dtype == np.int64

    def test_white_space_in_pieces(self) -> None:
        assert sentence_ids(["Hi.", " You", ".\n\n", "We"]).tolist() == [0, 1, 1, 2]

    def test_byte_level_spelling(self) -> None:
        assert byte_level("好", " a\n") == ["å¥½", "ĠaĊ"]
        tokens = byte_level("你好", "。", "”", "我们", "！", "A", "…", " Go", "?", "年")
        assert sentence_ids(tokens).tolist() == [0, 0, 0, 1, 1, 2, 2, 3, 3, 4]


class TestIntervals:
    def test_measures_of_a_resample_are_those_of_its_tokens(self) -> None:
        layer = make_layer()
        member = np.repeat(np.arange(5), 8)
        drawn = np.array([[1, 1, 1, 1, 1], [2, 0, 1, 0, 2], [0, 0, 5, 0, 0]])
        found = bootstrap._measures(layer, member, drawn.astype(np.float64))
        assert set(found) == set(bootstrap.NAMES)
        for row, counts in enumerate(drawn):
            tokens = np.repeat(np.arange(40), counts[member])
            expected = metrics.layer_metrics(part(layer, tokens))
            for name in bootstrap.NAMES:
                assert found[name][row] == pytest.approx(expected[name], abs=1e-12), name

    def test_sentences_are_drawn_whole(self) -> None:
        # Two sentences: both, or either one twice, with chances 1/2, 1/4, 1/4.
        p = np.array([[0.9, 0.1]] * 3 + [[0.6, 0.4]])
        layer = RouterLayer(
            "r", "encoder", 1, np.log(p), p, np.zeros((4, 1)), p[:, :1], np.zeros(4)
        )
        # Half of the resamples are the text itself, with the mean of 0.9, 0.9, 0.9 and 0.6.
        middle = intervals(layer, np.array([0, 0, 0, 1]), ["confidence"], level=0.1)
        assert middle["confidence"] == pytest.approx((0.825, 0.825))
        wide = intervals(layer, np.array([0, 0, 0, 1]), ["confidence"])
        assert wide["confidence"] == pytest.approx((0.6, 0.9))
        assert set(wide) == {"confidence"}

    def test_contain_the_value_and_narrow_with_the_number_of_sentences(self) -> None:
        few, many = make_layer(40), make_layer(4000)
        narrow = intervals(many, np.repeat(np.arange(400), 10))
        wide = intervals(few, np.repeat(np.arange(4), 10))
        assert set(narrow) == set(wide) == set(bootstrap.NAMES)
        for name in ("confidence", "margin", "token_entropy", "z_loss", "drop_rate"):
            low, high = wide[name]
            assert low < metrics.layer_metrics(few)[name] < high
            assert narrow[name][1] - narrow[name][0] < (high - low) / 3

    def test_cover_the_truth_as_often_as_they_say(self) -> None:
        # Sentences of 5 tokens that share a part: tokens alone would give too narrow ones.
        rng = np.random.default_rng(5)
        sentences = np.repeat(np.arange(40), 5)
        hits = 0
        for _ in range(150):
            lead = rng.uniform(0.6, 0.9, 40)[sentences] + rng.uniform(-0.05, 0.05, 200)
            p = np.column_stack((lead, 1 - lead))
            layer = RouterLayer(
                "r", "encoder", 1, np.log(p), p, np.zeros((200, 1)), p[:, :1], np.zeros(200)
            )
            low, high = intervals(layer, sentences, ["confidence"], resamples=200)["confidence"]
            hits += low <= 0.75 <= high
        assert 0.88 <= hits / 150 <= 0.99

    def test_the_seed_decides(self) -> None:
        layer, sentences = make_layer(), np.repeat(np.arange(8), 5)
        assert intervals(layer, sentences) == intervals(layer, sentences)
        assert intervals(layer, sentences) != intervals(layer, sentences, seed=1)

    def test_ids_are_only_names(self) -> None:
        layer, sentences = make_layer(), np.repeat(np.arange(8), 5)
        assert intervals(layer, sentences * 7 + 3) == intervals(layer, sentences)

    def test_level(self) -> None:
        layer, sentences = make_layer(), np.repeat(np.arange(8), 5)
        inner, outer = (intervals(layer, sentences, level=level) for level in (0.5, 0.99))
        for name in bootstrap.NAMES:
            assert outer[name][0] < inner[name][0] < inner[name][1] < outer[name][1]

    def test_one_sentence_has_none(self) -> None:
        assert intervals(make_layer(), np.zeros(40, dtype=np.int64)) == {}

    def test_undefined_measures_have_none(self) -> None:
        one = RouterLayer(
            "r", "encoder", 1, *[np.ones((4, 1))] * 2, np.zeros((4, 1)), np.ones((4, 1)), [0] * 4
        )
        found = intervals(one, np.array([0, 0, 1, 1]))
        missing = {"load_entropy", "token_entropy", "marginal_entropy", "margin"}
        assert set(found) == set(bootstrap.NAMES) - missing
        assert not any(math.isnan(end) for ends in found.values() for end in ends)

    def test_tokens_without_scores_are_left_out(self) -> None:
        p = np.array([[0.5, 0.5], [0, 0], [0.8, 0.2], [0.8, 0.2]])
        layer = RouterLayer(
            "r", "encoder", 1, p, p, np.zeros((4, 1)), p[:, :1], [0] * 4, score_function="sigmoid"
        )
        drawn = np.array([[1.0, 1.0], [2.0, 0.0]])
        found = bootstrap._measures(layer, np.array([0, 0, 1, 1]), drawn)
        assert found["confidence"] == pytest.approx([0.7, 0.5])

    @pytest.mark.parametrize(
        ("sentences", "names", "message"),
        [([0] * 39, ["load_cv"], "39"), ([0, 1] * 20, ["repetition"], "repetition")],
    )
    def test_refused(self, sentences: Any, names: list[str], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            intervals(make_layer(), np.array(sentences), names)
