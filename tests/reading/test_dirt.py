"""Rows that used to vanish, and formats people have: read right, or set aside with a reason, never lost."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile

import polars as pl
import pytest

from recsys_core.errors import ShopError
from recsys_core.reading.records import count_records, has_regular_quotes
from recsys_core.reading.tables import Declared, columns_of, read_column, read_head, read_table

TABLE = "id,title,price\n01,Mug,1.5\n02,Café,2\n"
ROWS = [("01", "Mug", "1.5"), ("02", "Café", "2")]


def read(tmp_path, data, name="x.csv", **declared):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    found = read_table(path, name, Declared(**declared))
    assert found.balances
    return found


@pytest.mark.parametrize(("body", "titles", "rejects"), [
    ('1,0" pipe\n2,1" pipe\n3,plain\n', ['0" pipe', '1" pipe', "plain"], 0),
    ('1,15" screen\n2,x\n3,y\n4,z\n', ['15" screen', "x", "y", "z"], 0),
    ('1,"5" pipe"\n2,x\n3,"6" pipe"\n', ['5" pipe', "x", '6" pipe'], 0),
    ('1,"5 pipe\n2,x\n3,6 pipe"\n4,y\n', ["x", '6 pipe"', "y"], 1),     # regular quotes around three rows
    ('1,"5 pipe\n2,x\n3,"6 pipe\n', ["x"], 2),
    ('1,"a\nb, c"\n2,x\n', ["a\nb, c", "x"], 0),                            # a text of two lines stays one
    ('1,"a\n\n\nb"\n2,6" x\n', ["a\n\n\nb", '6" x'], 0),
    ('1,"a\nb"\n2,"c\nd', ["a\nb"], 2), ('1,"7" pipe\n2,"x" y "z" w\n', ['"7" pipe', '"x" y "z" w'], 0),
    (r'1,"5\" pipe"' + "\n2,x\n", ['5" pipe', "x"], 0),
    (r'1,"5\" pipe, red"' + "\n2,x\n", ['5" pipe, red', "x"], 0),
    (r'1,"C:\dir\"' + "\n2,x\n", ["C:\\dir\\", "x"], 0),
    ('1,""\n2,""""\n3,"x ""y"""\n', [None, '"', 'x "y"'], 0),
])
def test_quotes(tmp_path, body, titles, rejects):
    found = read(tmp_path, "id,title\n" + body)
    assert found.rows["title"].to_list() == titles and found.rejects.height == rejects
    column = read_column(tmp_path / "x.csv", "title")
    assert column is None or column.to_list() == titles


def test_long_texts_of_many_lines_stay_one(tmp_path):
    text = "\n".join(f"line {n}, and more" for n in range(300))
    found = read(tmp_path, f'id,title\n1,"{text}"\n2,6" x\n')
    assert found.rows["title"].to_list() == [text, '6" x']


@pytest.mark.parametrize(("name", "data"), [
    ("x.csv", TABLE.replace(",", ";")), ("x.csv", TABLE.replace(",", "\t")), ("x.csv", TABLE.replace(",", "|")),
    ("x.txt", TABLE.replace(",", ";")), ("x.tsv", TABLE), ("x.CSV", TABLE), ("x.csv", "sep=;\n" + TABLE.replace(",", ";")),
    ("x.csv", TABLE.encode("utf-16")), ("x.csv", TABLE.replace(",", "\t").encode("utf-16")),
    ("x.csv", b"\xfe\xff" + TABLE.encode("utf-16-be")), ("x.csv", TABLE.encode("utf-16-le")),
    ("x.csv", TABLE.encode("utf-8-sig")), ("x.csv", TABLE.encode("cp1252")), ("x.csv", TABLE.replace("\n", "\r")),
    ("x.csv", TABLE.replace("\n", "\r\n")), ("x.csv", "\n\n" + TABLE), ("x.csv", gzip.compress(TABLE.encode(), mtime=0)),
    ("x.csv.gz", TABLE), ("x.csv", bz2.compress(TABLE.encode())), ("x.csv.xz", lzma.compress(TABLE.encode())),
    ("x.jsonl", TABLE), ("x.csv", TABLE.replace("\n", ",\n")), ("x.csv", TABLE.replace("\n", ",\n").replace(",\n", "\n", 1)),
    ("x.csv", ",".join(["", TABLE.replace("\n", "\n9,")])[:-2]),
])
def test_spellings_of_one_table(tmp_path, name, data):
    found = read(tmp_path, data, name)
    assert found.rows.columns == ["id", "title", "price"] and found.rows.rows() == ROWS
    assert columns_of(tmp_path / name) == ["id", "title", "price"]
    assert read_head(tmp_path / name).rows() == ROWS


def test_a_separator_that_splits_more_wins_where_every_row_agrees(tmp_path):
    found = read(tmp_path, "id;title;note, long\n1;a, b;x\n2;c, d;y\n")
    assert found.rows.columns == ["id", "title", "note, long"] and found.rows["title"].to_list() == ["a, b", "c, d"]
    assert read(tmp_path, "id,tags\n1,a;b;c\n2,d\n").rows["tags"].to_list() == ["a;b;c", "d"]


def test_archives(tmp_path):
    def pack(**files):
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w") as archive:
            for name, text in files.items():
                archive.writestr(name.replace("0", "/"), text)
        return target.getvalue()

    assert read(tmp_path, pack(a=TABLE, __MACOSX0a="x"), "x.csv.zip").rows.rows() == ROWS
    for files, words in (({"a": TABLE, "b": TABLE}, "archive of 2 files"), ({"xl0workbook": "x"}, "Excel"), ({}, "empty zip")):
        with pytest.raises(ShopError, match=words):
            read(tmp_path, pack(**files), "x.zip")


def test_parquet_under_another_name(tmp_path):
    target = io.BytesIO()
    pl.DataFrame({"id": [1]}).write_parquet(target)
    for name, data in (("x.csv", target.getvalue()), ("x.parquet.gz", gzip.compress(target.getvalue(), mtime=0))):
        assert read(tmp_path, data, name).rows.to_dicts() == [{"id": 1}]
        assert columns_of(tmp_path / name) == ["id"] and read_head(tmp_path / name).height == 1
    (tmp_path / "a [1]*?").mkdir()
    assert read(tmp_path, target.getvalue(), "a [1]*?/t [2].parquet").rows.height == 1


@pytest.mark.parametrize("data", [
    '[{"a": 1}, {"a": "x{}"}]', '[\n {"a": 1},\n {"a": "x{}"}\n]', '{\n "a": 1\n}\n{\n "a": "x{}"\n}\n',
    '{"a": 1}\n{"a": "x{}"}', '{"a": 1,\n "b": NaN}\n{"a": "x{}"}',
])
def test_json_texts(tmp_path, data):
    found = read(tmp_path, data, "x.json")
    assert found.rows["a"].to_list() == ["1", "x{}"] and found.rejects.is_empty()


def test_json_that_is_no_row_is_set_aside(tmp_path):
    found = read(tmp_path, '[{"a": 1}, 7, {"a": "\\ud83d"}, {"a": NaN}]', "x.json")
    assert found.rows["a"].to_list() == ["1", None]
    assert found.rejects["reason"].to_list() == ["not a JSON object", "not UTF-8: half a surrogate pair"]


@pytest.mark.parametrize(("data", "declared", "words"), [
    ("id,title\n1,Crème\n2,Brûlée\n".encode("cp1252"), {}, ["not UTF-8: 2 of 4 lines", "`encoding`", "Crème"]),
    ("id,title\n1,Чай\n2,Кофе\n".encode("cp1251"), {}, ["not UTF-8", "`encoding`"]),
    (b"id,title\n1,\xe9\n", {"encoding": "ascii"}, ["is not ascii", "`encoding`"]),
    (b"\xd0\xcf\x11\xe0rest", {}, ["old Excel workbook"]), (b"<html><body>", {}, ["HTML page"]),
])
def test_refused_in_one_sentence(tmp_path, data, declared, words):
    with pytest.raises(ShopError) as error:
        read(tmp_path, data, **declared)
    for word in words:
        assert word in str(error.value)


def test_declared_encoding_and_delimiter(tmp_path):
    found = read(tmp_path, "id^title\n1^Чай\n".encode("cp1251"), encoding="cp1251", delimiter="^")
    assert found.rows.rows() == [("1", "Чай")]


def test_a_damaged_line_among_good_ones_is_set_aside(tmp_path):
    found = read(tmp_path, "id,title\n1,Café\n".encode() + b"2,Caf\xe9\n3,x\n")
    assert found.rows["title"].to_list() == ["Café", "x"] and found.rejects["line"].to_list() == [3]


@pytest.mark.parametrize(("body", "records", "regular"), [
    (b"", 0, True), (b"\n \n1,a\n", 1, True), (b'1,"a\nb"\n2,c', 2, True), (b'1,a"b\n', None, False),
    (b'1,"a""b"\n', 1, True), (b'"x","y"\n', 1, True), (b'1,"a"b"\n2,"c"\n', None, False),
])
def test_the_count_needs_no_parser(body, records, regular):
    assert has_regular_quotes(body, ",", '"') == regular
    assert records is None or count_records(body, '"') == records
