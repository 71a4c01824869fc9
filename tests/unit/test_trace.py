"""RoutingTrace: what it refuses, that it stays as it is, and that a file gives it back."""

from __future__ import annotations

import io
import json
import random
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.routing.errors import TraceError
from app.routing.trace import FORMAT, ModelIdentity, RouterLayer, RoutingTrace, TokenSequence

TOKENS = 5
EXPERTS = 4


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def make_layer(seed: int = 0, top_k: int = 1, **changes: Any) -> RouterLayer:
    logits = np.random.default_rng(seed).normal(size=(TOKENS, EXPERTS)).astype(np.float32)
    probabilities = softmax(logits)
    experts = np.argsort(-probabilities, axis=1)[:, :top_k]
    values: dict[str, Any] = {
        "name": f"encoder.block.{seed}.mlp.router",
        "stack": "encoder",
        "block": seed,
        "logits": logits,
        "probabilities": probabilities,
        "experts": experts,
        "weights": np.take_along_axis(probabilities, experts, axis=1),
        "dropped": np.zeros(TOKENS, dtype=bool),
    }
    return RouterLayer(**(values | changes))


def make_sequence(tokens: int = TOKENS) -> TokenSequence:
    return TokenSequence(
        tokens=tuple(f"▁t{i}" for i in range(tokens)),
        token_ids=np.arange(tokens) + 10,
        special=np.arange(tokens) == tokens - 1,
    )


def make_trace(**changes: Any) -> RoutingTrace:
    dropped = np.array([False, True, False, False, True])
    values: dict[str, Any] = {
        "text": "naïve «text» 🎉 \x00 \u202e",
        "model": ModelIdentity("m", "r1", "SwitchTransformersForConditionalGeneration"),
        "sequences": {"encoder": make_sequence()},
        "layers": (
            make_layer(1),
            make_layer(
                3,
                weights=np.where(dropped, 0, 0.5)[:, None],
                dropped=dropped,
                capacity=1,
            ),
        ),
        "provenance": {"libraries": {"torch": "2"}, "max_tokens": 512},
    }
    return RoutingTrace(**(values | changes))


def with_value(array: np.ndarray, where: Any, value: float) -> np.ndarray:
    changed = array.copy()
    changed[where] = value
    return changed


class TestLayer:
    def test_a_right_one_is_accepted(self) -> None:
        layer = make_layer(top_k=2)
        assert (layer.num_experts, layer.top_k) == (EXPERTS, 2)
        assert layer.logits.dtype == layer.probabilities.dtype == layer.weights.dtype == np.float32
        assert layer.experts.dtype == np.int64
        assert layer.dropped.dtype == np.bool_

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            pytest.param({"logits": np.zeros(TOKENS)}, "must be", id="flat logits"),
            pytest.param({"experts": np.zeros(TOKENS)}, "must be", id="flat experts"),
            pytest.param({"logits": np.zeros((TOKENS, 3))}, "has shape", id="logits too narrow"),
            pytest.param({"probabilities": np.full((4, 4), 0.25)}, "has shape", id="a row short"),
            pytest.param({"weights": np.zeros((TOKENS, 2))}, "has shape", id="weights too wide"),
            pytest.param({"dropped": np.zeros(4, bool)}, "has shape", id="drops too few"),
            pytest.param({"experts": np.zeros((TOKENS, 0))}, "chosen", id="none chosen"),
            pytest.param({"experts": np.zeros((TOKENS, 5))}, "chosen", id="more than there are"),
            pytest.param({"experts": np.full((TOKENS, 1), 4)}, "out of range", id="expert high"),
            pytest.param({"experts": np.full((TOKENS, 1), -1)}, "out of range", id="expert low"),
            pytest.param(
                {"dropped": np.ones(TOKENS, bool)}, "without a capacity", id="no capacity"
            ),
            pytest.param(
                {"dropped": np.ones(TOKENS, bool), "capacity": 1},
                "dropped token has a weight",
                id="dropped with weight",
            ),
            pytest.param(
                {"probabilities": np.full((TOKENS, EXPERTS), 0.2)}, "sum to 1", id="sum below 1"
            ),
            pytest.param(
                {"experts": make_layer().probabilities.argmin(axis=1)[:, None]},
                "not among the most probable",
                id="least probable chosen",
            ),
        ],
    )
    def test_a_contradiction_is_refused(self, change: dict[str, Any], said: str) -> None:
        with pytest.raises(TraceError, match=said):
            make_layer(**change)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("name", ["logits", "probabilities", "weights"])
    def test_values_must_be_finite(self, name: str, value: float) -> None:
        wrong = with_value(getattr(make_layer(), name), (2, 0), value)
        with pytest.raises(TraceError, match="finite"):
            make_layer(**{name: wrong})

    @pytest.mark.parametrize("value", [-0.01, 1.01])
    def test_probabilities_stay_within_bounds_for_every_score_function(self, value: float) -> None:
        wrong = with_value(make_layer().probabilities, (0, 0), value)
        with pytest.raises(TraceError, match="leave"):
            make_layer(probabilities=wrong, score_function="sigmoid")

    def test_only_a_softmax_must_sum_to_one(self) -> None:
        layer = make_layer(probabilities=np.full((TOKENS, EXPERTS), 0.9), score_function="sigmoid")
        assert layer.probabilities.sum() > TOKENS

    def test_no_expert_is_chosen_twice(self) -> None:
        with pytest.raises(TraceError, match="twice"):
            make_layer(top_k=2, experts=np.zeros((TOKENS, 2)))

    def test_no_tokens_no_layer(self) -> None:
        empty = {name: np.zeros((0, EXPERTS)) for name in ("logits", "probabilities")}
        with pytest.raises(TraceError, match="no token"):
            make_layer(
                **empty, experts=np.zeros((0, 1)), weights=np.zeros((0, 1)), dropped=np.zeros(0)
            )


class TestTrace:
    @pytest.mark.parametrize(
        ("change", "said"),
        [
            pytest.param({"layers": ()}, "no router", id="no layers"),
            pytest.param({"layers": (make_layer(1), make_layer(1))}, "same name", id="twice"),
            pytest.param({"sequences": {}}, "differ", id="no tokens"),
            pytest.param(
                {"sequences": {"encoder": make_sequence(), "decoder": make_sequence()}},
                "differ",
                id="tokens without routers",
            ),
            pytest.param(
                {"sequences": {"encoder": make_sequence(6)}}, "rows for 6", id="a row short"
            ),
            pytest.param({"sequences": {"encoder": make_sequence(4)}}, "rows for 4", id="padding"),
            pytest.param({"provenance": {"x": object()}}, "JSON", id="provenance not plain"),
        ],
    )
    def test_a_contradiction_is_refused(self, change: dict[str, Any], said: str) -> None:
        with pytest.raises(TraceError, match=said):
            make_trace(**change)

    @pytest.mark.parametrize(
        ("tokens", "ids", "special", "said"),
        [
            ((), [], [], "without tokens"),
            (("a", "b"), [1], [False, False], "differ in number"),
            (("a", "b"), [1, 2], [False], "differ in number"),
        ],
    )
    def test_a_sequence_must_agree_with_itself(
        self, tokens: tuple[str, ...], ids: list[int], special: list[bool], said: str
    ) -> None:
        with pytest.raises(TraceError, match=said):
            TokenSequence(tokens, ids, special)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("offsets", "said"),
        [
            ([(0, 1)], "differ in number"),
            ([(0, 1, 2)] * 5, "differ in number"),
            ([(3, 2)] * 5, "impossible"),
            ([(-1, 2)] * 5, "impossible"),
            ([(-2, -1)] * 5, "impossible"),
        ],
    )
    def test_places_of_tokens_must_be_possible(self, offsets: Any, said: str) -> None:
        with pytest.raises(TraceError, match=said):
            replace(make_sequence(), offsets=offsets)

    def test_layers_of_a_stack_keep_their_order(self) -> None:
        trace = make_trace()
        assert trace.stacks == ("encoder",)
        assert [layer.block for layer in trace.stack_layers("encoder")] == [1, 3]
        assert trace.stack_layers("decoder") == ()


class TestImmutable:
    def test_arrays_cannot_be_written(self) -> None:
        trace = make_trace()
        arrays = [
            value
            for part in (*trace.layers, *trace.sequences.values())
            for f in fields(part)
            if isinstance(value := getattr(part, f.name), np.ndarray)
        ]
        assert len(arrays) == 2 * 5 + 4
        for array in arrays:
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0

    def test_fields_and_stacks_cannot_be_replaced(self) -> None:
        trace = make_trace()
        with pytest.raises(FrozenInstanceError):
            trace.text = "other"  # type: ignore[misc]
        with pytest.raises(FrozenInstanceError):
            trace.layers[0].block = 9  # type: ignore[misc]
        with pytest.raises(TypeError):
            trace.sequences["decoder"] = make_sequence()  # type: ignore[index]

    def test_what_it_was_made_of_may_change_later(self) -> None:
        logits = make_layer(1).logits.copy()
        libraries = {"torch": "2"}
        trace = make_trace(
            layers=(make_layer(1, logits=logits),), provenance={"libraries": libraries}
        )
        before = trace.to_bytes()
        logits[:] = 7
        libraries["torch"] = "9"
        assert trace.to_bytes() == before


class TestFile:
    def test_reads_back_equal(self) -> None:
        trace = make_trace(provenance={"modes": ("a", "b"), "n": 1.5, "none": None})
        back = RoutingTrace.from_bytes(trace.to_bytes())
        assert back == trace
        assert (back.text, back.model, back.provenance) == (
            trace.text,
            trace.model,
            trace.provenance,
        )
        assert back.sequences["encoder"].tokens == trace.sequences["encoder"].tokens
        for one, other in zip(back.layers, trace.layers, strict=True):
            for f in fields(RouterLayer):
                a, b = getattr(one, f.name), getattr(other, f.name)
                assert np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b, f.name

    def test_the_same_trace_gives_the_same_bytes(self) -> None:
        assert make_trace().to_bytes() == make_trace().to_bytes()

    @pytest.mark.parametrize(
        "change", [{"text": "x"}, {"provenance": {}}, {"layers": (make_layer(1),)}]
    )
    def test_a_difference_is_seen(self, change: dict[str, Any]) -> None:
        assert make_trace(**change) != make_trace()
        assert make_trace() != "a trace"

    def test_the_smallest_change_of_a_number_is_seen(self) -> None:
        trace = make_trace()
        first = trace.layers[0]
        nudged = with_value(first.logits, (0, 0), np.nextafter(first.logits[0, 0], np.float32(9)))
        assert replace(trace, layers=(replace(first, logits=nudged), trace.layers[1])) != trace

    def test_a_newer_format_is_refused(self) -> None:
        said = r"newer version of MoEScope \(format 4; this one reads up to 3\)"
        with pytest.raises(TraceError, match=said):
            RoutingTrace.from_bytes(edited(format=FORMAT + 1))

    @pytest.mark.parametrize(("format_", "stacks"), [(1, ["encoder"]), (2, ["encoder", "decoder"])])
    def test_older_formats_are_read(self, format_: int, stacks: list[str]) -> None:
        file = Path(__file__).parents[1] / f"data/trace-format-{format_}.npz"
        trace = RoutingTrace.from_bytes(file.read_bytes())
        assert trace.text == "The river bank was closed."
        assert list(trace.stacks) == stacks
        for sequence in trace.sequences.values():
            assert (sequence.offsets == -1).all()
            assert sequence.offsets.shape == (len(sequence), 2)
        assert RoutingTrace.from_bytes(trace.to_bytes()) == trace

    def test_places_of_tokens_are_kept(self) -> None:
        offsets = [(0, 2), (2, 5), (2, 5), (6, 7), (-1, -1)]
        placed = replace(make_sequence(), offsets=offsets)  # type: ignore[arg-type]
        trace = make_trace(sequences={"encoder": placed})
        back = RoutingTrace.from_bytes(trace.to_bytes())
        assert back.sequences["encoder"].offsets.tolist() == [list(pair) for pair in offsets]
        assert trace != make_trace()

    def test_a_file_that_contradicts_itself_is_refused(self) -> None:
        with pytest.raises(TraceError, match="differ in number"):
            RoutingTrace.from_bytes(edited(sequences={"encoder": ["one"]}))

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"not a trace",
            b"PK\x03\x04",
            b"\x93NUMPY\x01\x00",
            make_trace().to_bytes()[:-40],
            make_trace().to_bytes()[40:],
        ],
    )
    def test_garbage_is_refused(self, data: bytes) -> None:
        with pytest.raises(TraceError, match="no readable trace"):
            RoutingTrace.from_bytes(data)

    def test_other_numpy_files_are_refused(self) -> None:
        plain, pickled = io.BytesIO(), io.BytesIO()
        np.save(plain, np.arange(3))
        np.savez(pickled, header=np.array([{"format": 1}], dtype=object))
        for file in (plain, pickled):
            with pytest.raises(TraceError, match="no readable trace"):
                RoutingTrace.from_bytes(file.getvalue())

    def test_damage_never_raises_anything_else(self) -> None:
        generator = random.Random(5)
        whole = make_trace().to_bytes()
        refused = 0
        for _ in range(300):
            damaged = bytearray(whole)
            for _ in range(generator.randint(1, 8)):
                damaged[generator.randrange(len(damaged))] = generator.randrange(256)
            try:
                RoutingTrace.from_bytes(bytes(damaged))
            except TraceError:
                refused += 1
        # Some bytes of a zip file mean nothing (times, attributes); most do.
        assert refused > 150


def edited(**changes: Any) -> bytes:
    """A trace's file with another header."""
    with np.load(io.BytesIO(make_trace().to_bytes())) as file:
        arrays = {name: file[name] for name in file.files}
    header = json.loads(bytes(arrays["header"])) | changes
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()
