"""How tokenizers spell text in the pieces of their vocabularies."""

from __future__ import annotations

# How they write white space, and that a piece continues a word.
_SPACES = str.maketrans({"▁": " ", "Ġ": " ", "Ċ": "\n", "ĉ": "\t"})
_CONTINUES = "##"


def _letters() -> tuple[str, ...]:
    """The letter that byte-level BPE writes for each byte (GPT-2's table)."""
    plain = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(0x100) if byte not in plain]
    return tuple(
        chr(byte) if byte in plain else chr(0x100 + others.index(byte)) for byte in range(0x100)
    )


_LETTERS = _letters()
_BYTES = {letter: byte for byte, letter in enumerate(_LETTERS)}


def spelt(text: str) -> str:
    """The text as byte-level BPE writes it in its vocabulary."""
    return "".join(_LETTERS[byte] for byte in text.encode("utf-8"))


def reading(piece: str) -> str:
    """The text that a piece stands for: « été» of «ĠÃ©tÃ©», «▁été» and « été».

    By the piece alone, whatever its tokenizer: letters that are bytes of whole characters are
    taken for those. A part of a character stays as it is spelt.
    """
    try:
        text = bytes(_BYTES[letter] for letter in piece).decode("utf-8")
    except (KeyError, UnicodeDecodeError):
        text = piece.translate(_SPACES)
    return text.removeprefix(_CONTINUES) or text
