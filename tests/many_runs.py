"""A store with many runs, made from one of them in a moment."""

from __future__ import annotations

import sqlite3
import uuid
from contextlib import closing
from pathlib import Path


def multiply(database: Path, count: int) -> None:
    """Copies the one run of a store many times, with other ids, times, texts and values."""
    ids = [uuid.uuid4().hex for _ in range(count)]
    with closing(sqlite3.connect(database)) as connection, connection:
        (source,) = connection.execute("select run_uuid from runs").fetchone()
        for table in ("runs", "tags", "params", "latest_metrics"):
            names = [row[1] for row in connection.execute(f"pragma table_info({table})")]
            changed = {"run_uuid": "?1", "start_time": "start_time - 60000 * ?2"}
            if table == "tags":
                changed["value"] = (
                    "case key when 'moescope.text' then 'copy ' || ?2 "
                    "when 'moescope.tags' then case ?2 % 2 when 1 then ',odd,' else '' end "
                    "when 'moescope.analysis' then ?1 else value end"
                )
            if table == "latest_metrics":
                changed["value"] = "value * (1 + ?2 * 0.001)"
            chosen = ", ".join(changed.get(name, name) for name in names)
            connection.executemany(
                f"insert into {table} ({', '.join(names)}) "
                f"select {chosen} from {table} where run_uuid = ?3",
                [(id_, number, source) for number, id_ in enumerate(ids)],
            )
