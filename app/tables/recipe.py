"""How a table is prepared for learning: chosen by people, recorded with the training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from app.tables.columns import Column
from app.tables.errors import TableError

FeatureKind = Literal["number", "category"]
Task = Literal["classification", "regression"]
Missing = Literal["keep", "fill", "refuse"]
Unknown = Literal["missing", "refuse"]

MOST_LEVELS = 1_000


@dataclass(frozen=True)
class Recipe:
    """What is learnt from what.

    `features` are the columns to learn from; `dropped` says of others why they are not. Those of
    `hashed` are categories whose values are replaced by keyed hashes. Rows of one `group` are
    never on both sides of a split.

    `missing` values are kept as such, filled (by the median, or the most frequent level), or
    refused: then rows with one are left out of a training and later refused. A category keeps
    its `most_levels` most frequent levels of at least `least_rows` rows; rarer ones, and then
    all that are not known, become one. Where there are no rarer ones an `unknown` level counts
    as missing or is refused.
    """

    target: str
    task: Task
    features: Mapping[str, FeatureKind]
    dropped: Mapping[str, str] = field(default_factory=dict)
    hashed: tuple[str, ...] = ()
    group: str | None = None
    missing: Missing = "keep"
    unknown: Unknown = "missing"
    most_levels: int = MOST_LEVELS
    least_rows: int = 1

    @classmethod
    def guess(
        cls, columns: Sequence[Column], target: str, task: Task, group: str | None = None
    ) -> Recipe:
        """One that leaves out what nothing can be learnt from, and what looks personal."""
        features, dropped = dict[str, FeatureKind](), dict[str, str]()
        for column in columns:
            if column.name in (target, group):
                continue
            if column.personal:
                dropped[column.name] = f"looks personal: {column.personal}"
            elif column.kind in ("number", "category"):
                features[column.name] = "number" if column.kind == "number" else "category"
            else:
                dropped[column.name] = column.kind
        return cls(target, task, features, dropped, group=group)

    def check(self, columns: Iterable[str]) -> None:
        """Raises TableError unless the recipe makes sense for a table with these columns."""
        there = set(columns)
        for name in (self.target, *self.features, *([self.group] if self.group else [])):
            if name not in there:
                raise TableError(f"there is no column «{name}»")
        if self.target in self.features:
            raise TableError(f"«{self.target}» is the target, so nothing can be learnt from it")
        if self.group in (*self.features, self.target):
            raise TableError(f"«{self.group}» says which rows belong together, and nothing else")
        if not self.features:
            raise TableError("no column is left to learn from")
        for name in self.hashed:
            if self.features.get(name) != "category":
                raise TableError(f"«{name}» can be hashed only as a category to learn from")
        if self.most_levels < 1 or self.least_rows < 1:
            raise TableError("a category keeps at least one level, of at least one row")

    def plain(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self) | {"hashed": list(self.hashed)}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Recipe:
        """The inverse of `plain`. Raises TypeError for other values."""
        return cls(**{**values, "hashed": tuple(values["hashed"])})
