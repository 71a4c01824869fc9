"""Preparation: what it learns of the training rows is done to every row that comes later."""

from __future__ import annotations

import hmac
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.tables.columns import describe
from app.tables.errors import TableError
from app.tables.fitting import OTHER, Fitted, fit, trainable
from app.tables.recipe import Recipe
from app.tables.secret import hashed, mark, secret_key

settings.register_profile("tables", derandomize=True, deadline=None, max_examples=60)
fixed = settings.get_profile("tables")
KEY, OTHER_KEY = b"k" * 32, b"o" * 32


def text(values: list[str | None]) -> pd.Series:
    return pd.Series(values, dtype="str")


def plain(column: pd.Series) -> list[Any]:
    return [None if pd.isna(value) else value for value in column]


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "size": [1.0, 2.0, np.nan, 10.0],
            "colour": text(["red", None, "red", "blue"]),
            "mail": text(["a@x.org", "b@x.org", "a@x.org", None]),
            "code": [7.0, 7.0, 8.0, 9.0],
            "label": text(["yes", "no", None, "yes"]),
            "who": text(["p", "p", "q", "r"]),
        }
    )


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(
        target="label",
        task="classification",
        features={"size": "number", "colour": "category", "mail": "category", "code": "category"},
        dropped={"x": "constant"},
        hashed=("mail",),
        group="who",
    )


class TestApply:
    def test_features_come_in_their_order_and_target_and_group_do_not(
        self, frame: pd.DataFrame, recipe: Recipe
    ) -> None:
        found = fit(frame, recipe, KEY).apply(frame, KEY)
        assert list(found.columns) == ["size", "colour", "mail", "code"]
        assert plain(found["size"]) == [1.0, 2.0, None, 10.0]
        assert plain(found["colour"]) == ["red", None, "red", "blue"]
        assert plain(found["code"]) == ["7", "7", "8", "9"]
        assert found.dtypes.astype(str).tolist() == ["float64", "str", "str", "str"]

    def test_missing_values_are_filled_with_what_the_training_had(
        self, frame: pd.DataFrame, recipe: Recipe
    ) -> None:
        fitted = fit(frame, replace(recipe, missing="fill"), KEY)
        found = fitted.apply(frame, KEY)
        assert plain(found["size"]) == [1.0, 2.0, 2.0, 10.0]
        assert plain(found["colour"]) == ["red", "red", "red", "blue"]
        assert plain(fitted.inputs(frame, KEY)["size"])[2] is None
        later = frame.assign(size=np.nan, colour=text([None] * 4))
        assert plain(fitted.apply(later, KEY)["size"]) == [2.0] * 4
        assert plain(fitted.apply(later, KEY)["colour"]) == ["red"] * 4

    def test_unknown_levels_are_missing(self, frame: pd.DataFrame, recipe: Recipe) -> None:
        fitted = fit(frame, recipe, KEY)
        found = fitted.apply(frame.assign(colour=text(["green", "red", "blue", None])), KEY)
        assert plain(found["colour"]) == [None, "red", "blue", None]

    @pytest.mark.parametrize("limit", [{"most_levels": 1}, {"least_rows": 2}])
    def test_rare_and_unknown_levels_are_one(
        self, frame: pd.DataFrame, recipe: Recipe, limit: dict[str, int]
    ) -> None:
        fitted = fit(frame, replace(recipe, **limit), KEY)
        assert plain(fitted.apply(frame, KEY)["colour"]) == ["red", None, "red", OTHER]
        later = frame.assign(colour=text(["green", "red", "blue", None]))
        assert plain(fitted.apply(later, KEY)["colour"]) == [OTHER, "red", OTHER, None]

    def test_levels_that_are_all_rare(self, frame: pd.DataFrame, recipe: Recipe) -> None:
        fitted = fit(frame, replace(recipe, least_rows=9, missing="fill"), KEY)
        assert plain(fitted.apply(frame, KEY)["colour"]) == [OTHER] * 4

    def test_equally_frequent_levels_are_kept_by_their_letters(self) -> None:
        frame = pd.DataFrame({"c": text(["b", "a", "c"]), "label": text(["x", "y", "x"])})
        only = Recipe("label", "classification", {"c": "category"}, most_levels=2)
        assert fit(frame, only).features[0].levels == ("a", "b")

    def test_numbers_as_a_category_are_the_same_however_they_come(
        self, frame: pd.DataFrame, recipe: Recipe
    ) -> None:
        fitted = fit(frame, recipe, KEY)
        found = fitted.apply(frame.assign(code=text(["7.0", " 8", "9e0", "seven"])), KEY)
        assert plain(found["code"]) == ["7", "8", "9", None]

    def test_text_as_numbers_or_the_cell_is_named(
        self, frame: pd.DataFrame, recipe: Recipe
    ) -> None:
        fitted = fit(frame, recipe, KEY)
        found = fitted.apply(frame.assign(size=text(["3", None, "NA", "4.5"])), KEY)
        assert plain(found["size"]) == [3.0, None, None, 4.5]
        with pytest.raises(TableError, match=r"^«size» is not a number in row 2: «big»$"):
            fitted.apply(frame.assign(size=text(["3", "big", None, "4"])), KEY)

    def test_a_column_that_is_not_there(self, frame: pd.DataFrame, recipe: Recipe) -> None:
        with pytest.raises(TableError, match=r"^there is no column «colour»$"):
            fit(frame, recipe, KEY).apply(frame.drop(columns="colour"), KEY)

    def test_columns_without_any_value(self) -> None:
        frame = pd.DataFrame({"n": [np.nan] * 2, "c": text([None] * 2), "label": text(["x", "y"])})
        nothing = Recipe(
            "label", "classification", {"n": "number", "c": "category"}, missing="fill"
        )
        fitted = fit(frame, nothing)
        assert fitted.apply(frame).isna().all(axis=None)
        assert plain(fitted.apply(frame.assign(n=1.0, c="x"))["n"]) == [1.0, 1.0]

    def test_odd_names_are_only_names(self) -> None:
        names = ["; DROP TABLE runs", "=cmd|'/c calc'!A1", 'a"b', "größe «x»", "%s {0}"]
        frame = pd.DataFrame({name: [1.0, 2.0] for name in names} | {"y": [0.5, 1.5]})
        fitted = fit(frame, Recipe("y", "regression", dict.fromkeys(names, "number")))
        again = Fitted.of(json.loads(json.dumps(fitted.plain())))
        pd.testing.assert_frame_equal(again.apply(frame), frame[names])


class TestHashing:
    def test_no_value_of_a_hashed_column_is_kept(self, frame: pd.DataFrame, recipe: Recipe) -> None:
        fitted = fit(frame, recipe, KEY)
        found = fitted.apply(frame, KEY)
        assert plain(found["mail"])[0] == plain(found["mail"])[2] == hashed(KEY, "mail", "a@x.org")
        assert plain(found["mail"])[3] is None
        kept = json.dumps(fitted.plain())
        assert "x.org" not in kept
        assert KEY.decode() not in kept
        assert KEY.hex() not in kept

    def test_hashes_differ_by_column_and_by_key(self) -> None:
        found = {hashed(KEY, "a", "v"), hashed(KEY, "b", "v"), hashed(OTHER_KEY, "a", "v")}
        assert len(found) == 3
        assert all(len(each) == 16 for each in found)
        assert hmac.digest(KEY, b"a\0v", "sha256").hex()[:16] in found
        assert mark(KEY) != mark(OTHER_KEY)

    @pytest.mark.parametrize("key", [None, OTHER_KEY])
    def test_another_key_or_none_is_refused(
        self, frame: pd.DataFrame, recipe: Recipe, key: bytes | None
    ) -> None:
        fitted = fit(frame, recipe, KEY)
        with pytest.raises(TableError, match="a key that is not here"):
            fitted.apply(frame, key)
        with pytest.raises(TableError, match="a key is needed"):
            fit(frame, recipe)

    def test_no_key_is_needed_where_nothing_is_hashed(
        self, frame: pd.DataFrame, recipe: Recipe
    ) -> None:
        fitted = fit(frame, replace(recipe, hashed=()))
        assert fitted.key == ""
        assert plain(fitted.apply(frame)["mail"])[0] == "a@x.org"


class TestSecretKey:
    def test_it_stays_the_same_and_is_the_owners(self, tmp_path: Path) -> None:
        data = tmp_path / "data"
        key = secret_key(data)
        assert len(key) == 32
        assert secret_key(data) == key
        assert secret_key(tmp_path / "other") != key
        (file,) = data.iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def test_all_who_come_at_once_get_the_same(self, tmp_path: Path) -> None:
        with ThreadPoolExecutor(8) as pool:
            keys = set(pool.map(lambda _: secret_key(tmp_path), range(16)))
        assert len(keys) == 1
        assert len(list(tmp_path.iterdir())) == 1


class TestTraining:
    def test_rows_without_a_target_are_left_out(self, frame: pd.DataFrame, recipe: Recipe) -> None:
        assert trainable(frame, recipe).tolist() == [True, True, False, True]

    def test_rows_with_a_missing_value_are_left_out_where_it_is_refused(
        self, frame: pd.DataFrame, recipe: Recipe
    ) -> None:
        refusing = replace(recipe, missing="refuse", hashed=())
        assert trainable(frame, refusing).tolist() == [True, False, False, False]

    def test_answers_are_classes_or_numbers(self, frame: pd.DataFrame, recipe: Recipe) -> None:
        fitted = fit(frame, recipe, KEY)
        assert fitted.classes == ("no", "yes")
        assert plain(fitted.answers(frame)) == ["yes", "no", None, "yes"]
        amounts = fit(frame, Recipe("size", "regression", {"colour": "category"}))
        assert amounts.classes == ()
        assert plain(amounts.answers(frame)) == [1.0, 2.0, None, 10.0]
        codes = fit(frame, Recipe("code", "classification", {"size": "number"}))
        assert codes.classes == ("7", "8", "9")


class TestRecipe:
    def test_a_guess_leaves_out_what_nothing_can_be_learnt_from(self) -> None:
        rows = np.arange(40)
        frame = pd.DataFrame(
            {
                "id": rows + 1.0,
                "size": np.sqrt(rows),
                "colour": text(["red", "blue"] * 20),
                "same": text(["x"] * 40),
                "remark": text([f"some words about {row}" for row in rows]),
                "mail": text([f"m{row}@example.org" for row in rows]),
                "document": rows // 4 * 1.0,
                "label": text(["yes", "no"] * 20),
            }
        )
        recipe = Recipe.guess(describe(frame), "label", "classification", "document")
        assert recipe.features == {"size": "number", "colour": "category"}
        assert recipe.dropped == {
            "id": "identifier",
            "same": "constant",
            "remark": "text",
            "mail": "looks personal: e-mail",
        }
        recipe.check(frame.columns)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"target": "no"}, "there is no column «no»"),
            ({"group": "no"}, "there is no column «no»"),
            ({"features": {"no": "number"}, "hashed": ()}, "there is no column «no»"),
            ({"features": {"label": "category"}, "hashed": ()}, "«label» is the target"),
            ({"features": {"who": "category"}, "hashed": ()}, "«who» says which rows"),
            ({"features": {}, "hashed": ()}, "no column is left to learn from"),
            ({"hashed": ("size",)}, "«size» can be hashed only as a category"),
            ({"hashed": ("who",)}, "«who» can be hashed only as a category"),
            ({"most_levels": 0}, "at least one level"),
        ],
    )
    def test_what_makes_no_sense_is_refused(
        self, frame: pd.DataFrame, recipe: Recipe, change: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(TableError, match=message):
            fit(frame, replace(recipe, **change), KEY)


cells = st.one_of(
    st.none(), st.sampled_from(["a", "b", "12", "12.0", "é", OTHER]), st.text(max_size=3)
)
amounts = st.floats(-1e6, 1e6) | st.just(np.nan)


@fixed
@given(
    rows=st.lists(st.tuples(amounts, cells, cells), min_size=2, max_size=12),
    missing=st.sampled_from(["keep", "fill", "refuse"]),
    most_levels=st.integers(1, 3),
    split=st.integers(1, 11),
)
def test_it_comes_back_from_json_and_does_each_row_by_itself(
    rows: list[tuple[float, str | None, str | None]], missing: Any, most_levels: int, split: int
) -> None:
    size, colour, label = zip(*rows, strict=True)
    frame = pd.DataFrame(
        {"size": list(size), "colour": text(list(colour)), "label": text(list(label))}
    )
    recipe = Recipe(
        "label",
        "classification",
        {"size": "number", "colour": "category"},
        hashed=("colour",) if split % 2 else (),
        missing=missing,
        most_levels=most_levels,
    )
    fitted = fit(frame, recipe, KEY)
    again = Fitted.of(json.loads(json.dumps(fitted.plain())))
    assert again == fitted
    whole = again.apply(frame, KEY)
    pd.testing.assert_frame_equal(whole, fitted.apply(frame, KEY))
    parts = [again.apply(part, KEY) for part in (frame[:split], frame[split:])]
    pd.testing.assert_frame_equal(pd.concat(parts), whole)
    if missing == "fill" and whole["size"].notna().any():
        assert whole["size"].notna().all()
    assert whole["colour"].dropna().isin([*fitted.features[1].levels, OTHER]).all()
