"""Surface features of tokens, and the tokens of a pass as a table to learn from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.corpus.counting.batch import LayerShape, RoutedBatch, RoutedLayer
from app.corpus.documents import Document
from app.corpus.parts import TokenWriter
from app.corpus.reading.source import Corpus, Selection
from app.corpus.surface import Surface, SurfaceError, labels_of, surface
from app.corpus.token_features import FEATURES, NUMBERS, START, Vocabulary, case, features, script
from app.tables.columns import describe
from app.tables.fitting import fit, trainable
from app.tables.recipe import Recipe
from app.tables.splitting import held_out_groups
from app.tables.targets import target_of

settings.register_profile("surface", derandomize=True, deadline=None, max_examples=40)
fixed = settings.get_profile("surface")

WORDS = ["</s>", "▁The", "▁Cat", "s", ",", "▁42", "▁", "<0xE2>", "▁Ж", "▁NASA", "▁x1", "\n", "東"]
LAYERS = (
    LayerShape("encoder.1.router", "encoder", 1, 4, 2, None),
    LayerShape("encoder.3.router", "encoder", 3, 4, 2, 64),
)
DOCUMENTS = 12


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(dict(enumerate(WORDS)), {0})


def plain(column: pd.Series) -> list[Any]:
    return [None if pd.isna(value) else value for value in column]


def looked_at(vocabulary: Vocabulary, *ids: int) -> pd.DataFrame:
    """The features of one document's tokens."""
    count = len(ids)
    return features(vocabulary, np.array(ids), np.arange(count), np.zeros(count, dtype=np.int64))


class TestFeatures:
    def test_what_pieces_look_like(self, vocabulary: Vocabulary) -> None:
        found = looked_at(vocabulary, *range(len(WORDS)))
        shown = found[["piece", "kind", "length", "script", "case", "digits", "punctuation"]]
        assert [tuple(row) for row in shown.itertuples(index=False)] == [
            ("</s>", "special", 0, "none", "none", 0, 0),
            ("▁The", "word", 3, "latin", "title", 0, 0),
            ("▁Cat", "word", 3, "latin", "title", 0, 0),
            ("s", "word", 1, "latin", "lower", 0, 0),
            (",", "punctuation", 1, "none", "none", 0, 1),
            ("▁42", "number", 2, "none", "none", 2, 0),
            ("▁", "space", 0, "none", "none", 0, 0),
            ("<0xE2>", "part", 1, "none", "none", 0, 0),
            ("▁Ж", "word", 1, "cyrillic", "upper", 0, 0),
            ("▁NASA", "word", 4, "latin", "upper", 0, 0),
            ("▁x1", "mixed", 2, "latin", "lower", 1, 0),
            ("⏎", "space", 0, "none", "none", 0, 0),
            ("東", "word", 1, "cjk", "none", 0, 0),
        ]

    def test_where_words_begin(self, vocabulary: Vocabulary) -> None:
        ids = [3, 1, 3, 4, 6, 3, 11, 12, 0, 3]
        assert plain(looked_at(vocabulary, *ids)["word_start"]) == (
            "yes yes no no no yes no yes no yes".split()
        )
        word_pieces = Vocabulary({0: "play", 1: "##ing", 2: ","}, ())
        assert plain(looked_at(word_pieces, 0, 1, 2, 0)["word_start"]) == "yes no yes yes".split()

    def test_the_token_before(self, vocabulary: Vocabulary) -> None:
        found = features(
            vocabulary, np.array([1, 3, 4, 5]), np.array([0, 1, 0, 1]), np.array([8, 8, 9, 9])
        )
        assert plain(found["previous_piece"]) == [START, "▁The", START, ","]
        assert plain(found["previous_length"]) == [None, 3, None, 1]
        assert plain(found["previous_case"]) == [None, "title", None, "none"]
        assert plain(found["previous_word_start"]) == [None, "yes", None, "yes"]
        assert plain(found["position"]) == [0, 1, 0, 1]

    def test_labels_are_features_and_blank_ones_are_missing(self, vocabulary: Vocabulary) -> None:
        one = np.zeros(2, dtype=np.int64)
        found = features(vocabulary, one, one, one, {"language": ["fr", ""]})
        assert plain(found["label_language"]) == ["fr", None]

    def test_every_feature_is_described_and_of_its_type(self, vocabulary: Vocabulary) -> None:
        found = looked_at(vocabulary, 1, 3)
        own = [name for name in found.columns if not name.startswith("previous_")]
        assert set(own) == set(FEATURES)
        before = {f"previous_{name}" for name in own} - {"previous_position"}
        assert set(found.columns) - set(own) == before
        for name in found.columns:
            number = name.removeprefix("previous_") in NUMBERS
            assert str(found[name].dtype) == ("float64" if number else "str")

    def test_parts_of_characters_in_a_byte_level_vocabulary(self) -> None:
        found = looked_at(Vocabulary({0: "ĠÃ©tÃ©", 1: "Ã", 2: "é", 3: "Ċ"}, ()), 0, 1, 2, 3)
        assert plain(found["kind"]) == ["word", "part", "part", "space"]
        assert plain(found["length"]) == [3, 1, 1, 0]
        # Where no vocabulary is byte-level, a letter is a letter.
        assert plain(looked_at(Vocabulary({0: "é"}, ()), 0)["kind"]) == ["word"]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [("a", "lower"), ("A", "upper"), ("iPad", "mixed"), ("Été", "title"), ("1", "none")],
    )
    def test_cases(self, text: str, expected: str) -> None:
        assert case(text) == expected

    @pytest.mark.parametrize(
        ("text", "expected"),
        [("1.ß", "latin"), ("ａ", "latin"), ("ひ", "hiragana"), ("한", "hangul"), ("λ", "greek")],
    )
    def test_scripts(self, text: str, expected: str) -> None:
        assert script(text) == expected

    @fixed
    @given(pieces=st.lists(st.text(max_size=4), min_size=1, max_size=6), bytes_too=st.booleans())
    def test_any_piece_has_features(self, pieces: list[str], bytes_too: bool) -> None:
        known = dict(enumerate([*pieces, *(["Ġ", "##a"] if bytes_too else [])]))
        found = looked_at(Vocabulary(known, ()), *known)
        assert len(found) == len(known)
        assert found[["kind", "script", "case", "word_start"]].notna().all(axis=None)
        assert (found["digits"] + found["punctuation"] <= found["length"]).all()


def expert_of(token_id: int, layer: int) -> int:
    """The planted rule: by the token alone in one layer, by nothing of it in the other."""
    return token_id % 4 if layer == 0 else 3


def batch_of(rng: np.random.Generator, numbers: range) -> RoutedBatch:
    lengths = [int(number % 4) + 3 for number in numbers]
    token_ids = rng.integers(0, len(WORDS), sum(lengths))
    layers = []
    for place in range(len(LAYERS)):
        first = np.array([expert_of(int(each), place) for each in token_ids])
        experts = np.stack((first, (first + 1) % 4), axis=1)
        scores = np.full((len(token_ids), 4), 0.25, dtype=np.float32)
        layers.append(RoutedLayer(experts, scores, np.zeros(len(token_ids), dtype=np.bool_)))
    return RoutedBatch(
        documents=tuple(Document(number, "text", {}) for number in numbers),
        document_of=np.repeat(np.arange(len(lengths)), lengths),
        positions=np.concatenate([np.arange(length) for length in lengths]),
        token_ids=token_ids,
        special=token_ids == 0,
        spans=np.zeros((len(token_ids), 2), dtype=np.int64),
        layers=tuple(layers),
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The parts of a pass over documents of 3 to 6 tokens; number 5 has none."""
    folder, rng = tmp_path_factory.mktemp("pass"), np.random.default_rng(1)
    writer = TokenWriter(folder, LAYERS, 0)
    for numbers in (range(3), range(3, 5), range(6, DOCUMENTS)):
        writer.add(batch_of(rng, numbers))
        if numbers.start:
            writer.flush()
    return sorted(folder.rglob("*.parquet"))


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    file = tmp_path / "texts.jsonl"
    rows = [{"text": f"t{row}", "domain": "law" if row % 2 else ""} for row in range(DOCUMENTS)]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return Corpus([file], Selection("text", ("domain",)))


class TestPass:
    def test_a_row_for_each_token_with_the_first_expert(
        self, files: list[Path], vocabulary: Vocabulary
    ) -> None:
        assert len(files) == 2
        found = surface(files, LAYERS[0], vocabulary)
        frame = found.frame
        assert list(frame.columns)[:2] == ["document", "piece"]
        assert frame.columns[-1] == "expert"
        assert found.tokens == len(frame)
        assert found.documents == found.chosen == DOCUMENTS - 1
        assert plain(frame["expert"]) == [
            str(expert_of(int(token), 0)) for token in frame["token_id"]
        ]
        assert (frame["previous_piece"] == START).sum() == DOCUMENTS - 1
        assert set(surface(files, LAYERS[1], vocabulary).frame["expert"]) == {"3"}

    def test_whole_documents_are_drawn_by_seed_the_same_for_each_layer(
        self, files: list[Path], vocabulary: Vocabulary
    ) -> None:
        def drawn(layer: LayerShape, seed: int) -> Surface:
            return surface(files, layer, vocabulary, most_rows=20, seed=seed)

        first, again, other = drawn(LAYERS[0], 1), drawn(LAYERS[1], 1), drawn(LAYERS[0], 2)
        assert plain(first.frame["document"]) == plain(again.frame["document"])
        assert set(first.frame["document"]) != set(other.frame["document"])
        for found in (first, other):
            assert len(found.frame) <= 20
            assert found.chosen == found.frame["document"].nunique() < found.documents
            lengths = found.frame["document"].value_counts()
            assert all(rows == number % 4 + 3 for number, rows in lengths.items())
        assert surface(files, LAYERS[0], vocabulary, most_rows=1).chosen == 2

    def test_labels_of_the_corpus_are_features(
        self, files: list[Path], vocabulary: Vocabulary, corpus: Corpus
    ) -> None:
        frame = surface(files, LAYERS[0], vocabulary, corpus).frame
        assert plain(frame["label_domain"]) == [
            "law" if document % 2 else None for document in frame["document"]
        ]

    def test_a_corpus_that_has_changed(self, corpus: Corpus) -> None:
        with pytest.raises(SurfaceError, match="not those that the pass has read"):
            labels_of(corpus, [0, DOCUMENTS])

    def test_a_pass_that_kept_no_tokens(self, vocabulary: Vocabulary, tmp_path: Path) -> None:
        with pytest.raises(SurfaceError, match="the pass kept the tokens of none"):
            surface([], LAYERS[0], vocabulary)
        writer = TokenWriter(tmp_path, LAYERS, 0)
        writer.add(batch_of(np.random.default_rng(0), range(1)))
        writer.flush()
        with pytest.raises(SurfaceError, match="the tokens of one document"):
            surface(list(tmp_path.rglob("*.parquet")), LAYERS[0], vocabulary)

    def test_a_text_typed_later_has_the_same_features(
        self, files: list[Path], vocabulary: Vocabulary
    ) -> None:
        frame = surface(files, LAYERS[0], vocabulary).frame
        one = frame[frame["document"] == 7].reset_index(drop=True)
        later = looked_at(vocabulary, *one["token_id"].astype(int))
        pd.testing.assert_frame_equal(one[list(later.columns)], later)

    def test_it_can_be_prepared_split_and_learnt_from(
        self, files: list[Path], vocabulary: Vocabulary, corpus: Corpus
    ) -> None:
        frame = surface(files, LAYERS[0], vocabulary, corpus).frame
        target = target_of(frame["expert"])
        assert (target.kind, target.problems) == ("multiclass", ())
        recipe = Recipe.guess(describe(frame), "expert", "classification", "document")
        assert {"piece", "previous_piece", "position", "label_domain"} <= set(recipe.features)
        assert trainable(frame, recipe).all()
        out = held_out_groups(frame["document"], 0)
        assert not set(frame["document"][out]) & set(frame["document"][~out])
        fitted = fit(frame[~out], recipe)
        assert fitted.classes == ("0", "1", "2", "3")
        assert len(fitted.apply(frame[out])) == out.sum()
