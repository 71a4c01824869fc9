"""What later rows are compared with."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from app.tables.profile import Counted, Profile


def profile() -> Profile:
    size = pd.Series([1.0, 2.0, np.nan, 4.0], name="size")
    kind = pd.Series(["a", None, "b", "a"], name="kind", dtype="str")
    columns = {str(each.name): Counted.of_column(each) for each in (size, kind)}
    return Profile(columns, Counted.of_column(pd.Series(["yes", "no"], dtype="str")))


def test_every_value_of_the_training_is_counted_once() -> None:
    found = profile()
    assert {name: int(each.counts.sum()) for name, each in found.features.items()} == {
        "size": 4,
        "kind": 4,
    }
    titles = found.features["kind"].bins.titles
    counts = found.features["kind"].counts.tolist()
    assert dict(zip(titles, counts, strict=True)) == {"a": 2, "b": 1, "others": 0, "missing": 1}
    assert found.predictions.counts.sum() == 2


def test_it_is_the_same_after_json() -> None:
    found = profile()
    again = Profile.of(json.loads(json.dumps(found.plain())))
    assert again.features.keys() == found.features.keys()
    for name, counted in found.features.items():
        assert again.features[name].bins == counted.bins
        assert np.array_equal(again.features[name].counts, counted.counts)
    assert again.predictions.bins == found.predictions.bins
