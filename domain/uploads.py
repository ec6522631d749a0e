"""Files as streams of records: gunzipped, cut into NDJSON lines or CSV rows, decoded; never held whole in memory."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import orjson

from domain.errors import Invalid
from domain.records import AnyRecord, RecordRefused, TombstoneRecord, decode_json, decode_mapping

LINE_LIMIT_BYTES = 4 * 2**20
"""A longer line is no record; it is refused with its beginning, and never held whole."""
UNPACKED_LIMIT_BYTES = 16 * 2**30
UNPACKED_RATIO_LIMIT = 1_000
"""A gzip stream that unpacks to more than this many times its size is a bomb, not a file of records."""
UNPACKED_RATIO_GRACE_BYTES = 64 * 2**20
PIECE_BYTES = 2**20
RAW_LIMIT = 65_536
"""So much of a refused record is kept."""

# A cell may hold an email's whole body.
csv.field_size_limit(LINE_LIMIT_BYTES)

GZIP_MAGIC = b"\x1f\x8b"
FORMATS = ("ndjson", "csv")


@dataclass(frozen=True, slots=True)
class Entry:
    """A record of a file, or why it is none.

    Args:
        position: Its line, from 1; of a CSV row, the row's number without the header.
        raw: The record as it came: a line, or a row by its columns.
        record: The record, if it is one.
        refusal: Why not, otherwise.
    """

    position: int
    raw: bytes | Mapping[str, str]
    record: AnyRecord | TombstoneRecord | None
    refusal: RecordRefused | None


def check_format(name: str) -> str:
    """A format that is known.

    Raises:
        Invalid: it is not.
    """
    if name not in FORMATS:
        raise Invalid(f"format: choose {' or '.join(FORMATS)}.", path=("format",))
    return name


def gunzip(pieces: Iterable[bytes], *, growing: bool = False) -> Iterator[bytes]:
    """Unpack a gzip stream (of one or more members) in bounded pieces.

    Args:
        pieces: The stream.
        growing: It may end anywhere, because more of it is still being written.

    Raises:
        Invalid: it is damaged, or a bomb.
    """
    unpacker = zlib.decompressobj(wbits=31)
    packed = unpacked = 0
    for piece in pieces:
        packed += len(piece)
        data = piece
        while data:
            if unpacker.eof:
                unpacker = zlib.decompressobj(wbits=31)
            try:
                out = unpacker.decompress(data, PIECE_BYTES)
            except zlib.error as error:
                raise Invalid(f"The gzip stream is damaged: {error}.") from error
            unpacked += len(out)
            if unpacked > UNPACKED_LIMIT_BYTES or unpacked > max(
                UNPACKED_RATIO_GRACE_BYTES, packed * UNPACKED_RATIO_LIMIT
            ):
                raise Invalid("The gzip stream unpacks to far more than a file of records would; send it in parts.")
            if out:
                yield out
            data = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
    if packed and not unpacker.eof and not growing:
        raise Invalid("The gzip stream ends too early: send the file again.")


def _lines(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Lines without their ends, and whether they were too long (then only the beginning)."""
    held = bytearray()
    too_long = False
    for piece in pieces:
        start = 0
        while (end := piece.find(b"\n", start)) >= 0:
            if not too_long:
                held += piece[start:end]
            yield bytes(held[:LINE_LIMIT_BYTES]), too_long or len(held) > LINE_LIMIT_BYTES
            held.clear()
            too_long = False
            start = end + 1
        if not too_long:
            held += piece[start:]
            too_long = len(held) > LINE_LIMIT_BYTES
            del held[LINE_LIMIT_BYTES:]
    if held or too_long:
        yield bytes(held), too_long


_TOO_LONG = f"The line has more than {LINE_LIMIT_BYTES} bytes, which no record has."


def raw_text(raw: bytes | Mapping[str, str]) -> str:
    """A record as it came, as text for a person and for a retry."""
    data = raw if isinstance(raw, bytes) else orjson.dumps({key: value for key, value in raw.items() if value})
    return data[:RAW_LIMIT].decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


def read_ndjson(pieces: Iterable[bytes]) -> Iterator[Entry]:
    """One JSON object a line; empty lines are passed over."""
    for number, (line, too_long) in enumerate(_lines(pieces), start=1):
        data = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if too_long:
            yield Entry(number, data[:RAW_LIMIT], None, RecordRefused("TOO_LONG", None, _TOO_LONG))
            continue
        if not data.strip():
            continue
        try:
            yield Entry(number, data, decode_json(data), None)
        except RecordRefused as refusal:
            yield Entry(number, data[:RAW_LIMIT], None, refusal)


def csv_rows(pieces: Iterable[bytes]) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a CSV file (RFC 4180, UTF-8) by the names of its header, with their numbers from 1.

    Raises:
        Invalid: there is no header, the text is not UTF-8, or a cell is too long.
    """

    def text() -> Iterator[str]:
        for number, (line, too_long) in enumerate(_lines(pieces), start=1):
            if too_long:
                raise Invalid(f"Line {number}: {_TOO_LONG}")
            try:
                yield (line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line).decode("utf-8") + "\n"
            except UnicodeDecodeError as error:
                raise Invalid(f"Line {number} is not UTF-8: save the file as UTF-8.") from error

    reader = csv.reader(text(), strict=True)
    try:
        header = next(reader, None)
        if not header or not any(header):
            raise Invalid("The first line of a CSV file names its columns; this file has none.")
        names = [name.strip() for name in header]
        for number, row in enumerate((row for row in reader if row), start=1):
            extra = {"": "\t".join(row[len(names) :])} if len(row) > len(names) else {}
            yield number, dict(zip(names, row, strict=False)) | extra
    except csv.Error as error:
        raise Invalid(f"The CSV file is damaged at line {reader.line_num}: {error}.") from error


def read_csv(pieces: Iterable[bytes]) -> Iterator[Entry]:
    """One activity a row; the header names the fields of a record."""
    for number, row in csv_rows(pieces):
        try:
            if "" in row:
                raise RecordRefused("INVALID", None, "The row has more cells than the header has names.")
            yield Entry(number, row, decode_mapping(row, strings=True), None)
        except RecordRefused as refusal:
            yield Entry(number, row, None, refusal)


def read_entries(pieces: Iterable[bytes], format_name: str, *, compressed: bool) -> Iterator[Entry]:
    """The records of a file.

    Raises:
        Invalid: the file as a whole cannot be read from some point on.
    """
    plain = gunzip(pieces) if compressed else iter(pieces)
    return read_csv(plain) if format_name == "csv" else read_ndjson(plain)
