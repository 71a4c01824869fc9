"""How MLflow's database is kept quick."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from app.recording.tracking import analyse


def plan(database: sqlite3.Connection, name: str) -> str:
    """How a query is carried out; another `name` makes it another query, planned anew."""
    # To explain a query, SQLite does not look whether anything changed; to carry one out it does.
    database.execute("select 1 from things").fetchone()
    query = f"explain query plan select 1 as {name} from things where colour = 1 and size = 1"
    return str(database.execute(query).fetchone()[3])


def test_connections_that_are_open_learn_what_is_in_the_database(tmp_path: Path) -> None:
    file = tmp_path / "some.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute("create table things (colour, size)")
        database.execute("create index by_colour on things (colour)")
        database.execute("create index by_size on things (size)")
        rows = [(number, 1) for number in range(2000)]
        database.executemany("insert into things values (?, ?)", rows)
        analyse(f"sqlite:///{file}")
        assert "by_colour" in plan(database, "first")
        database.execute("update things set size = colour, colour = 1")
        assert "by_colour" in plan(database, "second"), "it does not know better yet"
        analyse(f"sqlite:///{file}")
        assert "by_size" in plan(database, "third")


def test_what_is_no_database_here_is_left_alone(tmp_path: Path) -> None:
    analyse("http://127.0.0.1:9")
    analyse(f"sqlite:///{tmp_path / 'none' / 'such.db'}")
    assert not any(tmp_path.iterdir())
