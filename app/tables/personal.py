"""Which columns look as if they told about persons. A hint for people, who decide.

By rules, so it misses what follows none: a name under a heading that doesn't say so, an e-mail
address that is spelt out, places, dates of birth.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal

Personal = Literal["e-mail", "phone", "name", "IBAN"]

# Of the values that are looked at. A few addresses in a column of remarks are personal too.
_FEW, _MOST = 0.05, 0.6
_EMAIL = re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)*\.[^\W\d_]{2,}")
_IBAN = re.compile(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}")
# At most 15 digits (ITU-T E.164). A plus, a leading 0 or a bracket tells them from amounts; digits
# alone may be anything, and count only under a heading that says so.
_PHONE = re.compile(r"(?:\+|0|\(\+?0?)[\d\s()/.-]{5,24}\d")
_NOT_PHONE = re.compile(r"\d+|[+-]?\d+[.,]\d+|\d{1,4}([-./])\d{1,2}\1\d{1,4}")
_WORDS = re.compile(r"[^\W\d_]+")
_NAME = re.compile(r"[^\W\d_][^\W\d_'’.-]*(?:[ ,'’.-]+[^\W\d_]+[.]?){0,4}")
_NAME_HEADING = re.compile(
    r"(?:first|last|full|given|family|middle|maiden|user|customer|client|patient|employee|contact"
    r"|person|author)[\W_]*names?|names?|surname|forename|vorname|nachname|familienname"
    r"|pr[ée]nom|nom|nombre|apellidos?|nome|cognome|patient|employee|customer|contact",
    re.IGNORECASE,
)
_PHONE_HEADING = re.compile(
    r"(?:^|[\W_])(?:tele?phone?|telefon|phone|tel|mobile|mobil|handy|cell|fax)(?:$|[\W_])",
    re.IGNORECASE,
)


def personal(name: str, values: Sequence[str]) -> Personal | None:
    """What the column `name` with some of its different `values` looks like, as text."""
    if not values:
        return None
    if _share(values, lambda text: bool(_EMAIL.search(text))) >= _FEW:
        return "e-mail"
    if _share(values, is_iban) >= _FEW:
        return "IBAN"
    phones = _share(values, _is_phone)
    named_phone = bool(_PHONE_HEADING.search(_parted(name)))
    if phones >= _MOST or (named_phone and _share(values, _has_phone_digits) >= _MOST):
        return "phone"
    if _NAME_HEADING.fullmatch(_parted(name).strip()) and _share(values, _is_name) >= _MOST:
        return "name"
    return None


def is_iban(text: str) -> bool:
    """Whether it is a bank account number whose check digits agree.

    ISO 13616: the first four characters put last, letters as 10 to 35, modulo 97 is 1
    (ISO/IEC 7064, MOD 97-10).
    """
    compact = re.sub(r"[\s-]", "", text).upper()
    if not compact.isascii() or not _IBAN.fullmatch(compact):
        return False
    return int("".join(str(int(each, 36)) for each in compact[4:] + compact[:4])) % 97 == 1


def _is_phone(text: str) -> bool:
    return (
        bool(_PHONE.fullmatch(text)) and not _NOT_PHONE.fullmatch(text) and _has_phone_digits(text)
    )


def _has_phone_digits(text: str) -> bool:
    return 7 <= sum(each.isdecimal() for each in text) <= 15


def _is_name(text: str) -> bool:
    words = _WORDS.findall(text)
    return bool(_NAME.fullmatch(text)) and any(not word[:1].islower() for word in words)


def _share(values: Sequence[str], fits: Callable[[str], bool]) -> float:
    return sum(map(fits, values)) / len(values)


def _parted(name: str) -> str:
    """A heading with its words apart: "firstName" as "first Name"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
