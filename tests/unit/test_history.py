"""The history's address, its rows and their pictures, and what is said of the store."""

from __future__ import annotations

from datetime import UTC, date, datetime
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.components.store_notice import store_text
from app.components.thumbnail import HEIGHT, WIDTH, thumbnail, thumbnail_text
from app.pages.runs.address import MOST_SEARCH, read, read_search, search_of, write
from app.pages.runs.listing import metric_text, size_text, table
from app.recording.base import MOST_TAG, SORTS, Query, RunSummary, StoreState
from tests.unit.test_panels import every, text_of

RUN = RunSummary(
    run_id="0" * 32,
    created=datetime(2026, 11, 22, 3, 4, tzinfo=UTC),
    model="switch-mini-8",
    text="A bird in the hand",
    tokens=1234,
    status="recorded",
    tags=("to check", "paper"),
    stacks=("encoder", "decoder"),
    size=61_499,
    load="0f4.400",
    value=0.123456,
)

_line = st.text(max_size=40).map(str.strip)
_queries = st.builds(
    Query,
    text=_line,
    model=_line,
    stack=st.sampled_from(["", "encoder", "decoder"]),
    kind=st.sampled_from(["", "analysis", "corpus"]),
    tag=_line,
    since=st.none() | st.dates(date(1970, 1, 1), date(2026, 1, 1)),
    until=st.none() | st.dates(date(2026, 1, 2), date(9998, 12, 31)),
    sort=st.sampled_from(sorted(SORTS)),
    descending=st.booleans(),
)


def _cells(uri: str) -> dict[float, str]:
    """The paths of a picture by their opacity."""
    head, _, svg = uri.partition(",")
    assert head == "data:image/svg+xml"
    root = ElementTree.fromstring(unquote(svg))
    assert (root.get("width"), root.get("height")) == (str(WIDTH), str(HEIGHT))
    return {float(path.get("fill-opacity", "")): path.get("d", "") for path in root}


def test_a_picture_has_a_cell_per_expert_and_none_for_no_load() -> None:
    uri = thumbnail("0f4.400")
    assert uri
    assert _cells(uri) == {1.0: "M1,0h1v1h-1z", 0.27: "M2,0h1v1h-1zM0,1h1v1h-1z"}
    assert "viewBox='0 0 3 2'" in unquote(uri)
    assert thumbnail_text("0f4.400") == (
        "Load of 2 layers × 3 experts, highest in layer 1 at expert 1"
    )


def test_neighbours_of_one_level_are_one_rectangle() -> None:
    uri = thumbnail("3333")
    assert uri
    assert _cells(uri) == {0.2: "M0,0h4v1h-4z"}


def test_layers_may_have_different_numbers_of_experts() -> None:
    uri = thumbnail("ff.ffff")
    assert uri
    assert "viewBox='0 0 4 2'" in unquote(uri)


@pytest.mark.parametrize(
    "code",
    ["", ".", "0f.", ".0f", "0f..0f", "0F", "0g", "0f 4", "<svg>", "f" * 65, ".".join(["f"] * 33)],
)
def test_a_code_that_is_none_has_no_picture(code: str) -> None:
    assert thumbnail(code) is None


@given(_queries, st.none() | st.text(min_size=1, max_size=40).filter(lambda t: t == t.strip()))
def test_an_address_reads_back_as_what_it_was_made_of(query: Query, cursor: str | None) -> None:
    asked = read_search(write(query, cursor))
    assert (asked.query, asked.cursor, asked.refused) == (query, cursor, ())


def test_the_usual_is_left_out_of_an_address() -> None:
    assert write(Query()) == ""
    query = Query(text="a & b", tag="x", since=date(2026, 11, 1), sort="tokens", descending=False)
    assert write(query, "50") == "?q=a+%26+b&tag=x&since=2026-11-01&sort=tokens&order=asc&cursor=50"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stack", "both"),
        ("since", "2026-02-30"),
        ("since", "20260201"),
        ("until", "2026-W05-1"),
        ("until", "tomorrow"),
        ("since", "0002-01-01"),
        ("until", "9999-12-31"),
        ("sort", "status"),
        ("order", "up"),
        ("q", "x" * (MOST_SEARCH + 1)),
        ("tag", "x" * (MOST_TAG + 1)),
        ("cursor", "x" * 10_000),
    ],
)
def test_a_bad_value_is_told_and_the_rest_counts(name: str, value: str) -> None:
    asked = read({name: value, "model": "switch-mini-8"})
    assert asked.query == Query(model="switch-mini-8")
    assert asked.cursor is None
    [line] = asked.refused
    assert line.startswith(f"{name} «{value[:20]}")
    assert len(line) < 250


def test_days_the_wrong_way_round_are_told() -> None:
    asked = read_search("since=2026-02-02&until=2026-02-01")
    assert asked.query == Query(since=date(2026, 2, 2), until=date(2026, 2, 1))
    assert asked.refused == ("since 2026-02-02 is after until 2026-02-01: nothing can match.",)


def test_a_page_hands_on_bad_values_but_no_strange_names() -> None:
    given_ = {"q": ["one", "two"], "sort": "status", "other": "x", "tag": ""}
    assert search_of(given_) == "?q=one&sort=status"
    assert read(given_).query.text == "one"


def test_a_row_says_what_is_known_of_a_run() -> None:
    made = table([RUN], Query())
    for text in ("A bird in the hand", "switch-mini-8", "encoder + decoder", "1,234", "61 kB"):
        assert text in text_of(made), text
    assert "recorded" in text_of(made)
    [link] = every(made, "Link")
    assert (link.href, link.children) == (f"/runs/{RUN.run_id}", RUN.text)
    assert [(a.children, a.href) for a in every(made, "A")] == [
        ("to check", "/runs?tag=to+check"),
        ("paper", "/runs?tag=paper"),
    ]
    assert every(made, "Time")[0].dateTime == "2026-11-22T03:04:00+00:00"
    assert every(made, "Img")[0].alt == thumbnail_text(RUN.load)
    assert every(made, "Checkbox")[0].label == "Select A bird in the hand"


def test_a_tag_adds_to_the_filter_and_goes_to_its_beginning() -> None:
    made = table([RUN], Query(text="bird", tag="old"))
    assert every(made, "A")[0].href == "/runs?q=bird&tag=to+check"


def test_a_named_run_shows_its_text_beneath() -> None:
    named = RunSummary(**{**vars(RUN), "name": "The proverb", "tags": ()})
    made = table([named], Query())
    assert every(made, "Link")[0].children == "The proverb"
    assert every(made, "Small")[0].children == "A bird in the hand"
    same = RunSummary(**{**vars(RUN), "name": RUN.text})
    assert text_of(table([same], Query())).count(RUN.text) == 1


def test_a_pass_says_what_it_is_and_leads_to_its_experts() -> None:
    corpus = RunSummary(**{**vars(RUN), "kind": "corpus", "documents": 1, "tags": ()})
    made = table([corpus], Query())
    assert every(made, "Link")[0].href == f"/experts?run={RUN.run_id}"
    assert "corpus pass, 1 document" in text_of(made)
    rows = [getattr(every(table([run], Query()), "Tr")[1], "data-kind") for run in (RUN, corpus)]
    assert rows == ["analysis", "corpus"]


def test_the_metric_that_sorts_has_a_column() -> None:
    def heads(sort: str) -> list[str]:
        return [text_of(th) for th in every(table([RUN], Query(sort=sort)), "Th")]

    assert heads("created") == heads("tokens")
    assert set(heads("confidence_mean")) - set(heads("created")) == {"Confidence"}
    assert "0.12" in text_of(table([RUN], Query(sort="confidence_mean")))
    assert "0.12" not in text_of(table([RUN], Query()))


def test_what_waits_or_failed_says_why_and_that_it_is_not_recorded() -> None:
    for status, word in (("pending", "waiting"), ("failed", "failed")):
        run = RunSummary(**{**vars(RUN), "status": status, "detail": "no answer", "size": None})
        made = table([run], Query())
        assert f"{word}no answer" in text_of(made)
        row = every(made, "Tr")[1]
        assert getattr(row, "data-waits") == "true"
    assert getattr(every(table([RUN], Query()), "Tr")[1], "data-waits") == ""


def test_numbers_of_a_row() -> None:
    sizes = [size_text(size) for size in (None, 0, 999, 1000, 1499, 2_345_678)]
    assert sizes == ["–", "0 kB", "under 1 kB", "1 kB", "1 kB", "2,346 kB"]
    assert metric_text(RUN) == "0.12"
    assert metric_text(RunSummary(**{**vars(RUN), "value": None})) == "–"


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (StoreState(0, 0), ""),
        (StoreState(5, 0), ""),
        (
            StoreState(3, 0, "no answer from host"),
            "3 analyses wait for the store: no answer from host. They are kept here.",
        ),
        (
            StoreState(1, 0, "no answer."),
            "1 analysis waits for the store: no answer. It is kept here.",
        ),
        (StoreState(0, 0, "the key is wrong"), "The store can't be used now: the key is wrong."),
        (StoreState(0, 2, "", "too large"), "2 could not be recorded: too large."),
        (
            StoreState(1, 1, "down", "too large"),
            "1 analysis waits for the store: down. It is kept here. "
            "1 could not be recorded: too large.",
        ),
    ],
)
def test_the_notice_speaks_only_when_there_is_something_to_say(
    state: StoreState, text: str
) -> None:
    assert store_text(state) == text


def test_who_has_seen_the_notice_is_told_of_what_goes_on() -> None:
    assert store_text(StoreState(2, 0), seen=True) == "2 waiting runs on the way to the store."
    assert store_text(StoreState(0, 0), seen=True) == ""
