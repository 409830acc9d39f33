"""Broken lines are set aside one by one; everything else is read as it was supplied."""

from __future__ import annotations

import gzip

import polars as pl
import pytest

from recsys_core.errors import ShopError
from recsys_core.reading import jsons, tables
from recsys_core.reading.rejects import KEPT_TEXT, REJECTS
from recsys_core.reading.tables import columns_of, read_column, read_head, read_table


def read(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    found = read_table(tmp_path / name, name)
    assert found.balances
    return found.rows, found.rejects


@pytest.mark.parametrize(("body", "rows", "rejects"), [
    (b"007,x,1.50\n 8,,\n", [("007", "x", "1.50"), (" 8", None, None)], []),
    (b"1,2,3\r\n4,5,6", [("1", "2", "3"), ("4", "5", "6")], []),
    (b'1,"a\nb, ""c""",3\n', [("1", 'a\nb, "c"', "3")], []),
    (b"1,2,3\n4,5\n6,7,\n", [("1", "2", "3"), ("6", "7", None)], [(3, "2 fields instead of 3")]),
    (b"1,2,3,4\n5,6,7\n", [("5", "6", "7")], [(2, "4 fields instead of 3")]),
    (b'1,"2,3\n4,5,6\n7,8,9\n', [("4", "5", "6"), ("7", "8", "9")], [(2, "unbalanced quotes")]),
    (b"1,\xff,3\n4,5,6\n", [("4", "5", "6")], [(2, "not UTF-8: byte 0xff")]),
    (b"1,\x00,3\n4,5,6\n", [("4", "5", "6")], [(2, "NUL byte")]),
    (b"\n1,2,3\n\n", [("1", "2", "3")], []),
    (b'1,"x\ny",3\n4,\xfe,6\n"7","8\n\n8",9\n', [("1", "x\ny", "3"), ("7", "8\n\n8", "9")],
     [(4, "not UTF-8: byte 0xfe")]),
    (b"\xef\xbb\xbf1,\xe2\x80\xa8x,3\n4,5\n", [("1", "\u2028x", "3")], [(3, "2 fields instead of 3")]),
])
def test_csv(tmp_path, body, rows, rejects):
    frame, rejected = read(tmp_path, "x.csv", b"\xef\xbb\xbfa,b,c\n" + body)
    assert frame.columns == ["a", "b", "c"] and set(frame.dtypes) <= {pl.String}
    assert frame.rows() == rows
    assert rejected.select("line", "reason").rows() == rejects
    assert rejected.schema == REJECTS and set(rejected["source"]) <= {"x.csv"}


def test_json_lines(tmp_path):
    lines = [b'\xef\xbb\xbf{"id": 17850.0, "n": 5}', b'{"id": "007", "tags": ["a", "b"], "ok": true}', b"",
             b'{"id": ', b"\xff{}", b'{"id": "\x00"}', b"[1]", b'{"id": "\\ud83d"}', b'{"id": "a\\u0000"}',
             b'{"id": "\\ud83d\\ude00", "n": 1e3}']
    frame, rejects = read(tmp_path, "x.jsonl", b"\n".join(lines))
    assert frame["id"].to_list() == ["17850.0", "007", "😀"]
    assert frame["n"].to_list() == ["5", None, "1e3"]
    assert frame["tags"].to_list() == [None, '["a", "b"]', None] and frame["ok"][1] == "true"
    assert rejects["line"].to_list() == [4, 5, 6, 7, 8, 9]
    reasons = ["broken JSON", "not UTF-8", "NUL byte", "not a JSON object", "half a surrogate",
               "NUL character"]
    for reason, expected in zip(rejects["reason"], reasons, strict=True):
        assert expected in reason
    assert rejects["text"][0] == '{"id": '


def test_json_blocks_join(tmp_path, monkeypatch):
    monkeypatch.setattr(jsons, "CHUNK", 2)
    frame, _ = read(tmp_path, "x.jsonl", b'{"a": 1}\n{"a": 2}\n{"b": 3}\n')
    assert frame.rows() == [("1", None), ("2", None), (None, "3")]


def test_rejected_text_is_cut(tmp_path):
    _, rejects = read(tmp_path, "x.jsonl", b"{" + b"x" * 10_000)
    assert len(rejects["text"][0]) == KEPT_TEXT


def test_gzip_and_typed_headers(tmp_path):
    frame, _ = read(tmp_path, "x.csv.gz", gzip.compress(b"a,b\n1,2\n", mtime=0))
    assert frame.rows() == [("1", "2")] and columns_of(tmp_path / "x.csv.gz") == ["a", "b"]
    frame, _ = read(tmp_path, "ml.item", b'item_id:token\tmovie_title:token_seq\n1\t"Toy" Story\n')
    assert frame.to_dicts() == [{"item_id": "1", "movie_title": '"Toy" Story'}]


@pytest.mark.parametrize(("name", "data", "words"), [
    ("x.csv", b"", "no readable header"),
    ("x.csv", b"a,b,a\n1,2,3\n", "'a' appears twice"),
    ("x.csv.gz", gzip.compress(b"a,b\n1,2\n", mtime=0)[:15], "cannot be read"),
    ("x.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 999, mtime=0)[:-20], "cannot be read"),
    ("x.parquet", b"PAR1 nonsense", "not a readable parquet"),
])
def test_unreadable_files(tmp_path, name, data, words):
    with pytest.raises(ShopError, match=words) as error:
        read(tmp_path, name, data)
    assert error.value.artefact == str(tmp_path / name)


def test_head_and_one_column(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "HEAD_BYTES", 10)
    (tmp_path / "x.csv").write_bytes(b"a,b\n1,2\n33,44\n")
    assert read_head(tmp_path / "x.csv").rows() == [("1", "2")]
    assert read_column(tmp_path / "x.csv", "b").to_list() == ["2", "44"]
    pl.DataFrame({"a": [1], "b": [2]}).write_parquet(tmp_path / "x.parquet")
    assert read_column(tmp_path / "x.parquet", "b").to_list() == [2]
    assert read_head(tmp_path / "x.parquet").height == 1
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n')
    assert read_column(tmp_path / "x.jsonl", "a") is None
