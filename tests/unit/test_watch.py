"""What is noted of requests, and what it comes to; with models that lie ready."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from app.automl.columns import Columns, Feature
from app.automl.mojo import Scores
from app.recording.registered import Version
from app.serving import store, watch
from app.serving.champions import Served
from app.serving.notes import LATENCIES, Note, Tally, counted, tally
from app.serving.predictor import Predictor
from app.serving.store import WatchStore
from app.serving.watch import Watch
from app.serving.watching import drifts, quality, truths
from app.tables.errors import TableError
from app.tables.fitting import fit
from app.tables.profile import Counted, Profile
from app.tables.recipe import Recipe
from app.tables.schema import Schema

TRAINING = pd.DataFrame(
    {
        "size": np.arange(2000, dtype=np.float64),
        "kind": pd.Series(["a", "b"] * 1000, dtype="str"),
        "y": pd.Series(["no", "yes"] * 1000, dtype="str"),
    }
)


class Known(Predictor):
    """A predictor whose answers are given from outside: all but the model itself."""

    def __init__(self, columns: Columns, profile: Profile) -> None:
        recipe = Recipe("y", "classification", {"size": "number", "kind": "category"})
        self._fitted = fit(TRAINING, recipe)
        self._key = None
        self.schema = Schema.of_fitted(self._fitted)
        self.profile, self.columns = profile, columns


def served(run: str = "r1", task: str = "binary") -> Served:
    features = (Feature("size", "number"), Feature("kind", "category", ("a", "b")))
    if task == "regression":
        columns = Columns(features, "y", "regression")
        answers = Counted.of_column(pd.Series(np.arange(50.0)))
    else:
        columns = Columns(features, "y", "binary", ("no", "yes"))
        answers = Counted.of_column(TRAINING["y"])
    inputs = {name: Counted.of_column(TRAINING[name]) for name in ("size", "kind")}
    version = Version("m", 1, run, datetime(2026, 1, 1, tzinfo=UTC), "champion", "")
    return Served(version, Known(columns, Profile(inputs, answers)))


def note(
    of: Served, sizes: Sequence[float], call: str = "c", seconds: float = 0.003, at: float = 1e9
) -> Note:
    """A request that was answered with «yes» throughout."""
    kinds = pd.Series(["a"] * len(sizes), dtype="str")
    checked = pd.DataFrame({"size": np.array(sizes, np.float64), "kind": kinds})
    probabilities = np.tile([0.25, 0.75], (len(sizes), 1))
    scores = Scores(np.ones(len(sizes)), probabilities)
    return Note(of, "answered", seconds, call, checked, scores, at)


def refused(of: Served) -> Note:
    return Note(of, "refused", 0.001, at=1e9)


DAY = "2001-09-09"  # of a billion seconds since 1970


class TestTally:
    def test_requests_rows_and_latencies_are_counted(self) -> None:
        of = served()
        found = tally([note(of, [1, 2]), note(of, [3], seconds=9.9), refused(of)])
        assert (found.requests, found.rows, found.refused, found.failed) == (3, 3, 1, 0)
        assert found.seconds == pytest.approx(9.904)
        assert found.latencies.sum() == 3
        assert found.latencies[-1] == 1
        assert found.latency(0.5) == 5
        assert found.latency(0.95) == float("inf")
        assert Tally().latency(0.5) is None

    def test_every_value_is_counted_once(self) -> None:
        of = served()
        found = tally([note(of, [1, 5000, np.nan]), note(of, [-3])])
        by_name = {name: now for name, _, now in counted(of.predictor.profile, found.values)}
        assert by_name.keys() == {"size", "kind", ""}
        size = by_name["size"]
        assert (size[0], size[-2], size[-1]) == (1, 1, 1), "below, above, missing"
        assert [each.sum() for each in by_name.values()] == [4, 4, 4]

    def test_sums_are_those_of_all_at_once(self) -> None:
        of = served()
        notes = [note(of, [1, 2]), refused(of), note(of, [500.0], seconds=0.2)]
        parts = sum((tally([each]) for each in notes), Tally())
        whole = tally(notes)
        assert parts.latencies.tolist() == whole.latencies.tolist()
        assert parts.values.tolist() == whole.values.tolist()
        assert parts.requests == whole.requests == 3

    def test_a_latency_at_the_end_of_a_bin_is_in_it(self) -> None:
        found = tally([note(served(), [1], seconds=LATENCIES[2] / 1000)])
        assert found.latency(1) == LATENCIES[2]


class TestStore:
    def test_days_add_up_over_calls(self, tmp_path: Path) -> None:
        kept, of, other = WatchStore(tmp_path / "watch.db"), served(), served("r2")
        kept.add([note(of, [1, 2]), refused(of), note(other, [1], "o")])
        kept.add([note(of, [3], "d"), note(of, [4], "e", at=1e9 + 86400)])
        days = kept.days("r1")
        assert {day: (each.requests, each.rows) for day, each in days.items()} == {
            DAY: (3, 3),
            "2001-09-10": (1, 1),
        }
        assert days[DAY].values.sum() == 3 * 3
        assert list(kept.days("r1", "2001-09-10")) == ["2001-09-10"]
        assert kept.days("nothing") == {}
        assert (kept.kept("r1"), kept.kept("r2")) == (4, 1)

    def test_no_value_of_a_row_is_written(self, tmp_path: Path) -> None:
        kept = WatchStore(tmp_path / "watch.db")
        of, secret = served(), "some secret text"
        checked = pd.DataFrame({"size": [1.0], "kind": pd.Series([secret], dtype="str")})
        scores = Scores(np.ones(1), np.array([[0.5, 0.5]]))
        kept.add([Note(of, "answered", 0.1, "c", checked, scores)])
        for file in tmp_path.iterdir():
            assert secret.encode() not in file.read_bytes()

    def test_labels_find_their_rows(self, tmp_path: Path) -> None:
        kept, of = WatchStore(tmp_path / "watch.db"), served()
        kept.add([note(of, [1, 2, 3])])
        told = {"c-0": "yes", "c-2": "no", "c-9": "no", "c": "no", "x-0": "no", "c-": "no"}
        assert kept.label("m", told) == 2
        assert kept.label("another model", {"c-1": "no"}) == 0
        found = kept.labelled("r1")
        assert found.truth == ["yes", "no"]
        assert found.scores.predicted.tolist() == [1, 1]
        assert found.scores.probabilities == pytest.approx(np.array([[0.25, 0.75]] * 2))
        assert kept.labelled("nothing").truth == []

    def test_the_latest_answers_are_kept(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store, "MOST_ROWS", 5)
        kept, of = WatchStore(tmp_path / "watch.db"), served()
        for second in range(10):
            kept.add([note(of, [1, 2], f"c{second}", at=1e9 + second)])
        assert 5 <= kept.kept("r1") <= 6
        assert kept.label("m", {"c9-0": "no", "c0-0": "no"}) == 1
        kept.add([note(of, list(range(20)), "large", at=1e9 + 99)])
        assert kept.kept("r1") == 20, "all rows of a call"
        assert kept.days("r1")[DAY].rows == 40


class TestWatch:
    def test_what_was_noted_is_there_after_a_flush(self, tmp_path: Path) -> None:
        watched = Watch(WatchStore(tmp_path / "watch.db"))
        of = served()
        threads = [
            threading.Thread(target=lambda n=n: watched.note(note(of, [1], f"c{n}")))
            for n in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert watched.reading().days("r1")[DAY].requests == 20
        watched.note(refused(of))
        assert watched.reading().days("r1")[DAY].refused == 1
        watched.close()

    def test_what_was_noted_is_written_at_the_end(self, tmp_path: Path) -> None:
        watched = Watch(WatchStore(tmp_path / "watch.db"))
        watched.note(note(served(), [1, 2]))
        watched.close()
        assert WatchStore(tmp_path / "watch.db").days("r1")[DAY].rows == 2
        Watch(WatchStore(tmp_path / "never.db")).close()
        assert not (tmp_path / "never.db").exists()

    def test_too_much_at_once_is_lost_and_not_kept_in_memory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(watch, "MOST_WAITING_ROWS", 3)
        watched, of = Watch(WatchStore(tmp_path / "watch.db")), served()
        watched.note(note(of, [1, 2, 3]))
        watched.note(note(of, [4], "d"))
        assert watched.reading().days("r1")[DAY].rows == 3
        watched.close()
        assert "too many came at once: 1" in caplog.text

    def test_a_file_that_cannot_be_written_stops_nothing(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        file = tmp_path / "watch.db"
        file.write_bytes(b"no database" * 100)
        watched = Watch(WatchStore(file))
        watched.note(note(served(), [1]))
        watched.flush()
        assert "could not be noted: 1" in caplog.text
        with pytest.raises(sqlite3.DatabaseError):
            watched.reading().days("r1")
        watched.close()

    def test_another_process_may_hold_the_file_for_a_moment(self, tmp_path: Path) -> None:
        file = tmp_path / "watch.db"
        watched, of = Watch(WatchStore(file)), served()
        watched.note(note(of, [1]))
        watched.flush()
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("begin immediate")
            watched.note(note(of, [2], "d"))
            other.execute("rollback")
        assert watched.reading().days("r1")[DAY].rows == 2
        watched.close()


class TestHowItDoes:
    def test_rows_like_the_trainings_have_no_drift(self) -> None:
        of = served()
        found = drifts(of.predictor, tally([note(of, TRAINING["size"].tolist())]).values)
        assert [each.name for each in found] == ["size", "kind", ""]
        assert found[0].drift.verdict == "stable"
        assert found[1].drift.verdict == "much", "all of one kind"
        assert found[2].drift.verdict == "much", "all «yes»"

    def test_nothing_asked_is_nothing_known(self) -> None:
        of = served()
        assert {each.drift.verdict for each in drifts(of.predictor, Tally().values)} == {"too few"}

    def test_labels_give_the_metrics_of_the_hold_out(self, tmp_path: Path) -> None:
        kept, of = WatchStore(tmp_path / "watch.db"), served()
        kept.add([note(of, [1, 2, 3, 4])])
        kept.label("m", {"c-0": "yes", "c-1": "yes", "c-2": "no", "c-3": "never seen"})
        found = quality(of.predictor, kept.labelled("r1"))
        assert found["accuracy"] == 0.5
        assert found.keys() >= {"log_loss", "accuracy_low", "accuracy_high"}
        assert quality(of.predictor, kept.labelled("r2")) == {}

    def test_numbers_are_judged_as_numbers(self, tmp_path: Path) -> None:
        kept, of = WatchStore(tmp_path / "watch.db"), served(task="regression")
        answered = note(of, [1, 2])
        scores = Scores(np.array([2.5, 1e300]), np.empty((2, 0)))
        kept.add([Note(of, "answered", 0.1, "c", answered.checked, scores, 1e9)])
        assert kept.label("m", truths("regression", {"c-0": "3.0", "c-1": 1e300})) == 2
        found = quality(of.predictor, kept.labelled("r1"))
        assert found["mae"] == 0.25

    def test_what_is_no_truth_is_refused(self) -> None:
        with pytest.raises(TableError, match=r"«truth» is not a number in row 2: «abc»"):
            truths("regression", {"c-0": 1, "c-1": "abc"})
        assert truths("regression", {"c-0": None, "c-1": " 2 "}) == {"c-1": 2.0}
        assert truths("binary", {"a-0": 3.0, "a-1": True, "a-2": None, "a-3": " x "}) == {
            "a-0": "3",
            "a-1": "true",
            "a-3": "x",
        }
