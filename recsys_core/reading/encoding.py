"""From bytes to UTF-8: byte order marks, UTF-16, old Mac line ends, and Western one-byte text where that is certain."""

from __future__ import annotations

import codecs
import logging
import re
from pathlib import Path

from recsys_core.errors import ShopError

log = logging.getLogger(__name__)

BOM = codecs.BOM_UTF8
BLOCK = 16 << 20
WIDE = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"))
HIGH = re.compile(rb"[\x80-\xff]+")
# Characters that cp1252, Latin-1, cp1250 and cp1254 write with the same byte: whichever it was, the text is this one.
SHARED_LETTERS = frozenset("ÁÂÄÇÉËÍÎÓÔÖÚÜßáâäçéëíîóôöúü".encode("cp1252"))
SHARED_SIGNS = frozenset("€„…‘’“”•–—™©®°±·§«» ´¨¤".encode("cp1252"))
# What random damage leaves; as letters of a Western text they are rarer than the damage.
UNLIKELY = frozenset("ÿþÿÞ×÷ð¬".encode("cp1252"))
FEW_LINES = 0.01  # so many lines of uncertain bytes are damage, not another encoding


def to_utf8(data: bytes, path: Path, encoding: str | None = None) -> bytes:
    """The bytes of a text file as UTF-8 without a byte order mark, lines ended by line feeds.

    Lines that are not UTF-8 among others that are stay as they are; the readers set them aside.

    Args:
        data: the text as delivered.
        path: the file, for errors.
        encoding: what the shop declares, if it does.

    Raises:
        ShopError: the text is in another encoding and which is not certain, or the declared one does not fit.
    """
    data = _declared(data, path, encoding) if encoding else _detected(data.removeprefix(BOM), path)
    first, line_end = data.find(b"\r"), data.find(b"\n")
    if 0 <= first < len(data) - 1 and data[first + 1:first + 2] != b"\n" and (line_end < 0 or first < line_end):
        log.info("%s: lines end with carriage returns", path)
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data


def _declared(data: bytes, path: Path, encoding: str) -> bytes:
    if codecs.lookup(encoding).name in ("utf-8", "utf-8-sig"):
        return data.removeprefix(BOM)
    try:
        return data.decode(encoding).removeprefix("\ufeff").encode()
    except (UnicodeError, ValueError) as error:
        raise ShopError(str(path), f"is not {encoding} ({' '.join(str(error).split())[:120]})",
                        "correct `encoding` in shop.yaml, or save the file as UTF-8") from None


def _detected(data: bytes, path: Path) -> bytes:
    wide = next((name for mark, name in WIDE if data.startswith(mark)), None) or _bare_wide(data[:4096])
    if wide:
        try:
            text = data.decode(wide).removeprefix("\ufeff").encode()
        except UnicodeError:
            return _one_byte(data, path)
        log.info("%s: read as %s", path, wide.upper())
        return text
    if data.isascii() or _is_utf8(data):
        return data
    return _one_byte(data, path)


def _bare_wide(head: bytes) -> str | None:
    """UTF-16 without a mark: in Western text every other byte is zero."""
    if len(head) < 8 or head.count(0) < len(head) * 0.4:
        return None
    even, odd = head[::2].count(0), head[1::2].count(0)
    return "utf-16-le" if odd > 9 * even else "utf-16-be" if even > 9 * odd else None


def _is_utf8(data: bytes) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    view = memoryview(data)
    try:
        for at in range(0, len(data), BLOCK):
            decoder.decode(view[at:at + BLOCK])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _one_byte(data: bytes, path: Path) -> bytes:
    """Text whose every line beyond ASCII is not UTF-8, from cp1252 where every reading of it is the same."""
    lines = data.split(b"\n")
    foreign = [line for line in lines if not line.isascii()]
    broken = [line for line in foreign if not _is_utf8(line)]
    if len(broken) < len(foreign) or b"\0" in data:
        return data  # an UTF-8 file with damaged lines
    runs = [(line, found) for line in broken for found in HIGH.finditer(line)]
    if all(len(found[0]) < 3 for _, found in runs) and any(set(found[0]) <= UNLIKELY for _, found in runs):
        return data
    if all(_certain(line, found) for line, found in runs):
        log.info("%s: read as cp1252, every byte of it is the same letter in Western encodings", path)
        return data.decode("cp1252").encode()
    if len(broken) < 2 or len(broken) <= FEW_LINES * len(lines):
        return data
    line, found = next((line, found) for line, found in runs if not _certain(line, found))
    excerpt = line[max(0, found.start() - 12):found.end() + 12]
    raise ShopError(str(path), f"is not UTF-8: {len(broken)} of {len(lines)} lines hold other bytes, such as "
                    f"0x{found[0].hex()} in {excerpt!r} ({excerpt.decode('cp1252', 'replace').strip()!r} if it is cp1252)",
                    "name the `encoding` in shop.yaml (cp1252, cp1251, shift_jis, …), or save the file as UTF-8")


def _certain(line: bytes, found: re.Match[bytes]) -> bool:
    """A run of bytes is signs, or one or two letters inside a word of ASCII letters."""
    letters = bytes(byte for byte in found[0] if byte not in SHARED_SIGNS)
    if not letters:
        return True
    if len(letters) > 2 or not set(letters) <= SHARED_LETTERS:
        return False
    around = line[max(0, found.start() - 1):found.start()] + line[found.end():found.end() + 1]
    return any(chr(byte).isalpha() for byte in around if byte < 128)
