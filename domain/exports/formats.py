"""Rows as text, and text as gzip.

**CSV** is RFC 4180: UTF-8 without a mark, a header, lines that end with CR LF, and quotes round a text that holds a
comma, a quote, a line's end or a space at either end. A null is an empty cell, an empty text is `""`; where there is
one column alone a null is `""` too, since readers pass over empty lines. Decimals are exact and without exponent,
booleans `true` and `false`, days ISO 8601, instants ISO 8601 with their offset. Lists and objects are JSON.

A spreadsheet takes a cell that begins with `=`, `+`, `-`, `@`, a tab or a line's end for a formula (OWASP, CSV
injection; the full-width forms count as well). A *text* that does gets an apostrophe before it; so does one that has
apostrophes before such a sign already, so that taking one away always gives the text that was. A number is no text:
-5 stays -5, and no number can be a formula.

**NDJSON** is one JSON object a line, nested as GraphQL nests, with decimals as strings as GraphQL has them.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Protocol

import orjson

from domain.exports.columns import ABSENT, NO_OBJECT, Chosen, ColumnKind
from domain.uploads import check_format

COMPRESSION_LEVEL = 4
"""Half as small again as level 1, at a third of the time of level 6 and up."""
_NUMBERS = frozenset({ColumnKind.INT, ColumnKind.FLOAT, ColumnKind.DECIMAL})
_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_QUOTED = re.compile(r'[",\r\n]|\A\s|\s\Z')
_EXTENSIONS = {"csv": ("csv", "text/csv; charset=utf-8"), "ndjson": ("ndjson", "application/x-ndjson")}


def extension_of(format_name: str) -> str:
    """What a file's name ends with."""
    return _EXTENSIONS[format_name][0]


def media_type_of(format_name: str) -> str:
    """What a file is, to HTTP."""
    return _EXTENSIONS[format_name][1]


def decimal_text(value: Decimal | int) -> str:
    """A number, exact, without exponent or trailing zeros."""
    if isinstance(value, int):
        # Formatted as a decimal it would go through a float.
        return str(value)
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def guarded(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def unguarded(text: str) -> str:
    """The text that was guarded."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


class Writer(Protocol):
    """Writes rows in a format."""

    def head(self) -> bytes:
        """What comes before the first row."""

    def rows(self, rows: Sequence[Sequence[Any]]) -> bytes:
        """Some rows: values in the order of the columns."""


def writer_of(format_name: str, chosen: Chosen[Any], *, guard: bool = True) -> Writer:
    """What writes rows in a format.

    Args:
        format_name: `csv` or `ndjson`.
        chosen: The columns.
        guard: Whether texts in CSV are kept from being formulas.

    Raises:
        Invalid: there is no such format.
    """
    check_format(format_name)
    return CsvWriter(chosen, guard=guard) if format_name == "csv" else NdjsonWriter(chosen)


class CsvWriter:
    """Rows as CSV.

    Args:
        chosen: The columns.
        guard: Whether texts are kept from being formulas.
    """

    def __init__(self, chosen: Chosen[Any], *, guard: bool = True) -> None:
        self._names = chosen.names
        self._numeric = [column.kind in _NUMBERS for column in chosen.columns]
        self._guard = guard
        self._null = '""' if len(self._names) == 1 else ""

    def head(self) -> bytes:
        """The header."""
        return (",".join(map(_quoted, self._names)) + "\r\n").encode()

    def rows(self, rows: Sequence[Sequence[Any]]) -> bytes:
        """Some rows."""
        return "".join(",".join(map(self._cell, row, self._numeric)) + "\r\n" for row in rows).encode()

    def _cell(self, value: Any, numeric: bool) -> str:
        if value is None or value is ABSENT or value is NO_OBJECT:
            return self._null
        if isinstance(value, str):
            return _quoted(guarded(value) if self._guard else value)
        if isinstance(value, bool):
            return "true" if value else "false"
        if numeric:
            return repr(value) if isinstance(value, float) else decimal_text(value)
        if isinstance(value, date):
            return value.isoformat()
        text = orjson.dumps(value, default=_plain).decode()
        return _quoted(guarded(text) if self._guard else text)


def _quoted(text: str) -> str:
    if text and not _QUOTED.search(text):
        return text
    return '"' + text.replace('"', '""') + '"'


class NdjsonWriter:
    """Rows as newline-delimited JSON.

    Args:
        chosen: The columns.
    """

    def __init__(self, chosen: Chosen[Any]) -> None:
        self._paths = [tuple(name.split(".")) for name in chosen.names]

    def head(self) -> bytes:
        """Nothing: each row names its fields."""
        return b""

    def rows(self, rows: Sequence[Sequence[Any]]) -> bytes:
        """Some rows."""
        return b"".join(orjson.dumps(self.nested(row), default=_plain) + b"\n" for row in rows)

    def nested(self, row: Sequence[Any]) -> dict[str, Any]:
        """A row as an object."""
        found: dict[str, Any] = {}
        for path, value in zip(self._paths, row, strict=True):
            if value is ABSENT:
                continue
            if value is NO_OBJECT:
                path, value = path[:-1], None
            place = found
            for step in path[:-1]:
                place = place.setdefault(step, {})
            place[path[-1]] = value
        return found


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, frozenset | set):
        return sorted(value)
    # What orjson does not know and we have none of, told rather than guessed.
    raise TypeError(f"{type(value).__name__} has no form in JSON here")


class GzipParts:
    """One gzip member (RFC 1952) made in parts that need not be made by one process.

    Each part is a run of deflate blocks of its own, which refers to nothing before it and ends at a byte; what goes
    from part to part is a checksum and a length. Put one after the other, with `end()` at the end, they are one member.

    Args:
        checksum: The CRC-32 of what came before.
        length: Its length in bytes.
    """

    def __init__(self, checksum: int = 0, length: int = 0) -> None:
        self.checksum = checksum
        self.length = length

    def add(self, data: bytes) -> bytes:
        """A part."""
        head = b"" if self.length else b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
        if not data:
            return b""
        packer = zlib.compressobj(COMPRESSION_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        self.checksum = zlib.crc32(data, self.checksum)
        self.length += len(data)
        return head + packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        """What comes after the last part: an empty last block, the checksum and the length."""
        head = b"" if self.length else b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
        return head + b"\x03\x00" + struct.pack("<II", self.checksum, self.length % 2**32)
