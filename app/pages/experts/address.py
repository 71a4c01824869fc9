"""What the atlas' address says: a pass, perhaps a second one, and what is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.corpus.atlases import Atlas

SORTS = ("number", "load")
# What `with` says where no second pass is chosen.
NOTHING = "none"
MOST_TOKEN = 100


@dataclass(frozen=True)
class Asked:
    """What an address asks for. `layer` counts from 1, as the page does, 0 where it is not said.

    `expert` stands in the address as well, where only the browser reads it.
    """

    run: str = ""
    beside: str = ""
    layer: int = 0
    label: str = ""
    sort: str = SORTS[0]
    token: str = ""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Asked:
        """Of an address or a store; what can't be read counts as left out."""
        said = {name: str(values.get(name) or "").strip() for name in _NAMES}
        layer = said["layer"]
        return cls(
            run=said["run"],
            beside="" if said["with"] == NOTHING else said["with"],
            layer=int(layer) if layer.isdecimal() and len(layer) < 6 else 0,
            label=said["label"],
            sort=said["sort"] if said["sort"] in SORTS else SORTS[0],
            token=said["token"][:MOST_TOKEN],
        )

    def column(self, atlas: Atlas) -> str:
        """The label column that is looked at: the one asked for, else the first, else none."""
        columns = atlas.counts.label_columns
        return self.label if self.label in columns else next(iter(columns), "")

    def index(self, atlas: Atlas) -> int:
        """The layer that is looked at, from 0: the one asked for, else the most telling one."""
        if 1 <= self.layer <= len(atlas.counts.shape):
            return self.layer - 1
        return atlas.telling_layer(self.column(atlas))


_NAMES = ("run", "with", "layer", "label", "sort", "token")
