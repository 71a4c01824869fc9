"""Names, versions and events of registered models."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.recording.base import InvalidQueryError
from app.recording.registered import (
    MOST_NAME_CHARACTERS,
    Action,
    Event,
    champions_before,
    check_name,
    events_of,
    name_of,
    written,
)
from app.recording.registry_tags import numbers_of, write_numbers

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def events(*told: tuple[Action, int]) -> tuple[Event, ...]:
    """In the order in which they happened; given with the last first."""
    made = [Event(START + timedelta(hours=n), *each) for n, each in enumerate(told)]
    return tuple(reversed(made))


@pytest.mark.parametrize("name", ["iris", "a", "A.b_c-1", "9", "x" * MOST_NAME_CHARACTERS])
def test_plain_names_are_taken(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    "name", ["", "a/b", "a:b", ".a", "-a", "a b", "é", "a\n", "x" * (MOST_NAME_CHARACTERS + 1)]
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidQueryError, match="a model's name has 1 to 100 letters"):
        check_name(name)


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("sales 2026 (final)", "sales-2026-final"),
        ("a/b\\c:d", "a-b-c-d"),
        ("; DROP", "DROP"),
        ("Übung", "bung"),
        ("日本", "model"),
        ("", "model"),
        ("x" * 300, "x" * 100),
    ],
)
def test_titles_become_names(title: str, name: str) -> None:
    assert name_of(title) == name
    check_name(name_of(title))
    assert name_of(title, 12).endswith("-12")
    check_name(name_of(title, 12))


def test_the_champion_before_is_the_one_that_was_promoted_before() -> None:
    told = events(("promoted", 1), ("promoted", 2), ("promoted", 3))
    assert champions_before(told, 3) == [2, 1]


def test_what_was_rolled_back_is_not_gone_back_to() -> None:
    told = events(("promoted", 1), ("promoted", 2), ("promoted", 3), ("rolled back", 3))
    assert champions_before(told, 2) == [1]
    again = events(*[(each.action, each.version) for each in reversed(told)], ("promoted", 4))
    assert champions_before(again, 4) == [2, 1]


def test_a_promotion_that_did_not_come_about_changes_nothing() -> None:
    told = events(("promoted", 1), ("promoted", 2), ("promoted", 3))
    assert champions_before(told, 2) == [1], "the alias was never set to 3"


def test_an_alias_that_was_set_elsewhere_has_all_before_it() -> None:
    assert champions_before(events(("promoted", 1), ("promoted", 2)), 7) == [2, 1]
    assert champions_before((), None) == []


def test_events_are_the_same_after_being_written() -> None:
    told = events(("promoted", 1), ("rolled back", 1), ("retired", 1))
    assert events_of(written(told)) == told
    many = events(*[("promoted", version) for version in range(1, 500)])
    assert len(written(many)) < 5000
    assert events_of(written(many))[0] == many[0]


@pytest.mark.parametrize("value", ["", "[", "[1]", "{}", "null", '[["x","promoted",1]]'])
def test_tags_that_others_wrote_tell_nothing(value: str) -> None:
    assert events_of(value) == ()
    assert numbers_of(value) == {}


def test_metrics_are_the_same_after_being_written() -> None:
    assert numbers_of(write_numbers({"rmse": 0.1 + 0.2})) == {"rmse": 0.1 + 0.2}
