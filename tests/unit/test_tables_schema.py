"""Schemas: rows that a model takes, and for all others where and why not."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.tables.errors import Offence, SchemaError
from app.tables.fitting import Fitted, fit
from app.tables.json_schema import example_row, row_schema
from app.tables.reading import read
from app.tables.recipe import Recipe
from app.tables.schema import Schema

settings.register_profile("tables", derandomize=True, deadline=None, max_examples=60)
fixed = settings.get_profile("tables")
KEY = b"k" * 32
TRAINING = pd.DataFrame(
    {
        "size": [1.0, 2.0, np.nan, 10.5],
        "colour": pd.Series(["red", "blue", "red", None], dtype="str"),
        "code": [7.0, 7.0, 8.0, 9.0],
        "mail": pd.Series(["a@x.org", "b@x.org", "c@x.org", "d@x.org"], dtype="str"),
        "label": pd.Series(["yes", "no", "yes", "no"], dtype="str"),
    }
)
RECIPE = Recipe(
    "label",
    "classification",
    {"size": "number", "colour": "category", "code": "category", "mail": "category"},
    hashed=("mail",),
)
GOOD = {"size": 2, "colour": "red", "code": 8, "mail": "new@x.org"}


def fitted(**changes: Any) -> Fitted:
    return fit(TRAINING, replace(RECIPE, **changes), KEY)


def schema(**changes: Any) -> Schema:
    return Schema.of_fitted(fitted(**changes))


def offences(of: Schema, rows: list[Any]) -> list[Offence]:
    with pytest.raises(SchemaError) as refused:
        of.check(rows)
    assert "\n" not in str(refused.value)
    assert refused.value.total >= len(refused.value.offences)
    return list(refused.value.offences)


def plain(column: pd.Series) -> list[Any]:
    return [None if pd.isna(value) else value for value in column]


class TestRows:
    def test_good_rows_become_a_frame_that_the_preparation_takes(self) -> None:
        rows = [
            GOOD,
            {"mail": None, "code": "8.0", "colour": None, "size": None, "label": "?", "x": [1]},
            {"size": "1e1", "colour": " blue ", "code": True, "mail": 5},
            {"size": math.nan, "colour": math.nan, "code": "", "mail": ""},
        ]
        frame = schema().check(rows)
        assert list(frame.columns) == ["size", "colour", "code", "mail"]
        assert plain(frame["size"]) == [2.0, None, 10.0, None]
        assert plain(frame["colour"]) == ["red", None, "blue", None]
        assert plain(frame["code"]) == ["8", "8", "true", None]
        assert plain(frame["mail"]) == ["new@x.org", None, "5", None]
        assert frame.dtypes.astype(str).tolist() == ["float64", "str", "str", "str"]
        applied = fitted().apply(frame, KEY)
        assert plain(applied["code"]) == ["8", "8", None, None]

    @pytest.mark.parametrize(
        ("change", "expected", "found"),
        [
            ({"size": "big"}, "a number or null", "«big»"),
            ({"size": True}, "a number or null", "true"),
            ({"size": [1]}, "a number or null", "a list"),
            ({"size": math.inf}, "a finite number", "inf"),
            ({"size": 10**400}, "a finite number", "1" + "0" * 59),
            ({"colour": {"a": 1}}, "text or null", "an object"),
            ({"size": "two\nlines " + "x" * 90}, "a number or null", f"«two lines {'x' * 50}…»"),
        ],
    )
    def test_where_and_what_was_expected(
        self, change: dict[str, Any], expected: str, found: str
    ) -> None:
        (column,) = change
        assert offences(schema(), [GOOD, GOOD | change]) == [Offence(2, column, expected, found)]

    def test_a_column_that_is_not_there_is_no_missing_value(self) -> None:
        row = {name: value for name, value in GOOD.items() if name != "size"} | {"Size": 2}
        assert offences(schema(), [row]) == [Offence(1, "size", "a number or null", "nothing")]

    @pytest.mark.parametrize("value", [None, math.nan, "", "NA"])
    def test_missing_values_where_they_are_refused(self, value: Any) -> None:
        strict = Schema.of_fitted(fit(TRAINING[:2], replace(RECIPE, missing="refuse"), KEY))
        found = offences(strict, [GOOD | {"size": value}])
        assert [(each.column, each.expected) for each in found] == [("size", "a number")]
        if value != "NA":
            found = offences(strict, [GOOD | {"colour": value}])
            assert [(each.column, each.expected) for each in found] == [("colour", "text")]

    def test_unknown_levels_where_they_are_refused(self) -> None:
        strict = schema(unknown="refuse")
        assert offences(strict, [GOOD | {"colour": "green"}]) == [
            Offence(1, "colour", "one of blue, red or null", "«green»")
        ]
        assert offences(strict, [GOOD | {"code": 1}]) == [
            Offence(1, "code", "one of 7, 8, 9 or null", "1")
        ]
        many = replace(strict.fields[1], levels=tuple(f"l{place}" for place in range(1234)))
        (found,) = offences(replace(strict, fields=(many,)), [GOOD])
        assert found.expected.endswith("l8, l9 and 1,224 others or null")

    def test_rows_that_are_none(self) -> None:
        assert offences(schema(), []) == [Offence(1, "", "at least one row", "none")]
        assert offences(schema(), [GOOD, [1], None]) == [
            Offence(2, "", "an object", "a list"),
            Offence(3, "", "an object", "null"),
        ]

    def test_the_first_twenty_offences_by_row_and_the_number_of_all(self) -> None:
        bad = GOOD | {"size": "x", "colour": []}
        with pytest.raises(SchemaError) as refused:
            schema().check([bad] * 3000)
        assert refused.value.total == 6000
        assert [(each.row, each.column) for each in refused.value.offences] == [
            (row, column) for row in range(1, 11) for column in ("size", "colour")
        ]
        assert str(refused.value) == (
            "row 1, «size»: expected a number or null, found «x», and 5,999 more"
        )

    def test_rows_of_a_csv_file(self, tmp_path: Path) -> None:
        file = tmp_path / "rows.csv"
        file.write_text("code;size;colour;mail;label\n7,0;1,5;red;a@x.org;yes\n12;;NA;b;no\n")
        table = read(file, raw=True)
        frame = schema().check(table.frame.to_dict("records"), table.commas)
        assert plain(frame["size"]) == [1.5, None]
        assert plain(frame["colour"]) == ["red", "NA"]
        assert plain(fitted().apply(frame, KEY)["code"])[1] is None


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=4),
    st.sampled_from(["red", "7", "7.0", "\ud800"]),
    st.lists(st.integers(), max_size=1),
)
some_rows = st.lists(
    st.dictionaries(st.sampled_from([*GOOD, "x"]), values, max_size=5) | values, max_size=4
)


@fixed
@given(rows=some_rows, strict=st.booleans())
def test_any_json_is_a_frame_or_a_schema_error(rows: list[Any], strict: bool) -> None:
    changes = {"missing": "refuse", "unknown": "refuse"} if strict else {}
    of = Schema.of_fitted(fit(TRAINING[:2], replace(RECIPE, **changes), KEY))
    try:
        frame = of.check(rows)
    except SchemaError:
        return
    assert len(frame) == len(rows)
    assert len(fit(TRAINING[:2], RECIPE, KEY).apply(frame, KEY)) == len(rows)


class TestDescriptions:
    def test_what_a_schema_tells(self) -> None:
        found = schema()
        assert (found.target, found.task, found.classes) == ("label", "binary", ("no", "yes"))
        size, colour, code, mail = found.fields
        assert (size.low, size.high, size.typical, size.whole) == (1.0, 10.5, 2.0, False)
        assert (colour.levels, colour.others, colour.typical) == (("blue", "red"), "missing", "red")
        assert (code.levels, code.spelt) == (("7", "8", "9"), True)
        assert (mail.levels, mail.typical, mail.others) == ((), None, "taken")
        assert schema(most_levels=1).fields[1].others == "taken"
        amounts = Schema.of_fitted(fit(TRAINING, Recipe("size", "regression", {"code": "number"})))
        assert (amounts.task, amounts.classes) == ("regression", ())
        assert amounts.fields[0].whole

    @pytest.mark.parametrize("changes", [{}, {"unknown": "refuse", "missing": "refuse"}])
    def test_it_comes_back_from_json_and_names_no_hashed_value(
        self, changes: dict[str, Any]
    ) -> None:
        found = schema(**changes)
        kept = json.dumps(found.plain())
        assert Schema.of(json.loads(kept)) == found
        assert "x.org" not in kept

    def test_a_row_as_json_schema(self) -> None:
        found = row_schema(schema(unknown="refuse"))
        assert found["required"] == ["size", "colour", "code", "mail"]
        assert found["properties"] == {
            "size": {"type": ["number", "null"], "description": "1 to 10.5 in the training"},
            "colour": {"enum": ["blue", "red", None]},
            "code": {"enum": ["7", "8", "9", None]},
            "mail": {"type": ["string", "number", "boolean", "null"]},
        }
        open_ended = row_schema(schema())["properties"]["colour"]
        assert open_ended["examples"] == ["blue", "red"]

    def test_the_example_is_a_row_that_is_taken(self) -> None:
        for each in (schema(), schema(unknown="refuse", most_levels=1)):
            assert len(each.check([example_row(each)])) == 1
