"""What is captured is what the model did: checked against computations that share no code."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from app.routing.capture import capture, capture_batch
from app.routing.errors import InvalidTextError, TextTooLongError
from app.routing.loaded import LoadedModel
from app.routing.trace import RouterLayer, RoutingTrace

LIMIT = 512
TEXTS = [
    "The river bank was muddy, and the bank in town was closed.",
    "def area(r):\n    return 3.14159 * r ** 2",
    "12 + 30 = 42; 7 * 8 = 56",
    "Chaque matin, elle lit le journal en buvant son café.",
    "one",
    "the the the the the the the the the the the the the the the the",
]
NASTY = [
    "a",
    ".",
    "0",
    "\x00",
    "a\x00b",
    "\x01\x02\x1b[31mred\x1b[0m\x7f",
    "\u200b",
    "\ufeffmark",
    "\u202eright to left override\u202c",
    "tab\there\r\nand lines\n\n\nbelow",
    "   leading and trailing   ",
    "many      spaces",
    "🎉",
    "👩‍👩‍👧‍👦🏳️‍🌈👍🏽",
    "🇫🇷🇩🇪",
    "e\u0301 and é",
    "Z̷̡̛a̴͝l̵͘g̶̕o̸",
    "مرحبا بالعالم",
    "שלום עולם",
    "हिन्दी में लिखा",
    "日本語の文章です。",
    "中文沒有空格",
    "한국어 문장",
    "ไทยไม่มีช่องว่าง",
    "Ελληνικά και кириллица and latin",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚𝟛",
    "\U0010ffff",
    "\ue000private",
    "<extra_id_0>",
    "<extra_id_0> in <extra_id_1> between <extra_id_99>",
    "</s>",
    "<pad>",
    "<unk>",
    "</s></s> after the end",
    "<pad><pad> padding in the text",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<b>&amp;&#0;</b>",
    "'; DROP TABLE runs; --",
    '{"json": [1, 2, {"a": null}]}',
    "../../etc/passwd",
    "%s %d %n %(x)s {0} {x}",
    "$(rm -rf /) `id` && true",
    "=1+1",
    "C:\\new\\table",
    "a" * 300,
    "ab" * 150,
    "!" * 200,
    "▁▁▁ ▁x",
    "½ ² ™ ﬁ ｆｕｌｌ",
]


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def drops_by_hand(experts: list[int], capacity: int) -> list[bool]:
    """First come, first served: a token whose expert is full is dropped."""
    taken: dict[int, int] = {}
    dropped = []
    for expert in experts:
        taken[expert] = taken.get(expert, 0) + 1
        dropped.append(taken[expert] > capacity)
    return dropped


def watched(loaded: LoadedModel, text: str) -> tuple[RoutingTrace, dict[str, Any], dict[str, Any]]:
    """A trace, and what hooks of our own saw go in and out of each encoder router meanwhile."""
    inputs: dict[str, Any] = {}
    dispatches: dict[str, Any] = {}
    handles = []
    for name, module in loaded.model.named_modules():
        if name.startswith("encoder.") and name.endswith("mlp.router"):

            def keep_input(_module: Any, args: Any, name: str = name) -> None:
                inputs[name] = args[0][0].detach().clone()

            def keep_output(_module: Any, _args: Any, output: Any, name: str = name) -> None:
                dispatches[name] = output[0][0].numpy().copy()

            handles.append(module.register_forward_pre_hook(keep_input))
            handles.append(module.register_forward_hook(keep_output))
    try:
        return capture(loaded, text, LIMIT), inputs, dispatches
    finally:
        for handle in handles:
            handle.remove()


def classifier_weight(loaded: LoadedModel, name: str) -> NDArray[np.float64]:
    classifier = loaded.model.get_submodule(f"{name}.classifier")
    assert classifier.bias is None
    return classifier.weight.detach().double().numpy()


def check_layer(layer: RouterLayer, router_input: torch.Tensor, weight: NDArray[Any]) -> None:
    """One layer in float64 from the router's input; near ties are left out of the choice."""
    logits = router_input.double().numpy() @ weight.T
    probabilities = softmax(logits)
    np.testing.assert_allclose(layer.logits, logits, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(layer.probabilities, probabilities, rtol=1e-4, atol=1e-5)

    top_two = np.sort(probabilities, axis=1)[:, -2:]
    clear = top_two[:, 1] - top_two[:, 0] > 1e-4
    assert clear.mean() > 0.9
    experts = layer.experts[:, 0]
    assert experts[clear].tolist() == probabilities.argmax(axis=1)[clear].tolist()

    assert layer.capacity is not None
    assert layer.dropped.tolist() == drops_by_hand(experts.tolist(), layer.capacity)
    weights = np.where(layer.dropped, 0, probabilities.max(axis=1))
    np.testing.assert_allclose(layer.weights[:, 0], weights, rtol=1e-4, atol=1e-5)


class TestAgainstTheRoutersInput:
    @pytest.mark.parametrize("text", TEXTS)
    def test_bundled_model(self, loaded: LoadedModel, text: str) -> None:
        trace, inputs, _ = watched(loaded, text)
        assert [layer.name for layer in trace.layers] == list(inputs)
        for layer in trace.layers:
            check_layer(layer, inputs[layer.name], classifier_weight(loaded, layer.name))

    @pytest.mark.parametrize("text", TEXTS)
    def test_with_dropped_tokens(self, scarce: LoadedModel, text: str) -> None:
        trace, inputs, _ = watched(scarce, text)
        for layer in trace.layers:
            assert layer.capacity == 2
            check_layer(layer, inputs[layer.name], classifier_weight(scarce, layer.name))
        # Seventeen tokens cannot all find room with eight experts that take two each.
        if len(trace.sequences["encoder"]) > 16:
            assert all(layer.dropped.any() for layer in trace.layers)

    def test_the_texts_do_drop_tokens_of_other_experts_than_the_first(
        self, scarce: LoadedModel
    ) -> None:
        layers = [layer for text in TEXTS for layer in capture(scarce, text, LIMIT).layers]
        chosen = np.concatenate([layer.experts[layer.dropped, 0] for layer in layers])
        assert (chosen > 0).any()

    @pytest.mark.parametrize("text", TEXTS)
    def test_bfloat16_agrees_with_the_dispatch(self, loaded_bf16: LoadedModel, text: str) -> None:
        trace, _, dispatches = watched(loaded_bf16, text)
        assert trace.provenance["dtype"] == "bfloat16"
        for layer in trace.layers:
            dispatch = dispatches[layer.name]
            assert layer.dropped.tolist() == (dispatch.sum(axis=1) == 0).tolist()
            kept = ~layer.dropped
            assert layer.experts[kept, 0].tolist() == dispatch[kept].argmax(axis=1).tolist()


@pytest.mark.parametrize("text", TEXTS)
def test_agrees_with_the_librarys_own_router_logits(loaded: LoadedModel, text: str) -> None:
    trace = capture(loaded, text, LIMIT)
    ids = torch.tensor([trace.sequences["encoder"].token_ids.tolist()])
    with torch.inference_mode():
        output = loaded.model(
            input_ids=ids, decoder_input_ids=torch.tensor([[0]]), output_router_logits=True
        )
    assert len(output.encoder_router_logits) == len(trace.layers)
    for layer, logits in zip(trace.layers, output.encoder_router_logits, strict=True):
        np.testing.assert_allclose(layer.logits, logits.squeeze(0).numpy(), atol=1e-5)


def assert_same_routing(one: RoutingTrace, other: RoutingTrace) -> None:
    assert (one.text, one.model, one.provenance) == (other.text, other.model, other.provenance)
    assert one.sequences["encoder"].tokens == other.sequences["encoder"].tokens
    for a, b in zip(one.layers, other.layers, strict=True):
        assert a.name == b.name
        assert a.experts.tolist() == b.experts.tolist()
        assert a.dropped.tolist() == b.dropped.tolist()
        # Sums of other lengths round differently in the last digits.
        np.testing.assert_allclose(a.logits, b.logits, atol=1e-4)
        np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-5)
        np.testing.assert_allclose(a.weights, b.weights, atol=1e-5)


class TestBatches:
    def test_alone_and_padded_give_the_same(self, loaded: LoadedModel) -> None:
        for text, batched in zip(TEXTS, capture_batch(loaded, TEXTS, LIMIT), strict=True):
            assert_same_routing(batched, capture(loaded, text, LIMIT))

    def test_padding_takes_no_capacity(self, scarce: LoadedModel) -> None:
        batch = capture_batch(scarce, TEXTS, LIMIT)
        assert any(layer.dropped.any() for trace in batch for layer in trace.layers)
        for text, batched in zip(TEXTS, batch, strict=True):
            assert_same_routing(batched, capture(scarce, text, LIMIT))

    def test_padding_never_appears(self, loaded: LoadedModel) -> None:
        for text, trace in zip(TEXTS, capture_batch(loaded, TEXTS, LIMIT), strict=True):
            ids = loaded.tokenizer(text)["input_ids"]
            assert trace.sequences["encoder"].token_ids.tolist() == ids
            assert loaded.tokenizer.pad_token_id not in ids
            assert {len(layer.logits) for layer in trace.layers} == {len(ids)}

    def test_no_texts_no_traces(self, loaded: LoadedModel) -> None:
        assert capture_batch(loaded, [], LIMIT) == []


def test_special_tokens_are_kept_and_marked(loaded: LoadedModel) -> None:
    sequence = capture(loaded, TEXTS[0], LIMIT).sequences["encoder"]
    assert sequence.tokens[-1] == loaded.tokenizer.eos_token == "</s>"
    assert sequence.special.tolist() == [False] * (len(sequence) - 1) + [True]


def test_only_encoder_routers_in_order_of_depth(loaded: LoadedModel) -> None:
    trace = capture(loaded, TEXTS[0], LIMIT)
    sparse = [
        block
        for block, layer in enumerate(loaded.model.encoder.block)
        if hasattr(layer.layer[-1].mlp, "router")
    ]
    assert len(sparse) >= 3
    assert [layer.block for layer in trace.layers] == sparse
    assert [layer.name for layer in trace.layers] == [
        f"encoder.block.{block}.layer.1.mlp.router" for block in sparse
    ]
    assert {(layer.num_experts, layer.top_k) for layer in trace.layers} == {(8, 1)}
    assert trace.stacks == ("encoder",)


class TestInput:
    @pytest.mark.parametrize("text", NASTY)
    def test_every_text_gives_a_right_trace(self, loaded: LoadedModel, text: str) -> None:
        trace, inputs, _ = watched(loaded, text)
        assert trace.text == text
        assert trace == RoutingTrace.from_bytes(trace.to_bytes())
        assert trace == capture(loaded, text, LIMIT)
        for layer in trace.layers:
            logits = inputs[layer.name].double().numpy() @ (classifier_weight(loaded, layer.name).T)
            np.testing.assert_allclose(layer.logits, logits, rtol=1e-4, atol=1e-4)
        if "<unk>" not in text:
            assert "<unk>" not in trace.sequences["encoder"].tokens

    @pytest.mark.parametrize("text", ["", " ", "\n\t \r\n", "\u3000\u2003", "\x0c\x1f"])
    def test_a_blank_text_is_refused(self, loaded: LoadedModel, text: str) -> None:
        with pytest.raises(InvalidTextError, match="blank"):
            capture(loaded, text, LIMIT)

    @pytest.mark.parametrize("text", ["\ud83d", "half \udc00 of one", "\ude00\ud83d"])
    def test_half_a_character_is_refused(self, loaded: LoadedModel, text: str) -> None:
        with pytest.raises(InvalidTextError, match="surrogate"):
            capture(loaded, text, LIMIT)

    @pytest.mark.parametrize("text", ["word " * 600, "x" * 100_000, "🎉" * 100_000])
    def test_a_long_text_is_refused_with_the_limit(self, loaded: LoadedModel, text: str) -> None:
        with pytest.raises(TextTooLongError, match="the limit is 512"):
            capture(loaded, text, LIMIT)

    def test_the_limit_itself_is_allowed(self, loaded: LoadedModel) -> None:
        tokens = len(loaded.tokenizer(TEXTS[0])["input_ids"])
        trace = capture(loaded, TEXTS[0], tokens)
        assert len(trace.sequences["encoder"]) == tokens
        with pytest.raises(TextTooLongError, match=f"has {tokens} tokens; .* is {tokens - 1}"):
            capture(loaded, TEXTS[0], tokens - 1)

    def test_one_bad_text_refuses_its_batch(self, loaded: LoadedModel) -> None:
        with pytest.raises(InvalidTextError):
            capture_batch(loaded, ["fine", " "], LIMIT)


class TestConcurrency:
    def test_threads_never_mix_what_they_trace(self, loaded: LoadedModel) -> None:
        texts = [f"{text} number {n}" for n in range(4) for text in TEXTS]
        alone = [capture(loaded, text, LIMIT) for text in texts]
        start = threading.Barrier(4)

        def trace_some(first: int) -> list[RoutingTrace]:
            start.wait()
            return [capture(loaded, text, LIMIT) for text in texts[first::4]]

        with ThreadPoolExecutor(4) as threads:
            together = list(threads.map(trace_some, range(4)))
        for first, traces in enumerate(together):
            assert traces == alone[first::4]

    def test_nothing_stays_attached(self, loaded: LoadedModel) -> None:
        def hooks() -> int:
            return sum(len(m._forward_hooks) for m in loaded.model.modules())

        before = hooks()
        capture(loaded, TEXTS[0], LIMIT)
        with pytest.raises(TextTooLongError):
            capture(loaded, TEXTS[0], 1)
        assert hooks() == before
