"""What the history's address says: a filter, an order, and which part of the list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, cast
from urllib.parse import parse_qs, urlencode

from app.recording.base import MOST_TAG, SORTS, Query, RunKind

NAMES = ("q", "kind", "model", "stack", "tag", "since", "until", "sort", "order", "cursor")
KINDS = {"analysis": "texts", "corpus": "corpora"}
STACKS = ("encoder", "decoder")
MOST_SEARCH = 250
_MOST_MODEL = 500
_MOST_CURSOR = 500
_MOST_SHOWN = 40
# Between these a store can count the milliseconds of a day and of the one after it.
_FIRST, _LAST = date(1970, 1, 1), date(9998, 12, 31)


@dataclass(frozen=True)
class Asked:
    """What an address asks for. `refused` has a sentence for each value that can't be used."""

    query: Query
    cursor: str | None = None
    refused: tuple[str, ...] = ()


def read(given: Mapping[str, Any]) -> Asked:
    """From an address's names and values; other names are passed over.

    A value that can't be used is left out and told, and the rest counts.
    """
    values = {name: _first(given.get(name)) for name in NAMES}
    refused: list[str] = []

    def allowed(name: str, good: bool, wanted: str) -> str:
        value = values[name]
        if not value or good:
            return value
        refused.append(f"{name} «{_short(value)}» is left out: {wanted}.")
        return ""

    def within(name: str, most: int) -> str:
        value = values[name]
        return allowed(name, len(value) <= most, f"it is longer than {most} characters")

    def day(name: str) -> date | None:
        found = _day(values[name])
        allowed(name, found is not None, "it is a day since 1970, written as 2026-01-31")
        return found

    order = allowed("order", values["order"] in ("asc", "desc"), "it is asc or desc")
    kind = allowed("kind", values["kind"] in KINDS, f"it is {' or '.join(KINDS)}")
    query = Query(
        text=within("q", MOST_SEARCH),
        model=within("model", _MOST_MODEL),
        stack=allowed("stack", values["stack"] in STACKS, "it is encoder or decoder"),
        tag=within("tag", MOST_TAG),
        since=day("since"),
        until=day("until"),
        sort=allowed("sort", values["sort"] in SORTS, f"it is one of {', '.join(SORTS)}")
        or "created",
        descending=order != "asc",
        kind=cast(RunKind, kind),
    )
    if query.since and query.until and query.since > query.until:
        refused.append(f"since {query.since} is after until {query.until}: nothing can match.")
    return Asked(query, within("cursor", _MOST_CURSOR) or None, tuple(refused))


def read_search(search: str) -> Asked:
    """The same from the part of an address after its path, with or without the question mark."""
    return read(parse_qs(search.removeprefix("?"), keep_blank_values=True))


def search_of(given: Mapping[str, Any]) -> str:
    """The part of an address after its path that names these values again, bad ones too."""
    values = {name: _first(given.get(name)) for name in NAMES}
    return _search({name: value for name, value in values.items() if value})


def write(query: Query, cursor: str | None = None) -> str:
    """The part of an address after its path that `read_search` reads; empty for the usual."""
    values = {
        "q": query.text,
        "kind": query.kind,
        "model": query.model,
        "stack": query.stack,
        "tag": query.tag,
        "since": query.since.isoformat() if query.since else "",
        "until": query.until.isoformat() if query.until else "",
        "sort": "" if query.sort == "created" else query.sort,
        "order": "" if query.descending else "asc",
        "cursor": cursor or "",
    }
    return _search({name: value for name, value in values.items() if value})


def _search(values: Mapping[str, str]) -> str:
    return f"?{urlencode(values)}" if values else ""


def _first(value: Any) -> str:
    """The value of a name; of one that stands several times in an address, the first."""
    if isinstance(value, list):
        value = value[0] if value else ""
    return str(value or "").strip()


def _day(text: str) -> date | None:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return None
    # It also reads weeks and days without dashes, which the date fields don't.
    return found if found.isoformat() == text and _FIRST <= found <= _LAST else None


def _short(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 1] + "…"
