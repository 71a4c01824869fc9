"""Generated arithmetic: sums, products, equations, fractions and the same in words."""

from __future__ import annotations

import random
from collections.abc import Iterator

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
).split()
_TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()


def in_words(number: int) -> str:
    """English words for 0 … 999,999."""
    if number < 20:
        return _ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens] + (f"-{_ONES[ones]}" if ones else "")
    size, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    head, rest = divmod(number, size)
    return f"{in_words(head)} {name}" + (f" {in_words(rest)}" if rest else "")


def _line(rng: random.Random) -> str:
    digits = rng.choice((1, 1, 2, 2, 3, 4))
    a, b, c = (rng.randrange(10**digits) for _ in range(3))
    small, other = rng.randrange(2, 13), rng.randrange(2, 13)
    kind = rng.randrange(12)
    if kind <= 1:
        return f"{a} + {b} = {a + b}"
    if kind == 2:
        return f"{a + b} - {b} = {a}"
    if kind == 3:
        sign = rng.choice(("*", "×", "x"))
        return f"{a} {sign} {small} = {a * small}"
    if kind == 4:
        return f"{a * small} {rng.choice(('/', '÷'))} {small} = {a}"
    if kind == 5:
        return f"({a} + {b}) * {small} = {(a + b) * small}"
    if kind == 6:
        return f"{a} + {b} + {c} = {a + b + c}"
    if kind == 7:
        return f"{small}x + {b} = {small * other + b}, x = {other}"
    if kind == 8:
        return f"{in_words(a)} plus {in_words(b)} is {in_words(a + b)}"
    if kind == 9:
        return f"{small} times {other} equals {small * other}"
    if kind == 10:
        return f"{a}.{small} + {b}.0 = {a + b}.{small}"
    return f"{small}^2 = {small * small}; sqrt({other * other}) = {other}"


def documents(count: int, seed: int, lines: int = 30) -> Iterator[list[str]]:
    """``count`` documents of ``lines`` lines each, a function of the seed alone."""
    rng = random.Random(seed)
    for _ in range(count):
        yield [_line(rng) for _ in range(lines)]
