"""Files as tables: what columns become, what is refused in one line, what is skipped."""

from __future__ import annotations

import gzip
import io
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.tables import gathering, reading
from app.tables.errors import TableError
from app.tables.reading import MOST_COLUMNS, Table, read


def written(folder: Path, content: str | bytes, name: str = "table.csv") -> Path:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def parquet(folder: Path, columns: dict[str, Any], compressed: bool = False) -> Path:
    held = io.BytesIO()
    pq.write_table(pa.table(columns), held)
    data = held.getvalue()
    name = "table.parquet.gz" if compressed else "table.parquet"
    return written(folder, gzip.compress(data) if compressed else data, name)


def cells(table: Table, name: str) -> list[Any]:
    """The values of a column, None for missing ones."""
    column = table.frame[name]
    return [
        None if missing else value for value, missing in zip(column, column.isna(), strict=True)
    ]


def refusal(file: Path, **options: Any) -> str:
    with pytest.raises(TableError) as refused:
        read(file, **options)
    assert "\n" not in str(refused.value)
    return str(refused.value)


class TestCsv:
    def test_numbers_and_text_are_told_apart(self, tmp_path: Path) -> None:
        table = read(written(tmp_path, "size,colour\n1, red\n2.5e1,\nNA,NA\n"))
        assert cells(table, "size") == [1.0, 25.0, None]
        assert cells(table, "colour") == ["red", None, "NA"]
        assert table.frame.dtypes.astype(str).to_dict() == {"size": "float64", "colour": "str"}
        assert table.complete
        assert table.skipped.total == 0

    @pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16"])
    @pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
    def test_encodings_and_delimiters(self, tmp_path: Path, codec: str, delimiter: str) -> None:
        text = "naïve,n\nÉté,1\nzwölf,2\n".replace(",", delimiter)
        table = read(written(tmp_path, text.encode(codec)))
        assert cells(table, "naïve") == ["Été", "zwölf"]
        assert cells(table, "n") == [1.0, 2.0]

    def test_gzip(self, tmp_path: Path) -> None:
        table = read(written(tmp_path, gzip.compress(b"a,b\n1,2\n"), "table.csv.gz"))
        assert cells(table, "b") == [2.0]

    def test_a_decimal_comma_where_it_parts_no_cells(self, tmp_path: Path) -> None:
        table = read(written(tmp_path, "a;b\n1,5;x\n2;y\n"))
        assert cells(table, "a") == [1.5, 2.0]
        assert table.commas
        assert not read(written(tmp_path, "a,b\n1,2\n")).commas

    def test_raw_cells_stay_text(self, tmp_path: Path) -> None:
        table = read(written(tmp_path, "a,b\n12.0, x\n,y\n"), raw=True)
        assert cells(table, "a") == ["12.0", None]

    def test_broken_rows_are_skipped_and_counted_with_their_lines(self, tmp_path: Path) -> None:
        content = b'a,b\n1,2\n\n3\n4,5,6\n\xff,7\n8,9\n"10,11\n12,13\n'
        table = read(written(tmp_path, content))
        assert cells(table, "a") == [1.0, 8.0, 12.0]
        found = {
            reason: [one.line for one in some] for reason, some in table.skipped.examples.items()
        }
        assert found == {
            "blank line": [3],
            "fewer cells than the header": [4],
            "more cells than the header": [5],
            "not UTF-8": [6],
            "quote is never closed": [8],
        }

    def test_names_that_look_like_commands_are_only_names(self, tmp_path: Path) -> None:
        table = read(written(tmp_path, 'a,"; DROP TABLE x","=cmd|\'/c calc\'!A1"\n1,2,3\n4,5,6\n'))
        assert list(table.frame.columns) == ["a", "; DROP TABLE x", "=cmd|'/c calc'!A1"]
        assert cells(table, "; DROP TABLE x") == [2.0, 5.0]

    def test_names_are_one_line_and_blank_ones_are_filled(self, tmp_path: Path) -> None:
        table = read(written(tmp_path, '"first\n line",,c\n1,2,3\n'))
        assert list(table.frame.columns) == ["first line", "column 2", "c"]

    def test_only_the_first_rows(self, tmp_path: Path) -> None:
        file = written(tmp_path, "a,b\n1,2\n3,4\n5,6\n")
        assert not read(file, first=2).complete
        assert cells(read(file, first=2), "a") == [1.0, 3.0]
        assert read(file, first=3).complete

    def test_many_rows_come_in_parts(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(gathering, "_WAITING_CELLS", 10)
        rows = [f"{row},{row % 3}" for row in range(101)]
        table = read(written(tmp_path, "\n".join(["a,b", *rows])))
        assert cells(table, "a") == list(range(101))
        assert cells(table, "b") == [row % 3 for row in range(101)]


class TestParquet:
    def test_every_type_is_a_number_or_text(self, tmp_path: Path) -> None:
        table = read(
            parquet(
                tmp_path,
                {
                    "whole": pa.array([1, None], pa.int32()),
                    "real": pa.array([float("inf"), 0.5], pa.float32()),
                    "large": pa.array([2**60 + 1, 1], pa.int64()),
                    "yes": pa.array([True, None]),
                    "text": [" a ", " "],
                    "coded": pa.array(["x", "y"]).dictionary_encode(),
                    "day": pa.array([date(2024, 2, 29), None]),
                    "nothing": pa.nulls(2),
                    "bytes": pa.array([b"ok", None]),
                },
            )
        )
        assert {name: cells(table, str(name)) for name in table.frame.columns} == {
            "whole": [1.0, None],
            "real": [None, 0.5],
            "large": [str(2**60 + 1), "1"],
            "yes": ["true", None],
            "text": ["a", None],
            "coded": ["x", "y"],
            "day": ["2024-02-29", None],
            "nothing": [None, None],
            "bytes": ["ok", None],
        }
        assert not table.unread

    def test_columns_of_lists_and_bytes_are_left_out_and_said(self, tmp_path: Path) -> None:
        table = read(
            parquet(tmp_path, {"a": [1, 2], "b": [[1], [2]], "c": pa.array([b"\xff", b""])}, True)
        )
        assert list(table.frame.columns) == ["a"]
        assert table.unread == {
            "b": "holds lists or objects, not single values",
            "c": "holds bytes that are not UTF-8",
        }
        assert "no column of single values" in refusal(parquet(tmp_path, {"b": [[1]]}))

    def test_only_the_first_rows(self, tmp_path: Path) -> None:
        file = parquet(tmp_path, {"a": list(range(2500))})
        table = read(file, first=1500)
        assert cells(table, "a") == list(range(1500))
        assert not table.complete
        assert len(read(file).frame) == 2500


class TestRefusals:
    def test_files_that_are_no_table(self, tmp_path: Path) -> None:
        assert refusal(tmp_path / "no.csv") == "no.csv does not exist"
        assert refusal(written(tmp_path, "", "empty.csv")) == "empty.csv is empty"
        assert refusal(written(tmp_path, "a,b\n", "head.csv")) == "head.csv has no rows"
        assert refusal(written(tmp_path, "a,b\n1\n", "cut.csv")) == (
            "cut.csv has no rows; line 2 is skipped (fewer cells than the header)"
        )
        assert refusal(parquet(tmp_path, {"a": pa.array([], pa.int64())})) == (
            "table.parquet has no rows"
        )
        assert refusal(written(tmp_path, b"\x89PNG\r\n\x1a\n", "data")) == (
            "data is a PNG image, not a table"
        )
        assert "JSON Lines" in refusal(written(tmp_path, '{"a": 1}\n', "table.jsonl"))
        assert "damaged Parquet" in refusal(written(tmp_path, b"PAR1" * 5, "table.parquet"))

    def test_another_encoding(self, tmp_path: Path) -> None:
        text = "wört,größe\n" + "schön,übel\n" * 5
        assert refusal(written(tmp_path, text.encode("latin-1"))) == (
            "table.csv does not look like UTF-8"
        )

    def test_two_columns_of_one_name(self, tmp_path: Path) -> None:
        assert refusal(written(tmp_path, "a,b,a\n1,2,3\n")) == "table.csv has two columns «a»"
        assert (
            refusal(written(tmp_path, '"a b","a\n b"\n1,2\n')) == "table.csv has two columns «a b»"
        )
        both = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
        pq.write_table(both, tmp_path / "table.parquet")
        assert "two columns «a»" in refusal(tmp_path / "table.parquet")

    @pytest.mark.parametrize("columns", [5_000, MOST_COLUMNS + 1])
    def test_too_many_columns(self, tmp_path: Path, columns: int) -> None:
        names = [f"c{place}" for place in range(columns)]
        text = f"{','.join(names)}\n{','.join('1' * columns)}\n"
        expected = f"has {columns:,} columns; at most 1,000 are read"
        assert expected in refusal(written(tmp_path, text))
        assert expected in refusal(parquet(tmp_path, {name: [1] for name in names}))

    def test_a_name_that_is_too_long(self, tmp_path: Path) -> None:
        assert "column name of over 200 characters" in refusal(
            written(tmp_path, f"{'x' * 201},b\n1,2\n")
        )

    def test_too_many_rows_are_refused_not_cut(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reading, "MOST_CELLS", 6)
        file = written(tmp_path, "a,b\n" + "1,2\n" * 4)
        assert refusal(file) == (
            "table.csv has more than 3 rows, the most that are read of 2 columns; "
            "hand in a part of it"
        )
        assert len(read(file, first=9).frame) == 3
        assert len(read(written(tmp_path, "a,b\n" + "1,2\n" * 3)).frame) == 3
        assert "more than 6 rows" in refusal(parquet(tmp_path, {"a": [1] * 7}))

    def test_a_small_file_that_unpacks_to_too_much(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gathering, "MOST_BYTES", 1024**2)
        text = "a,b\n" + f"{'x' * 1000},y\n" * 2000
        assert "unpacked" in refusal(written(tmp_path, gzip.compress(text.encode()), "t.csv.gz"))
        assert "unpacked" in refusal(parquet(tmp_path, {"a": ["x" * 1000] * 2000}))
