"""What the controls say: in an address, in a request, in a recorded trace."""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from app.components.controls import Choices, live_link, task_of
from app.routing.capacity import with_capacity
from app.routing.capture import capture
from app.routing.errors import InvalidTaskError
from app.routing.loaded import LoadedModel
from app.routing.task import DEFAULT_NEW_TOKENS, Generation, Task

TEXT = "The river bank was closed."
EVERYTHING = Choices(
    view="both",
    source="target",
    target="Ça va? 1 + 1 = 2 & «mehr» #5 100 %",
    max_new_tokens=7,
    do_sample=True,
    temperature=0.35,
    seed=4_294_967_295,
    capacity=3,
)


def read(address: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(address).query, keep_blank_values=True, strict_parsing=True))


@pytest.mark.parametrize(
    "choices",
    [
        EVERYTHING,
        Choices(view="decoder"),
        Choices(view="both", max_new_tokens=1),
        Choices(view="both", do_sample=True, seed=9),
        Choices(target="   "),
        Choices(capacity=1),
    ],
)
def test_an_address_opens_what_made_it(choices: Choices) -> None:
    query = read(f"/?{choices.query()}")
    assert Choices.of_query(query) == choices


def test_the_usual_makes_no_address() -> None:
    assert Choices().query() == ""
    assert Choices.of_query({}) == Choices()
    assert list(read(f"/?{Choices(view='both').query()}")) == ["view"]
    assert read(f"/?{Choices(do_sample=True).query()}") == {"do_sample": "true"}


@pytest.mark.parametrize(
    "rubbish",
    [
        {"view": "sideways"},
        {"view": "ENCODER"},
        {"view": ""},
        {"source": "<script>"},
        {"max_new_tokens": "many"},
        {"max_new_tokens": ""},
        {"max_new_tokens": "2.5"},
        {"seed": "0x10"},
        {"seed": "9" * 5000},
        {"temperature": "warm"},
        {"capacity": "∞"},
        {"capacity": "None"},
        {"do_sample": "1"},
        {"do_sample": "false"},
        {"unknown": "5"},
    ],
    ids=lambda query: "{}={:.9}".format(*next(iter(query.items()))),
)
def test_what_cant_be_read_counts_as_left_out(rubbish: dict[str, str]) -> None:
    assert Choices.of_query(rubbish) == Choices()
    beside = Choices.of_query({**rubbish, "target": "kept"})
    assert beside == Choices(target="kept")


def test_what_is_out_of_range_is_refused_in_words_later() -> None:
    choices = Choices.of_query({"max_new_tokens": "-4", "temperature": "nan", "seed": "-1"})
    assert (choices.max_new_tokens, choices.seed) == (-4, -1)
    assert math.isnan(choices.temperature)
    settings = {"generate": {"max_new_tokens": choices.max_new_tokens}}
    with pytest.raises(InvalidTaskError, match="from 1 to 512, not -4"):
        task_of(TEXT, {"settings": settings}).check(512)


class TestOfTrace:
    def test_of_the_encoder_alone(self, loaded: LoadedModel) -> None:
        assert Choices.of_trace(capture(loaded, TEXT, 128)) == Choices()

    def test_of_a_target(self, loaded: LoadedModel) -> None:
        trace = capture(loaded, Task(TEXT, "Le chat dort."), 128)
        assert Choices.of_trace(trace) == Choices(
            view="both", source="target", target="Le chat dort."
        )

    def test_of_a_generation(self, loaded: LoadedModel) -> None:
        made = Generation(6, do_sample=True, temperature=2.5, top_p=0.9, seed=11)
        trace = capture(loaded, Task(TEXT, generation=made), 128)
        assert Choices.of_trace(trace) == Choices(
            view="both", max_new_tokens=6, do_sample=True, temperature=2.5, seed=11
        )

    @pytest.mark.parametrize("exactly", [True, False])
    def test_of_another_capacity(self, loaded: LoadedModel, exactly: bool) -> None:
        trace = capture(loaded, Task(TEXT, capacity=2 if exactly else None), 128)
        trace = trace if exactly else with_capacity(trace, 2)
        assert Choices.of_trace(trace) == Choices(capacity=2)


class TestOfRequest:
    @pytest.mark.parametrize(
        "request_",
        [
            {},
            {"settings": None},
            {"view": "encoder", "settings": {}},
            {"text": TEXT, "model": "m", "visitor": "v", "known": 3, "n": 1},
        ],
        ids="empty none plain others".split(),
    )
    def test_of_a_plain_one(self, request_: dict[str, object]) -> None:
        assert Choices.of_request(request_) == Choices()

    def test_of_everything_the_page_asks(self) -> None:
        made = {"max_new_tokens": 5, "do_sample": True, "temperature": 0.5, "seed": 2}
        asked = {"view": "decoder", "settings": {"generate": {**made, "top_p": 1.0}}}
        assert Choices.of_request(asked) == Choices(
            "decoder", max_new_tokens=5, do_sample=True, temperature=0.5, seed=2
        )
        asked = {"view": "both", "settings": {"target": "Ja.", "capacity": 4}}
        assert Choices.of_request(asked) == Choices(
            "both", source="target", target="Ja.", capacity=4
        )

    def test_a_blank_target_is_one(self) -> None:
        asked = {"view": "both", "settings": {"target": ""}}
        assert Choices.of_request(asked) == Choices("both", source="target")


class TestTaskOf:
    def test_settings_become_a_task(self) -> None:
        assert task_of(TEXT, {}) == Task(TEXT)
        assert task_of(TEXT, {"settings": None, "view": "both"}) == Task(TEXT)
        assert task_of(TEXT, {"settings": {"target": "Ja."}}) == Task(TEXT, "Ja.")
        assert task_of(TEXT, {"settings": {"generate": {}, "capacity": 3}}) == Task(
            TEXT, generation=Generation(DEFAULT_NEW_TOKENS), capacity=3
        )

    @pytest.mark.parametrize(
        "settings",
        [
            {"generate": {"beams": 3}},
            {"generate": 5},
            {"capacity": "little"},
            {"capacity": [3]},
        ],
        ids="field number word list".split(),
    )
    def test_what_cant_be_read_is_refused(self, settings: dict[str, object]) -> None:
        with pytest.raises(InvalidTaskError, match="can't be read"):
            task_of(TEXT, {"settings": settings})

    def test_a_trace_comes_out_again(self, loaded: LoadedModel) -> None:
        task = Task(TEXT, generation=Generation(4, do_sample=True, seed=3), capacity=5)
        trace = capture(loaded, task, 128)
        settings = {k: trace.provenance[k] for k in ("generate", "capacity")}
        assert task_of(trace.text, {"settings": settings}) == task


def test_the_live_page_opens_text_model_and_choices() -> None:
    text = "A & b = c?\n#«ü» 100 %"
    address = live_link(text, "some/model+x", EVERYTHING)
    assert urlsplit(address).path == "/"
    query = read(address)
    assert (query.pop("text"), query.pop("model")) == (text, "some/model+x")
    assert Choices.of_query(query) == EVERYTHING
    assert not live_link("a", "b", Choices()).endswith("&")


def test_what_stands_twice_or_makes_no_sense_counts_as_left_out() -> None:
    twice: dict[str, Any] = {"seed": ["1", "2"], "capacity": "-3"}
    assert Choices.of_query(twice) == Choices()
