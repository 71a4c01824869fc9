"""Where the log goes: one line per event, tracebacks below it, no secrets."""

from __future__ import annotations

import logging
import re
from pathlib import Path

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_USER_INFO = re.compile(r"(?<=://)[^/@\s]+:[^/@\s]*(?=@)")


class RedactingFormatter(logging.Formatter):
    """Hides names and passwords inside addresses, in tracebacks too."""

    def format(self, record: logging.LogRecord) -> str:
        return _USER_INFO.sub("***", super().format(record))


def log_to(file: Path | None) -> None:
    """Sends everything from INFO up to a file, or to standard error. Raises OSError."""
    handler = logging.FileHandler(file, encoding="utf-8") if file else logging.StreamHandler()
    handler.setFormatter(RedactingFormatter(_FORMAT))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    # One line per request to the model hub says nothing that is needed.
    logging.getLogger("httpx").setLevel(logging.WARNING)
