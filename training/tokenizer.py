"""A byte-pair tokenizer with T5's special tokens, in which no input is unknown.

Spaces become ``▁`` as in SentencePiece, one is put in front and one taken off again by the
decoder. A character outside the vocabulary falls back to its UTF-8 bytes, ``<0x00>`` … ``<0xFF>``.
These are ordinary vocabulary entries, not added tokens: text that reads "<0x41>" stays text.
Not supported: a ``▁`` typed by a person decodes as a space, as it does in SentencePiece.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing

VOCABULARY = 12_000
SENTINELS = 100
PAD, EOS, UNK = 0, 1, 2
_BYTES = [f"<0x{value:02X}>" for value in range(256)]
_SPECIAL = ["<pad>", "</s>", "<unk>"]

# Line breaks, single digits, single marks and words, each with the space before it; further
# spaces and tabs (indentation) form a piece of their own.
_PIECES = r"\n|\t+|▁+(?=▁)|▁?\p{N}|▁?[\p{L}\p{M}]+|▁?[^\s\p{L}\p{M}\p{N}▁]|▁|\s"


def _skeleton(model: models.BPE) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_PIECES), "isolated")
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return tokenizer


def sentinel(index: int, vocabulary: int = VOCABULARY) -> int:
    """Id of ``<extra_id_index>``: T5 counts them down from the end of the vocabulary."""
    return vocabulary - 1 - index


def train(texts: Iterable[str]) -> Tokenizer:
    """Learn the merges; the vocabulary is specials, bytes, pieces, sentinels, in that order."""
    learned = _skeleton(models.BPE())
    room = VOCABULARY - len(_SPECIAL) - len(_BYTES) - SENTINELS
    # The alphabet is limited so that rare ideographs do not eat the vocabulary.
    trainer = trainers.BpeTrainer(vocab_size=room, limit_alphabet=1000, show_progress=False)
    learned.train_from_iterator(texts, trainer)
    state = json.loads(learned.to_str())["model"]
    pieces = sorted(state["vocab"], key=state["vocab"].__getitem__)
    order = _SPECIAL + _BYTES + pieces
    order += [f"<extra_id_{i}>" for i in reversed(range(SENTINELS))]
    if len(order) != VOCABULARY or len(set(order)) != VOCABULARY:
        raise ValueError(f"vocabulary of {len(order)} pieces, expected {VOCABULARY}")
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in state["merges"]]
    model = models.BPE(
        vocab={piece: index for index, piece in enumerate(order)},
        merges=merges, unk_token="<unk>", byte_fallback=True,
    )  # fmt: skip
    tokenizer = _skeleton(model)
    tokenizer.add_special_tokens(_SPECIAL + order[-SENTINELS:])
    tokenizer.post_processor = TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", EOS)]
    )
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """``tokenizer.json`` with the settings that ``AutoTokenizer`` reads beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        # The generic fast class: T5's own would build another tokenizer from the vocabulary.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>",
        "extra_special_tokens": [f"<extra_id_{i}>" for i in range(SENTINELS)],
        "clean_up_tokenization_spaces": False, "model_max_length": 512,
        "model_input_names": ["input_ids", "attention_mask"],
    }  # fmt: skip
    text = json.dumps(settings, indent=2) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
