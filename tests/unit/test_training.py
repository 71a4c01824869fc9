"""The recipe of the bundled model: corruption, losses, tokenizer, evaluation and card."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoTokenizer, SwitchTransformersConfig

from training import (
    arithmetic,
    card,
    corpus,
    data,
    evaluate,
    export,
    losses,
    model,
    sources,
    tokenizer,
    train,
)
from training.card_text import render

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "app" / "models" / "switch-mini-8"
HELD_OUT = ROOT / "training" / "heldout.jsonl.gz"

NASTY = [
    "",
    " ",
    " leading and trailing ",
    "two  spaces,   three",
    "\ttab\n\nnew lines\r\nand \x00\x01\x7f controls",
    "<0x41> stays text",
    "👩‍👩‍👧 emoji 🇫🇷",
    "नमस्ते العربية 中文 ქართული ᚠᚢ",
    "e\u0301 combining, \u200b zero width, \ufeff mark",
    "for i in range(10):\n    print(f'{i:>3}')\n",
    "12,345.67 + 0.1 = ½ ² ﷽ \ud7ff \U0010ffff",
]


def is_sentinel(token: int) -> bool:
    return token >= tokenizer.sentinel(tokenizer.SENTINELS - 1)


def spans(target: list[int]) -> dict[int, list[int]]:
    """What the target says hides behind each sentinel."""
    found: dict[int, list[int]] = {}
    for token in target[:-1]:
        if is_sentinel(token):
            found[token] = []
        else:
            found[next(reversed(found))].append(token)
    return found


@pytest.mark.parametrize("length", [2, 3, 6, 17, 64, 128])
def test_input_and_target_together_give_the_text_back(length: int) -> None:
    ids = list(range(300, 300 + length))
    for seed in range(20):
        source, target = data.corrupt(ids, np.random.default_rng(seed))
        assert source[-1] == target[-1] == tokenizer.EOS
        hidden = spans(target)
        restored: list[int] = []
        for token in source[:-1]:
            restored += hidden[token] if is_sentinel(token) else [token]
        assert restored == ids
        marks = [token for token in source if is_sentinel(token)]
        assert marks == [tokenizer.sentinel(i) for i in range(len(marks))] == list(hidden)
        assert sum(map(len, hidden.values())) == max(1, round(0.15 * length))


def test_corruption_gives_lengths_that_depend_on_the_length_alone() -> None:
    rng = np.random.default_rng(0)
    lengths = {tuple(map(len, data.corrupt(range(300, 340), rng))) for _ in range(50)}
    assert len(lengths) == 1


def test_decoder_input_is_the_target_behind_the_start_token() -> None:
    batch = data.collate([[300, 301, 302, 303]], [0], np.random.default_rng(0))
    assert batch.decoder_input[0, 0] == tokenizer.PAD
    assert torch.equal(batch.decoder_input[:, 1:], batch.target[:, :-1])


def test_load_balancing_loss_by_hand() -> None:
    # Two experts, probabilities (3/4, 1/4) for two tokens and (1/4, 3/4) for one.
    logit = math.log(3)
    logits = torch.tensor([[[logit, 0.0], [logit, 0.0], [0.0, logit]]])
    valid = torch.ones(1, 3, dtype=torch.bool)
    mean = (3 / 4 + 3 / 4 + 1 / 4) / 3
    expected = 2 * (2 / 3 * mean + 1 / 3 * (1 - mean))
    assert losses.load_balancing_loss(logits, valid).item() == pytest.approx(expected)


def test_opposite_layers_do_not_cancel() -> None:
    one = torch.zeros(1, 4, 2)
    one[..., 0] = 20.0
    other = one.flip(-1)
    valid = torch.ones(1, 4, dtype=torch.bool)
    per_layer = [losses.load_balancing_loss(x, valid) for x in (one, other)]
    assert losses.mean_over_layers(per_layer).item() == pytest.approx(2.0)
    both = losses.load_balancing_loss(torch.cat([one, other], 1), valid.repeat(1, 2))
    assert both.item() == pytest.approx(1.0)  # what concatenating the layers would report


def test_z_loss_by_hand() -> None:
    logits = torch.tensor([[[0.0, 0.0], [1.0, 1.0]]])
    expected = (math.log(2) ** 2 + (1 + math.log(2)) ** 2) / 2
    valid = torch.ones(1, 2, dtype=torch.bool)
    assert losses.z_loss(logits, valid).item() == pytest.approx(expected)


def test_padding_changes_no_loss() -> None:
    torch.manual_seed(0)
    logits, noise = torch.randn(2, 5, 8), 9 * torch.randn(2, 3, 8)
    valid = torch.ones(2, 5, dtype=torch.bool)
    padded = torch.cat([logits, noise], 1)
    mask = torch.cat([valid, torch.zeros(2, 3, dtype=torch.bool)], 1)
    for loss in (losses.load_balancing_loss, losses.z_loss):
        assert loss(padded, mask).item() == pytest.approx(loss(logits, valid).item())
    assert torch.equal(losses.expert_load(padded, mask), losses.expert_load(logits, valid))
    labels = torch.randint(0, 8, (2, 5))
    hidden = torch.cat([labels, torch.full((2, 3), -100)], 1)
    expected = losses.cross_entropy(logits, labels).item()
    assert losses.cross_entropy(padded, hidden).item() == pytest.approx(expected)


@pytest.fixture(scope="module")
def pieces() -> Tokenizer:
    return Tokenizer.from_file(str(FOLDER / "tokenizer.json"))


@pytest.mark.parametrize("text", NASTY)
def test_every_text_comes_back_and_nothing_is_unknown(pieces: Tokenizer, text: str) -> None:
    coded = pieces.encode(text)
    assert coded.ids[-1] == tokenizer.EOS
    assert tokenizer.UNK not in coded.ids
    assert pieces.decode(coded.ids) == text


def test_auto_tokenizer_is_the_same_tokenizer(pieces: Tokenizer) -> None:
    loaded = AutoTokenizer.from_pretrained(FOLDER)
    assert loaded.is_fast
    assert (loaded.pad_token_id, loaded.eos_token_id, loaded.unk_token_id) == (0, 1, 2)
    assert loaded.convert_tokens_to_ids("<extra_id_0>") == tokenizer.sentinel(0)
    for text in NASTY:
        assert loaded(text).input_ids == pieces.encode(text).ids


def test_byte_pieces_are_not_special(pieces: Tokenizer) -> None:
    assert "<0x41>" not in pieces.encode("<0x41>").tokens
    assert "<0xF0>" in pieces.encode("\U0001f600").tokens


def test_batches_are_unpadded_windows_of_one_length(pieces: Tokenizer) -> None:
    stream = data.Stream(corpus.load(HELD_OUT), pieces)
    rng = np.random.default_rng(3)
    lengths = set()
    for _ in range(12):
        batch = stream.batch(1024, rng)
        assert (batch.source != tokenizer.PAD).all()
        assert (batch.target != tokenizer.PAD).all()
        assert (batch.source[:, -1] == tokenizer.EOS).all()
        assert len(batch.domain) == len(batch.source) == len(batch.target)
        lengths.add(batch.source.shape[1])
    assert len(lengths) > 1


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The architecture at a width that takes milliseconds."""
    settings = {**model.configuration().to_dict(), "d_model": 16, "d_kv": 4, "d_ff": 8}
    small = SwitchTransformersConfig(**settings)
    monkeypatch.setattr(model, "configuration", lambda: small)


@pytest.mark.usefixtures("tiny")
def test_a_resumed_run_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    rows = [list(range(300 + i, 340 + i)) for i in range(4)]

    def steps(run: train.Run, count: int) -> None:
        with model.RouterLog(run.model) as routers:
            for _ in range(count):
                run.step(data.collate(rows, [0] * 4, run.rng), routers)

    options = train.Options(warmup_steps=1)
    whole = train.Run(options, tmp_path)
    steps(whole, 3)
    first = train.Run(options, tmp_path)
    steps(first, 2)
    first.save()
    second = train.Run(options, tmp_path)
    assert second.resume()
    assert second.progress.step == 2
    steps(second, 1)
    expected = whole.model.state_dict()
    for name, value in second.model.state_dict().items():
        assert torch.equal(value, expected[name]), name
    assert second.progress == whole.progress


@pytest.mark.usefixtures("tiny")
def test_export_loads_without_missing_or_unexpected_keys(tmp_path: Path, pieces: Tokenizer) -> None:
    run = train.Run(train.Options(), tmp_path)
    run.save()
    export.export(run.checkpoint, pieces, tmp_path / "out")
    loaded, _ = export.load(tmp_path / "out")
    name = "encoder.block.1.layer.1.mlp.router.classifier.weight"
    expected = run.model.state_dict()[name].bfloat16().float()
    assert torch.equal(loaded.state_dict()[name], expected)
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "training.json"} <= written
    assert str(tmp_path) not in (tmp_path / "out" / "config.json").read_text(encoding="utf-8")


def test_information_is_zero_without_and_full_with_separation() -> None:
    independent = np.outer([2.0, 1.0], [1.0, 3.0])
    assert evaluate.information(independent) == pytest.approx(0.0)
    assert evaluate.information(np.eye(8)) == pytest.approx(3.0)


def test_null_lies_far_below_a_real_dependence() -> None:
    labels = np.repeat(np.arange(4), 10)
    counts = np.zeros((40, 4))
    counts[np.arange(40), labels] = 5
    observed, null = evaluate.information_with_null(counts, labels)
    assert observed == pytest.approx(2.0)
    assert np.quantile(null, 0.95) < 0.7


def test_arithmetic_is_right_and_repeatable() -> None:
    lines = [line for document in arithmetic.documents(20, 1) for line in document]
    assert lines == [line for document in arithmetic.documents(20, 1) for line in document]
    sums = [line for line in lines if set(line) <= set("0123456789+= ")]
    assert sums
    for line in sums:
        left, right = line.split("=")
        assert sum(map(int, left.split("+"))) == int(right)
    assert arithmetic.in_words(40_213) == "forty thousand two hundred thirteen"


def test_every_domain_is_held_out_alike() -> None:
    documents = corpus.load(HELD_OUT)
    counts = np.bincount([d.domain for d in documents], minlength=len(sources.DOMAINS))
    assert len(sources.DOMAINS) >= 13
    assert counts.min() == counts.max() == corpus.HELD_OUT_PER_DOMAIN
    prose = [d for d in documents if sources.DOMAINS[d.domain] != "arithmetic"]
    assert all(corpus.is_held_out(d.digest) for d in prose)


def test_every_source_is_listed_with_its_licence() -> None:
    readme = (ROOT / "training" / "README.md").read_text(encoding="utf-8")
    for source in sources.SOURCES:
        assert source.licence in readme
        assert source.packages[0] in readme


def test_card_says_what_its_numbers_say() -> None:
    numbers = json.loads((FOLDER / "metrics.json").read_text(encoding="utf-8"))
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert text == render(numbers, card.facts(FOLDER))


def test_card_keeps_its_promises() -> None:
    numbers = json.loads((FOLDER / "metrics.json").read_text(encoding="utf-8"))
    loss = numbers["loss"]["all"]
    assert loss["model"] < loss["best_unigram"] < loss["unigram"]
    layers = numbers["layers"]
    assert len(layers) >= 6
    assert min(min(layer["load"]) for layer in layers) >= 0.02
    encoder = [x for x in layers if x["layer"].startswith("encoder")]
    assert np.mean([x["information_bits"] for x in encoder]) >= 0.5
    assert all(x["information_bits"] > x["null_95_bits"] for x in layers)


def test_differences_are_found_beyond_the_tolerance_only() -> None:
    stored = {"a": [1.0, 2.0], "n": 3}
    assert not list(card.differences(stored, {"a": [1.001, 2.0], "n": 3}))
    assert len(list(card.differences(stored, {"a": [1.1, 2.0], "n": 4}))) == 2
