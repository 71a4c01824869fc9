"""How often fast mode chooses the same experts as float32, on texts that never change.

Short sentences of many languages and scripts, code and arithmetic: rounding turns a choice
where two experts are nearly as good, and how often that is depends on the text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from app.routing.trace import RoutingTrace

TEXTS = (
    "The ferry leaves at noon, unless the wind turns.",
    "Nobody had told the new librarian where the maps were kept.",
    "Please heat the oven to 220 degrees before you mix the flour.",
    "Am Ende des Weges stand ein Haus mit grünen Fensterläden.",
    "Der Zug hatte zwanzig Minuten Verspätung.",
    "Le boulanger ferme sa boutique à sept heures du soir.",
    "Nous avons perdu la clé dans le jardin.",
    "El río baja con mucha agua después de las lluvias.",
    "La lettera arrivò con tre giorni di ritardo.",
    "O mercado abre cedo aos sábados.",
    "De fiets stond nog steeds tegen de muur.",
    "Isoäiti keitti kahvia ja katsoi lumisadetta.",
    "Zimą dni są krótkie, a noce bardzo długie.",
    "Старый мост через реку закрыли на ремонт.",
    "Το πλοίο έφυγε νωρίς το πρωί από το λιμάνι.",
    "Yarın hava güneşli olursa denize gideceğiz.",
    "وصل القطار إلى المحطة بعد منتصف الليل.",
    "बच्चे आँगन में गेंद से खेल रहे हैं।",
    "昨天晚上下了一场大雪。",
    "駅の前に小さな本屋があります。",
    "def mean(values):\n    return sum(values) / len(values)",
    "for (int i = 0; i < n; ++i) { total += weights[i] * x[i]; }",
    '{"name": "sensor-7", "active": true, "values": [3, 1.5, null]}',
    "17 + 25 = 42, 9 * 8 = 72, and 100 / 4 = 25",
)


# As many choices in a hundred as batches may cost.
_WORSE = 0.005


class Agreement(NamedTuple):
    """The `share` of expert choices that are the same, of `choices` in all.

    `together`: the share when the texts ran as one padded batch, None if they can't.
    """

    share: float
    choices: int
    together: float | None = None

    @property
    def batches(self) -> bool:
        """Whether texts in batches agree as often as alone.

        Which of them share a batch changes the order of sums and so the rounding. In bfloat16
        that turns other near ties than alone, but no more of them.
        """
        return self.together is not None and self.together >= self.share - _WORSE

    def note(self) -> str:
        """One short sentence for page and run."""
        together = f", {_percent(self.together)} in one batch" if self.together is not None else ""
        return (
            f"fast mode, linear layers in bfloat16: {_percent(self.share)} of {self.choices:,} "
            f"expert choices are those of float32 on a fixed set of {len(TEXTS)} texts{together}"
        )


def _percent(share: float) -> str:
    """Rounded down: only what is the same throughout reads as 100 %."""
    return f"{math.floor(1000 * share) / 10:.1f}%"


def agreement(exact: Iterable[RoutingTrace], fast: Iterable[RoutingTrace]) -> Agreement:
    """Counts choices, k for each token and router layer, as sets: order of rank is no matter."""
    same = choices = 0
    for one, other in zip(exact, fast, strict=True):
        for a, b in zip(one.layers, other.layers, strict=True):
            same += int((a.experts[:, :, None] == b.experts[:, None, :]).sum())
            choices += a.experts.size
    return Agreement(same / choices, choices)
