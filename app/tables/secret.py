"""Keyed hashes in the place of personal values, and the key. It never leaves the data folder."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from contextlib import suppress
from pathlib import Path

_FILE = "anonymisation.key"
_KEY_BYTES = 32
_HASH_DIGITS = 16
_MARK = "which key"


def secret_key(data: Path) -> bytes:
    """The key of a data folder, made when first asked for, readable by its owner only.

    Without it models that were trained on hashed columns can't be used. Raises OSError.
    """
    file = data / _FILE
    with suppress(FileNotFoundError):
        return bytes.fromhex(file.read_text(encoding="ascii"))
    data.mkdir(parents=True, exist_ok=True)
    # Whole before it has its name, and the first of two that come at once wins.
    written = data / f"{_FILE}.{secrets.token_hex(4)}"
    written.touch(mode=0o600)
    try:
        written.write_text(secrets.token_hex(_KEY_BYTES), encoding="ascii")
        with suppress(FileExistsError):
            file.hardlink_to(written)
    finally:
        written.unlink()
    return bytes.fromhex(file.read_text(encoding="ascii"))


def hashed(key: bytes, column: str, value: str) -> str:
    """HMAC-SHA-256 (RFC 2104) of a value, its first 64 bits as hexadecimal digits.

    The same value in another column has another hash, so that columns can't be linked by it.
    """
    message = f"{column}\0{value}".encode()
    return hmac.new(key, message, hashlib.sha256).hexdigest()[:_HASH_DIGITS]


def mark(key: bytes) -> str:
    """Tells keys apart without giving them away."""
    return hashed(key, "", _MARK)
