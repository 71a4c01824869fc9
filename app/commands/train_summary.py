"""What came of a training, as a terminal shows it."""

from __future__ import annotations

from collections.abc import Mapping

from app.automl.order import Result
from app.commands.table import columns, printable

_MOST_FEATURES = 10


def summary(result: Result) -> str:
    """The leaderboard with what it is compared with, and the columns that the best rests on."""
    # What a mean is over rows has an interval.
    names = [name for name in result.baseline if not name.endswith(("_low", "_high"))]
    head = ["model", f"cross-validated {result.metric}", *(f"held-out {name}" for name in names)]
    rows = [
        [one.name, f"{one.validation[result.metric]:.4f}", *_cells(one.holdout, names)]
        for one in result.models
    ]
    rows.append(["(baseline)", "", *_cells(result.baseline, names)])
    told = result.rows
    lines = [
        f"«{printable(result.columns.target)}», {result.columns.task}: {told['training']:,} rows "
        f"to train on, {told['holdout']:,} held out; 95 % intervals",
        columns([head, *rows], right=range(1, len(head))),
    ]
    if result.others:
        lines.append(f"and {len(result.others):,} models more, which are not kept")
    rise = "root mean square error" if result.columns.task == "regression" else "log loss"
    lines.append(f"rise of the best one's {rise} with a column shuffled:")
    lines += [
        f"  {one.value:+.4f} ± {one.deviation:.4f}  {printable(one.feature)}"
        for one in result.importance[:_MOST_FEATURES]
    ]
    return "\n".join(lines)


def _cells(metrics: Mapping[str, float], names: list[str]) -> list[str]:
    return [_cell(metrics, name) for name in names]


def _cell(metrics: Mapping[str, float], name: str) -> str:
    if name not in metrics:
        return ""
    low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
    interval = "" if low is None or high is None else f" ({low:.4f}–{high:.4f})"
    return f"{metrics[name]:.4f}{interval}"
