"""Reading a corpus: what a file is, its documents, what is skipped, and going on after a stop."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.corpus.documents import Document
from app.corpus.reading.delimited import sniffed
from app.corpus.reading.rows import MOST_LINE_BYTES, Skips
from app.corpus.reading.source import Corpus, Place, Selection, SourceError, describe, digest

MEGABYTE = 1024 * 1024

Rows = Sequence[tuple[str, str]]


def written(path: Path, content: bytes | str, compressed: bool = False) -> Path:
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if compressed else data)
    return path


def corpus_of(path: Path, *labels: str, text: str = "text") -> Corpus:
    return Corpus([path], Selection(text, labels))


def read(corpus: Corpus, start: Place | None = None) -> list[Document]:
    return [document for document, _ in corpus.documents(start)]


def texts(corpus: Corpus, start: Place | None = None) -> list[str]:
    return [document.text for document in read(corpus, start)]


def skips(corpus: Corpus) -> dict[str, list[int]]:
    """The lines of the examples, by reason, where each is counted."""
    found = corpus.skipped
    assert {reason: len(some) for reason, some in found.examples.items()} == found.counts
    return {reason: [each.line for each in some] for reason, some in found.examples.items()}


def as_text(rows: Rows) -> bytes:
    return "".join(f"{text}\n" for text, _ in rows).encode()


def as_csv(rows: Rows, delimiter: str = ",") -> bytes:
    held = io.StringIO(newline="")
    writer = csv.writer(held, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([("text", "domain"), *rows])
    return held.getvalue().encode()


def as_json(rows: Rows) -> bytes:
    return b"".join(json.dumps({"text": t, "domain": d}).encode() + b"\n" for t, d in rows)


def as_parquet(rows: Rows) -> bytes:
    table = pa.table({"text": [t for t, _ in rows], "domain": [d for _, d in rows]})
    held = io.BytesIO()
    pq.write_table(table, held, row_group_size=max(2, len(rows) // 3))
    return held.getvalue()


FORMATS: dict[str, Callable[[Rows], bytes]] = {
    "csv": as_csv,
    "tsv": lambda rows: as_csv(rows, "\t"),
    "jsonl": as_json,
    "parquet": as_parquet,
}
ROWS = [("One.", "news"), ("Two, three.", "law"), ("Four.", "news"), ("Five.", ""), ("Six.", "law")]

# NUL makes a file binary; a lone "\r" is no line end of ours, but one of the csv module.
some_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
documents = some_text.filter(lambda text: bool(text.strip()))
some_rows = st.lists(st.tuples(documents, some_text), min_size=1, max_size=8)


class TestRoundTrips:
    @pytest.mark.parametrize("compressed", [False, True])
    @pytest.mark.parametrize("name", FORMATS)
    @settings(max_examples=40, deadline=None)
    @given(rows=some_rows)
    def test_texts_and_labels_come_back(
        self, tmp_path_factory: pytest.TempPathFactory, name: str, compressed: bool, rows: Rows
    ) -> None:
        path = tmp_path_factory.getbasetemp() / f"round.{name}"
        corpus = corpus_of(written(path, FORMATS[name](rows), compressed), "domain")
        assert [(one.text, one.labels["domain"]) for one in read(corpus)] == [
            (text, label.strip()) for text, label in rows
        ]
        assert corpus.skipped == Skips()

    @pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
    @settings(max_examples=60, deadline=None)
    @given(lines=st.lists(documents.map(lambda text: text.replace("\n", " ")), min_size=1))
    def test_lines_of_plain_text_come_back(
        self, tmp_path_factory: pytest.TempPathFactory, codec: str, lines: list[str]
    ) -> None:
        path = tmp_path_factory.getbasetemp() / "lines.txt"
        mark = "\ufeff" if codec == "utf-16-be" else ""
        corpus = corpus_of(written(path, (mark + "\n".join(lines)).encode(codec)))
        mark_lost = [lines[0].removeprefix("\ufeff") if codec == "utf-8" else lines[0], *lines[1:]]
        expected = [line.removesuffix("\r") for line in mark_lost]
        assert texts(corpus) == [line for line in expected if line.strip()]

    @pytest.mark.parametrize("compressed", [False, True])
    @pytest.mark.parametrize("name", FORMATS)
    @settings(max_examples=25, deadline=None)
    @given(rows=st.lists(st.tuples(some_text, some_text), min_size=1, max_size=8))
    def test_reading_goes_on_after_every_document(
        self, tmp_path_factory: pytest.TempPathFactory, name: str, compressed: bool, rows: Rows
    ) -> None:
        path = tmp_path_factory.getbasetemp() / f"resumed.{name}"
        goes_on_everywhere([written(path, FORMATS[name](rows), compressed)])

    @settings(max_examples=150, deadline=None)
    @given(
        lines=st.lists(
            st.lists(st.sampled_from(['"', ",", "a", " ", "\\", '""', '","']), max_size=6).map(
                "".join
            ),
            max_size=12,
        )
    )
    def test_reading_goes_on_whatever_the_quotes(
        self, tmp_path_factory: pytest.TempPathFactory, lines: list[str]
    ) -> None:
        path = tmp_path_factory.getbasetemp() / "quotes.csv"
        content = "\n".join(["text,domain", *lines]) + "\n"
        goes_on_everywhere([written(path, content)])

    def test_it_goes_on_among_lines_that_an_open_quote_had_swallowed(self, tmp_path: Path) -> None:
        # The limit strikes in the last of the long lines; read from line 4 on, after them.
        long = "".join("a" * (MEGABYTE - 8) + ",law\n" for _ in range(4))
        content = 'text,domain\n"open,law\nOne.,law\nx","y\n' + long + 'b",c\n'
        path = written(tmp_path / "a.csv", content)
        assert goes_on_everywhere([path]) == 6
        corpus = corpus_of(path)
        assert texts(corpus)[-1] == 'b"'
        assert skips(corpus) == {"longer than 4 MB": [2], "quote is never closed": [4]}

    def test_it_goes_on_in_the_next_file_and_in_any_process(self, tmp_path: Path) -> None:
        files = [
            written(tmp_path / f"{name}.{name}", as_some(ROWS), name == "csv")
            for name, as_some in FORMATS.items()
        ]
        assert goes_on_everywhere(files) == 4 * len(ROWS)

    def test_utf_16_is_read_on_in_the_middle(self, tmp_path: Path) -> None:
        # U+0A00 and U+000A share bytes; so do U+0A0A and any two line ends.
        lines = "\u0a00\u0100 a\n\u0a0a\u0a0a\nb\u0a00\n"
        content = "\ufefftext,domain\n" + "".join(f"{line},x\n" for line in lines.splitlines())
        path = written(tmp_path / "a.csv", content.encode("utf-16-le"))
        assert goes_on_everywhere([path]) == 3


def goes_on_everywhere(files: list[Path]) -> int:
    """Checks that from the place after each document exactly the rest comes."""
    selection = Selection("text", ("domain",))
    whole = Corpus(files, selection)
    pairs = []
    kept = [Skips()]
    for pair in whole.documents():
        pairs.append(pair)
        kept.append(whole.skipped.copy())
    assert [document.number for document, _ in pairs] == list(range(len(pairs)))
    done = [whole.done(place) for _, place in pairs]
    assert done == sorted(done)
    assert all(0 < bytes_read <= whole.size for bytes_read in done)
    for index, (_, place) in enumerate(pairs, 1):
        stored = json.dumps([place.plain(), kept[index].plain()])
        there, skipped = json.loads(stored)
        again = Corpus(files, selection, Skips.of(skipped))
        assert list(again.documents(Place.of(there))) == pairs[index:]
        assert again.skipped == whole.skipped
    return len(pairs)


class TestWhatAFileIs:
    @pytest.mark.parametrize(
        ("name", "content", "compressed", "said"),
        [
            ("a.txt", b"", False, "a.txt is empty"),
            ("a.txt.gz", b"", True, "a.txt.gz is empty"),
            ("a.parquet", b"One.\n", False, "a.parquet is text, not Parquet"),
            ("a.parquet.gz", b"One.\n", True, "a.parquet.gz is text, not Parquet"),
            ("a.csv", as_parquet(ROWS), False, "a.csv is Parquet, not CSV"),
            ("a.txt.gz", b"One.\n", False, "a.txt.gz is text, not gzip"),
            ("a.gz", b"PK\x03\x04...", False, "a.gz is a ZIP archive, not gzip"),
            ("a.csv", b"\x89PNG\r\n\x1a\n\0", False, "a.csv is a PNG image, not CSV"),
            ("a.csv", b"PK\x03\x04...", False, "a.csv is a ZIP archive, not CSV"),
            ("a.csv.gz", b"%PDF-1.7 ...", True, "a.csv.gz is a PDF document, not CSV"),
            ("a.txt", b"%PDF-1.7 ...", False, "a.txt is a PDF document, not plain text"),
            ("a", b"One\0two\n", False, "a is a binary file, not a corpus"),
            (
                "a.txt",
                "One.\n".encode("utf-16-le"),
                False,
                "a.txt is a binary file, not plain text",
            ),
            ("a.txt", "\ufeffOne.".encode("utf-32-le"), False, "a.txt is a binary file, not plain"),
            ("a.json", b'[{"text": "One."}]', False, "a.json is a JSON array, not JSON Lines"),
            ("a.txt", b"\n \n", False, "a.txt has no rows; line 1 is skipped (blank line)"),
            ("a.csv", b"text,domain\n", False, "a.csv has no rows"),
            ("a.csv", b"\n\n", False, "a.csv has no rows"),
            ("a.csv", b"text,text\na,b\n", False, "a.csv has two columns «text»"),
            ("a.csv", b"id,n\n1,2\n", False, "a.csv has no column with text"),
            ("a.csv", b'"text,n\n1,2\n', False, "a.csv has no readable header: quote is never"),
            (
                "a.jsonl",
                b"text\nOne.\n",
                False,
                "a.jsonl has no rows; line 1 is skipped (not JSON)",
            ),
            ("a.jsonl", b'{"n": 1}\n', False, "a.jsonl has no column with text"),
            ("a.parquet", b"PAR1 and no more", False, "a.parquet is damaged Parquet"),
            ("a.txt", "Ä\nÖ\nC\n".encode("latin-1"), False, "a.txt does not look like UTF-8"),
        ],
    )
    def test_what_is_no_corpus_is_said_in_one_line(
        self, tmp_path: Path, name: str, content: bytes, compressed: bool, said: str
    ) -> None:
        path = written(tmp_path / name, content, compressed)
        with pytest.raises(SourceError) as caught:
            describe(path)
        assert str(caught.value).startswith(said)
        assert "\n" not in str(caught.value)

    def test_folders_and_missing_files(self, tmp_path: Path) -> None:
        (tmp_path / "folder.csv").mkdir()
        with pytest.raises(SourceError, match=r"^folder\.csv is a folder"):
            describe(tmp_path / "folder.csv")
        with pytest.raises(SourceError, match=r"^none\.csv does not exist$"):
            Corpus([tmp_path / "none.csv"], Selection("text"))
        with pytest.raises(SourceError, match=r"^none\.csv does not exist$"):
            digest([tmp_path / "none.csv"])

    @pytest.mark.parametrize("name", FORMATS)
    def test_a_cut_gzip_file_is_damaged(self, tmp_path: Path, name: str) -> None:
        path = written(tmp_path / f"a.{name}.gz", FORMATS[name](ROWS * 9000), compressed=True)
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(SourceError, match=r"gz is damaged: its gzip data cannot be unpacked$"):
            read(corpus_of(path, "domain"))

    def test_a_cut_parquet_file_is_damaged(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.parquet", as_parquet(ROWS))
        data = bytearray(path.read_bytes())
        data[4:60] = b"\xff" * 56
        path.write_bytes(data)
        with pytest.raises(SourceError, match=r"^a\.parquet is damaged Parquet$"):
            read(corpus_of(path, "domain"))

    @pytest.mark.parametrize(
        ("name", "content", "format_", "encoding"),
        [
            ("a", b"One.\n", "text", "UTF-8"),
            ("a.log", b"\xef\xbb\xbfOne.\n", "text", "UTF-8 with BOM"),
            ("a", '{"text": "One."}\n'.encode("utf-16"), "jsonl", "UTF-16 with BOM"),
            ("a.txt", b'{"text": "One."}\n', "text", "UTF-8"),
            ("A.CSV", as_csv(ROWS), "csv", "UTF-8"),
            ("a", as_parquet(ROWS), "parquet", ""),
        ],
    )
    @pytest.mark.parametrize("compressed", [False, True])
    def test_content_first_then_the_name(
        self,
        tmp_path: Path,
        name: str,
        content: bytes,
        format_: str,
        encoding: str,
        compressed: bool,
    ) -> None:
        path = written(tmp_path / name, content, compressed)
        found = describe(path)
        assert (found.format, found.encoding, found.compressed) == (format_, encoding, compressed)
        assert found.size == path.stat().st_size

    @pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
    def test_the_delimiter_is_found(self, delimiter: str) -> None:
        rows = [("a, b; c | d", "x"), ("e; f, g, h", "y"), ('"i', "z;")]
        assert sniffed(as_csv(rows, delimiter).decode()) == delimiter
        plain = "\n".join(delimiter.join(row) for row in [("id", "text"), ("1", "a"), ("2", "b")])
        assert sniffed(plain) == delimiter


class TestDescribe:
    def test_columns_are_guessed(self, tmp_path: Path) -> None:
        rows = [
            {
                "id": f"id-{i}",
                "Review": f"Short {i}.",
                "summary": f"A much longer text than the review, number {i}.",
                "Language": "en",
                "stars": i % 5,
                "good": i % 2 == 0,
                "score": (i % 2) / 2,
                "always": "same",
                "tags": ["a", "b"],
            }
            for i in range(120)
        ]
        path = written(tmp_path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        found = describe(path)
        assert found.columns == tuple(rows[0])
        assert found.text == "Review"
        assert found.labels == ("Language", "stars", "good")
        assert Selection.guess(found) == Selection("Review", ("Language", "stars", "good"))
        assert len(found.preview) == 10
        assert found.preview[1]["Review"] == "Short 1."
        assert found.preview[1]["good"] == "False"

    def test_without_a_usual_name_the_longest_strings_are_the_text(self, tmp_path: Path) -> None:
        rows = "".join(f"{10**30 + i},a {i},a longer {i}\n" for i in range(9))
        found = describe(written(tmp_path / "a.csv", "number,short,long\n" + rows))
        assert found.text == "long"

    @pytest.mark.parametrize(
        ("distinct", "rows", "is_label"),
        [(1, 200, False), (2, 4, True), (2, 3, False), (50, 200, True), (51, 200, False)],
    )
    def test_few_distinct_values_are_a_label(
        self, tmp_path: Path, distinct: int, rows: int, is_label: bool
    ) -> None:
        lines = "".join(f"Text {i}.;v{i % distinct}\n" for i in range(rows))
        found = describe(written(tmp_path / "a.csv", "text;kind\n" + lines))
        assert found.labels == (("kind",) if is_label else ())

    def test_plain_text_has_one_column_and_values_are_cut(self, tmp_path: Path) -> None:
        found = describe(written(tmp_path / "a.txt", "x" * 300 + "\nTwo.\n"))
        assert (found.columns, found.text, found.labels) == (("text",), "text", ())
        assert found.preview == ({"text": "x" * 200}, {"text": "Two."})

    def test_blank_column_names_get_a_number(self, tmp_path: Path) -> None:
        found = describe(written(tmp_path / "a.csv", ",text\n0,One.\n"))
        assert found.columns == ("column 1", "text")

    def test_columns_no_output_can_hold_are_left_out(self, tmp_path: Path) -> None:
        found = describe(written(tmp_path / "a.jsonl", '{"text": "\\ud800 a", "\\ud800": 1}\n'))
        assert found.columns == ("text",)
        assert found.preview == ({"text": "? a"},)


class TestSkips:
    def test_json(self, tmp_path: Path) -> None:
        lines = [
            b'{"text": "One."}',
            b"",
            b"{",
            b'["text"]',
            b'{"other": 1}',
            b'{"text": null}',
            b'{"text": 7}',
            b'{"text": " \\n"}',
            b'{"text": "\\ud800"}',
            b'{"text": "\xff"}',
            b"[" * 100_000,
            b'{"text": ' + b"1" * 5000 + b"}",
            b'{"text": "' + b"a" * MOST_LINE_BYTES + b'"}',
            b'{"text": "Two."}',
        ]
        corpus = corpus_of(written(tmp_path / "a.jsonl", b"\r\n".join(lines)))
        assert texts(corpus) == ["One.", "Two."]
        assert skips(corpus) == {
            "blank line": [2],
            "not JSON": [3, 11, 12],
            "not a JSON object": [4],
            "text is missing": [5],
            "text is null": [6],
            "text is not a string": [7],
            "text is blank": [8],
            "lone surrogate": [9],
            "not UTF-8": [10],
            "longer than 4 MB": [13],
        }

    def test_csv(self, tmp_path: Path) -> None:
        content = (
            b"text,domain\r\n"  # 1
            b'"One,\nand two.",news\r\n'
            b"\r\n"  # 4
            b"a\r\n"
            b"a,b,c\r\n"
            b" ,law\r\n"
            b"\xff,law\r\n"  # 8
            b'"three \xff\nfour",law\r\n'
            b"a\rb,law\r\n"  # 11
            b'"five\n' + b"a" * (MOST_LINE_BYTES + 1) + b"\r\n"  # 12
            b'"Si""x.","la""w"\r\n'
            b'"never closed,law\r\n'  # 15
            b"Seven.,law\r\n"
        )
        corpus = corpus_of(written(tmp_path / "a.csv", content), "domain")
        assert [(one.text, one.labels["domain"]) for one in read(corpus)] == [
            ("One,\nand two.", "news"),
            ('Si"x.', 'la"w'),
            ("Seven.", "law"),
        ]
        assert skips(corpus) == {
            "blank line": [4],
            "fewer cells than the header": [5],
            "more cells than the header": [6],
            "text is blank": [7],
            "not UTF-8": [8, 9],
            "not valid CSV": [11],
            "longer than 4 MB": [12, 13],
            "quote is never closed": [15],
        }

    def test_an_open_quote_swallows_only_its_line(self, tmp_path: Path) -> None:
        rows = "".join(f"Text {i}.,law\n" for i in range(120_000))
        corpus = corpus_of(written(tmp_path / "a.csv", f'text,domain\n"open,law\n{rows}'), "domain")
        assert sum(1 for _ in corpus.documents()) == 120_000
        assert skips(corpus) == {"longer than 4 MB": [2]}

    def test_empty_lines_in_a_quote_take_no_memory(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.csv", 'text,domain\n"open' + "\n" * 200_000 + "Two.,law\n")
        corpus = corpus_of(path, "domain")
        tracemalloc.start()
        assert texts(corpus) == ["Two."]
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < 25 * MEGABYTE
        assert corpus.skipped.counts == {"longer than 4 MB": 1, "blank line": 199_999}
        assert len(corpus.skipped.examples["blank line"]) == 20

    def test_quotes_that_open_on_every_line_take_no_longer(self, tmp_path: Path) -> None:
        # Read to the end from each of these lines, the file would take hours.
        path = written(tmp_path / "a.csv", "text,domain\n" + 'x","y\n' * 120_000 + "Two.,law\n")
        corpus = corpus_of(path)
        assert texts(corpus) == ["Two."]
        assert corpus.skipped.total == 120_000

    def test_parquet(self, tmp_path: Path) -> None:
        values = [b"One.", None, b" ", b"\xff", b"a" * (MOST_LINE_BYTES + 1), b"Two."]
        broken = pa.array(values, pa.binary())
        for name, column in {
            "string": pa.StringArray.from_buffers(
                len(broken), *broken.buffers()[1:], broken.buffers()[0]
            ),
            "binary": broken,
        }.items():
            pq.write_table(pa.table({"text": column}), tmp_path / f"{name}.parquet")
            corpus = corpus_of(tmp_path / f"{name}.parquet")
            assert texts(corpus) == ["One.", "Two."]
            assert skips(corpus) == {
                "text is null": [2],
                "text is blank": [3],
                "not UTF-8": [4],
                "longer than 4 MB": [5],
            }
        pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "numbers.parquet")
        corpus = corpus_of(tmp_path / "numbers.parquet")
        assert texts(corpus) == []
        assert skips(corpus) == {"text is not a string": [1, 2]}

    def test_a_few_broken_lines_of_plain_text(self, tmp_path: Path) -> None:
        corpus = corpus_of(written(tmp_path / "a.txt", b"One.\n\xff\n\nTwo.\r\n"))
        assert texts(corpus) == ["One.", "Two."]
        assert skips(corpus) == {"not UTF-8": [2], "blank line": [3]}
        corpus = corpus_of(written(tmp_path / "b.txt", b"\xff\xfeO\0n\0e\0\n\0\0\xd8\n\0T\0"))
        assert texts(corpus) == ["One", "T"]
        assert skips(corpus) == {"not UTF-16": [2]}

    def test_a_line_of_just_the_limit_is_read(self, tmp_path: Path) -> None:
        content = b"a" * MOST_LINE_BYTES + b"\n" + b"b" * (MOST_LINE_BYTES + 1) + b"\n\nc"
        corpus = corpus_of(written(tmp_path / "a.txt", content))
        assert [len(text) for text in texts(corpus)] == [MOST_LINE_BYTES, 1]
        assert skips(corpus) == {"longer than 4 MB": [2], "blank line": [3]}

    def test_examples_are_the_first_and_name_their_file(self, tmp_path: Path) -> None:
        first = written(tmp_path / "a.txt", "\n" * 15 + "One.\n")
        second = written(tmp_path / "b.txt", "Two.\n" + "\n" * 15)
        corpus = Corpus([first, second], Selection("text"))
        assert texts(corpus) == ["One.", "Two."]
        assert corpus.skipped.counts == {"blank line": 30}
        examples = corpus.skipped.examples["blank line"]
        assert examples == [("a.txt", i) for i in range(1, 16)] + [
            ("b.txt", i) for i in range(2, 7)
        ]

    def test_nothing_is_counted_twice(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.txt", "One.\n\nTwo.\n\n")
        corpus = corpus_of(path)
        (_, place), *_ = corpus.documents()
        stored = json.loads(json.dumps(corpus.skipped.plain()))
        again = Corpus([path], Selection("text"), Skips.of(stored))
        assert texts(again, place) == ["Two."]
        assert texts(again) == ["One.", "Two."]
        assert skips(again) == {"blank line": [2, 4]}

    def test_who_takes_documents_may_skip_them_too(self, tmp_path: Path) -> None:
        corpus = corpus_of(written(tmp_path / "a.csv", 'text,n\n"One\nand",1\nTwo,2\n\n'))
        for document, place in corpus.documents():
            if document.number == 0:
                before = corpus.skipped.copy()
                corpus.skip("too odd", place)
                assert before.total == 0
        assert skips(corpus) == {"too odd": [2], "blank line": [5]}


class TestCorpus:
    @pytest.mark.parametrize("name", FORMATS)
    def test_all_files_need_the_columns(self, tmp_path: Path, name: str) -> None:
        path = written(tmp_path / f"a.{name}", FORMATS[name](ROWS))
        plain = written(tmp_path / "b.txt", as_text(ROWS))
        with pytest.raises(SourceError, match=r"^b\.txt has no column «domain»$"):
            Corpus([path, plain], Selection("text", ("domain",)))
        with pytest.raises(SourceError, match=rf"^a\.{name} has no column «body»$"):
            Corpus([path], Selection("body"))

    def test_labels_are_short_strings(self, tmp_path: Path) -> None:
        values: list[Any] = [" a ", None, True, 3, 2.5, "x" * 101, float("nan"), ["a"], "\ud800"]
        lines = [json.dumps({"text": "One.", "n": value}) for value in values]
        path = written(tmp_path / "a.jsonl", "\n".join([*lines, '{"text": "Two."}']))
        found = [document.labels["n"] for document in read(corpus_of(path, "n"))]
        assert found == ["a", "", "True", "3", "2.5", "x" * 100, "", "", "?", ""]

    def test_parquet_of_other_types(self, tmp_path: Path) -> None:
        table = pa.table(
            {
                "text": pa.array(["One.", "Two.", "One."]).dictionary_encode(),
                "day": pa.array([0, None, 10**7], pa.int32()).cast(pa.date32()),
            }
        )
        pq.write_table(table, tmp_path / "a.parquet")
        corpus = corpus_of(tmp_path / "a.parquet", "day")
        found = [(document.text, document.labels["day"]) for document in read(corpus)]
        # Python knows no date after the year 9999.
        assert found == [("One.", "1970-01-01"), ("Two.", ""), ("One.", "")]

    @pytest.mark.parametrize("compressed", [False, True])
    @pytest.mark.parametrize("name", FORMATS)
    def test_at_the_end_all_bytes_are_read(
        self, tmp_path: Path, name: str, compressed: bool
    ) -> None:
        files = [
            written(tmp_path / f"{i}.{name}", FORMATS[name](ROWS), compressed) for i in range(2)
        ]
        corpus = Corpus(files, Selection("text"))
        places = [place for _, place in corpus.documents()]
        assert corpus.size == sum(path.stat().st_size for path in files)
        assert corpus.done(places[-1]) == corpus.size
        assert corpus.done(places[len(ROWS) - 1]) == files[0].stat().st_size
        assert list(corpus.documents(places[-1])) == []

    def test_row_groups_before_the_place_are_not_read(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.parquet", as_parquet(ROWS))
        places = [place for _, place in corpus_of(path).documents()]
        data = bytearray(path.read_bytes())
        first = pq.ParquetFile(path).metadata.row_group(0).column(0)
        data[4 : 4 + first.total_compressed_size] = b"\xff" * first.total_compressed_size
        path.write_bytes(data)
        corpus = corpus_of(path)
        assert texts(corpus, places[2]) == ["Five.", "Six."]
        with pytest.raises(SourceError, match="damaged"):
            texts(corpus)

    def test_the_digest_is_that_of_the_bytes(self, tmp_path: Path) -> None:
        first, second = b"a" * 3 * MEGABYTE, b"One.\n"
        files = [written(tmp_path / "a", first), written(tmp_path / "b", second)]
        assert digest(files) == hashlib.sha256(first + second).hexdigest()


LONG_LINES = {
    "text": ("a.txt.gz", b"One.\n", b"\nTwo.\n"),
    "jsonl": ("a.jsonl.gz", b'{"text": "One."}\n{"text": "', b'"}\n{"text": "Two."}\n'),
    "csv": ("a.csv.gz", b'text,n\nOne.,1\n"', b'",1\nTwo.,2\n'),
}


@pytest.mark.parametrize(
    ("kind", "megabytes"),
    [
        ("text", 1024),
        ("jsonl", 128),
        ("csv", 128),
        pytest.param("jsonl", 1024, marks=pytest.mark.slow),
        pytest.param("csv", 1024, marks=pytest.mark.slow),
    ],
)
def test_a_line_of_a_gigabyte_is_never_held(tmp_path: Path, kind: str, megabytes: int) -> None:
    name, before, after = LONG_LINES[kind]
    # What is gzipped in pieces is unpacked as one.
    piece = gzip.compress(b"a" * 64 * MEGABYTE, compresslevel=1)
    with (tmp_path / name).open("wb") as file:
        file.write(gzip.compress(before))
        for _ in range(megabytes // 64):
            file.write(piece)
        file.write(gzip.compress(after))
    tracemalloc.start()
    found = describe(tmp_path / name)
    corpus = Corpus([tmp_path / name], Selection.guess(found))
    assert texts(corpus) == ["One.", "Two."]
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 40 * MEGABYTE
    assert corpus.skipped.counts == {"longer than 4 MB": 1}
