"""What a pass found, as a terminal shows it."""

from __future__ import annotations

from collections.abc import Mapping

from app.commands.table import printable
from app.corpus import atlas
from app.corpus.counting.counts import Counts
from app.corpus.library import Pass


def summary(found: Pass, counts: Counts, pieces: Mapping[int, str]) -> str:
    """Counts of what was read and skipped, then a line per expert: its load and speciality."""
    lines = [
        f"{counts.documents:,} documents, {counts.tokens:,} tokens, "
        f"{counts.truncated:,} read to {found.about.order.max_tokens} tokens only"
    ]
    for reason, number in sorted(found.state.skips.counts.items()):
        where = ", ".join(
            f"{one.file}:{one.line}" for one in found.state.skips.examples[reason][:3]
        )
        lines.append(f"skipped {number:,}: {reason} ({where}{' …' if number > 3 else ''})")
    for index, layer in enumerate(counts.shape):
        load = atlas.load(counts, index)
        tables = atlas.layer_tables(counts, index, counts.label_columns)
        lines.append(f"{layer.name}, uniform load {1 / layer.num_experts:.1%}")
        for expert in range(layer.num_experts):
            label, _ = atlas.speciality(counts, index, expert, counts.label_columns, pieces, tables)
            interval = f"{load.low[expert]:.1%}–{load.high[expert]:.1%}"
            share = f"{load.value[expert]:.1%}"
            lines.append(f"  expert {expert:<3} load {share:>6} ({interval})  {printable(label)}")
    return "\n".join(lines)
