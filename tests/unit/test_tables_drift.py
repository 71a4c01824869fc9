"""Drift: bins of the training, and how far later values are from them."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.routing.metrics import jensen_shannon
from app.tables.drift import Bins, drift, psi, psi_by_chance

settings.register_profile("tables", derandomize=True, deadline=None, max_examples=60)
fixed = settings.get_profile("tables")
amounts = st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), min_size=1, max_size=60)
words = st.lists(st.sampled_from("abcdef") | st.none(), min_size=1, max_size=60)


def text(values: list[str | None]) -> pd.Series:
    return pd.Series(values, dtype="str")


class TestBins:
    def test_numbers_by_deciles_with_a_bin_beyond_each_end(self) -> None:
        training = pd.Series(np.arange(1.0, 101.0))
        bins = Bins.of_training(training)
        assert bins.titles[:3] == ("below 1", "1 to 10", "10 to 20")
        assert bins.titles[-2:] == ("above 100", "missing")
        assert bins.count(training).tolist() == [0, *[10] * 10, 0, 0]
        later = pd.Series([0.5, 1, 10, 10.5, 100, 101, np.nan])
        assert bins.count(later).tolist() == [1, 2, 1, *[0] * 7, 1, 1, 1]

    def test_values_that_repeat_make_fewer_bins(self) -> None:
        bins = Bins.of_training(pd.Series([0.0] * 95 + [1.0] * 5))
        assert bins.titles == ("below 0", "0", "0 to 1", "above 1", "missing")
        constant = Bins.of_training(pd.Series([5.0] * 3))
        assert constant.count(pd.Series([5.0, 4.0, 6.0, 6.0])).tolist() == [1, 1, 2, 0]

    def test_levels_by_frequency_and_the_others_together(self) -> None:
        training = text([f"l{level}" for level in range(30) for _ in range(level + 1)])
        bins = Bins.of_training(training)
        assert bins.titles[:2] == ("l29", "l28")
        assert bins.titles[-2:] == ("others", "missing")
        assert len(bins) == 22
        assert bins.count(text(["l29", "l0", "new", None])).tolist() == [1, *[0] * 19, 2, 1]

    def test_columns_without_any_value(self) -> None:
        bins = Bins.of_training(pd.Series([np.nan, np.nan]))
        assert bins.count(pd.Series([np.nan, 3.0])).tolist() == [1, 1]
        assert Bins.of_training(text([None])).count(text(["a", None])).tolist() == [1, 1]

    @fixed
    @given(values=amounts | words, later=amounts)
    def test_every_value_is_in_one_bin_and_parts_add_up(
        self, values: list[float | str | None], later: list[float]
    ) -> None:
        numeric = all(isinstance(value, float) for value in values)
        training = pd.Series(values, dtype="float64" if numeric else "str")
        bins = Bins.of_training(training)
        assert Bins.of(json.loads(json.dumps(bins.plain()))) == bins
        column = pd.Series(later) if numeric else text([str(value)[:1] for value in later])
        for each in (training, column):
            counts = bins.count(each)
            assert len(counts) == len(bins) == len(bins.titles)
            assert counts.sum() == len(each)
            assert counts[-1] == each.isna().sum()
            parts = bins.count(each[: len(each) // 2]), bins.count(each[len(each) // 2 :])
            assert (parts[0] + parts[1]).tolist() == counts.tolist()
        if numeric:
            assert bins.count(training)[0] == 0


class TestDistances:
    def test_psi_is_the_published_formula(self) -> None:
        # Large counts, so that the half that is added to each hardly matters.
        before, after = np.array([500_000, 300_000, 200_000]), np.array([400_000, 400_000, 200_000])
        expected = (0.4 - 0.5) * math.log(0.4 / 0.5) + (0.4 - 0.3) * math.log(0.4 / 0.3)
        assert psi(before, after) == pytest.approx(expected, rel=1e-4)

    def test_jensen_shannon_is_that_of_the_shares(self) -> None:
        found = drift(np.array([5, 5, 0]), np.array([0, 2, 2]))
        assert found.jensen_shannon == pytest.approx(jensen_shannon([0.5, 0.5, 0], [0, 0.5, 0.5]))

    @fixed
    @given(
        counts=st.lists(
            st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=1, max_size=12
        )
    )
    def test_distances_are_symmetric_and_zero_for_the_same(
        self, counts: list[tuple[int, int]]
    ) -> None:
        before, after = np.array(counts).T
        found, other = drift(before, after), drift(after, before)
        if not before.sum() or not after.sum():
            assert math.isnan(found.psi)
            assert found.verdict == "too few" or after.sum()
            return
        assert found.psi == pytest.approx(other.psi)
        assert found.jensen_shannon == pytest.approx(other.jensen_shannon)
        assert found.psi >= 0
        assert 0 <= found.jensen_shannon <= 1
        same = drift(before, before)
        assert same.psi == pytest.approx(0)
        assert same.jensen_shannon == pytest.approx(0, abs=1e-9)

    @pytest.mark.parametrize(("bins", "rows"), [(4, 200), (10, 1000), (12, 400)])
    def test_without_drift_one_in_twenty_samples_passes_the_chance_level(
        self, bins: int, rows: int
    ) -> None:
        rng = np.random.default_rng(5)
        shares = np.full(bins, 1 / bins)
        pairs = zip(
            rng.multinomial(4 * rows, shares, 1000),
            rng.multinomial(rows, shares, 1000),
            strict=True,
        )
        passed = np.mean([psi(a, b) > psi_by_chance(a, b) for a, b in pairs])
        assert 0.03 < passed < 0.07

    def test_a_verdict_says_when_nothing_is_known(self) -> None:
        training = np.full(10, 1000)
        assert drift(training, np.full(10, 500)).verdict == "stable"
        assert drift(training, np.array([1, 0, 0, 0, 0, 1, 0, 0, 1, 0])).verdict == "too few"
        assert drift(training, np.array([5000, *[1] * 9])).verdict == "much"
        half = np.array([*[700] * 5, *[300] * 5])
        assert drift(training, half).verdict == "some"
        assert drift(training, np.zeros(10, dtype=int)).verdict == "too few"

    def test_other_bins_are_refused(self) -> None:
        with pytest.raises(ValueError, match="differ"):
            drift(np.array([1, 2]), np.array([1, 2, 3]))
