"""Bytes into lines and rows, each with where it ends, so that reading can go on from there at another time."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import orjson

from domain.connectors import Document
from domain.errors import Invalid
from domain.uploads import LINE_LIMIT_BYTES, RAW_LIMIT, gunzip

TAIL_BYTES = 256
"""So many bytes before an offset tell that a file has only grown since."""

_MARK = b"\xef\xbb\xbf"


@dataclass(slots=True)
class Stand:
    """Where reading stands in a file; it moves on as lines are read.

    Args:
        offset: In bytes, unpacked.
        line: Lines before it.
        skips: It is within a line that is too long.
        ended: The end of what is there now has been reached.
        waits: Behind it is the beginning of a line.
        broken: It cannot be read beyond.
    """

    offset: int = 0
    line: int = 0
    skips: bool = False
    ended: bool = False
    waits: bool = False
    broken: bool = False


@dataclass(slots=True)
class Quota:
    """What is left to be read for a page.

    Args:
        lines: Lines.
        size: Bytes.
    """

    lines: int
    size: int

    @property
    def is_spent(self) -> bool:
        """There is nothing left."""
        return self.lines <= 0 or self.size <= 0

    def take(self, lines: int, size: int) -> None:
        """Use some."""
        self.lines -= lines
        self.size -= size


def fault(name: str, line: int, code: str, message: str) -> Document:
    """What stands for a line that cannot be one; `map` refuses it with the reason."""
    return Document("line", f"{name}:{line}", {"code": code, "message": message})


def is_fault(data: Any) -> bool:
    """Whether a document's data came from `fault`."""
    return isinstance(data, dict) and data.keys() == {"code", "message"}


def unpacked(pieces: Iterable[bytes], offset: int) -> Iterator[bytes]:
    """A gzip stream from an offset of what it unpacks to on.

    Raises:
        Invalid: it is damaged, or a bomb.
    """
    before = offset
    for piece in gunzip(pieces, growing=True):
        if before >= len(piece):
            before -= len(piece)
            continue
        yield piece[before:] if before else piece
        before = 0


def tail_of(data: bytes) -> str:
    """What identifies the bytes before an offset."""
    return blake2b(data[-TAIL_BYTES:], digest_size=8).hexdigest()


@dataclass(slots=True)
class Tail:
    """Passes pieces on and remembers the last bytes up to an offset."""

    held: bytes = field(default=b"")

    def add(self, data: bytes) -> None:
        """Data that was read, in order."""
        self.held = data[-TAIL_BYTES:] if len(data) >= TAIL_BYTES else (self.held + data)[-TAIL_BYTES:]

    @property
    def digest(self) -> str:
        """What identifies them."""
        return tail_of(self.held)


_TOO_LONG = f"The line has more than {LINE_LIMIT_BYTES} bytes, which no record has."


def read_lines(
    name: str, pieces: Iterable[bytes], stand: Stand, tail: Tail, quota: Quota, *, settled: bool
) -> list[Document]:
    """Lines of NDJSON: their bytes as they are, for a quota or to the end of what is there.

    Args:
        name: The file's.
        pieces: Its bytes from there on.
        stand: Moved to where reading ended.
        tail: Told what was read.
        quota: What may be read.
        settled: What is behind the last end of a line is a line as well.
    """
    found: list[Document] = []
    held = b""
    damage: list[str] = []
    for piece in _undamaged(pieces, damage):
        block = held + piece if held else piece
        if stand.skips:
            end = block.find(b"\n") + 1
            passed = block[:end] if end else block
            _move(stand, tail, quota, passed, 1 if end else 0)
            held = b""
            if not end:
                if quota.is_spent:
                    return found
                continue
            stand.skips = False
            block = block[end:]
        end = block.rfind(b"\n") + 1
        held = block[end:]
        if end:
            lines = block[: end - 1].split(b"\n")
            if len(lines) > quota.lines:
                del lines[max(quota.lines, 1) :]
                end = sum(map(len, lines)) + len(lines)
            if stand.offset == 0 and lines[0].startswith(_MARK):
                lines[0] = lines[0][len(_MARK) :]
            numbered: Iterable[tuple[int, bytes]] = enumerate(lines, stand.line + 1)
            if len(block) > LINE_LIMIT_BYTES:
                numbered = _none_too_long(name, numbered, found)
            found += [
                Document("line", f"{name}:{number}", line) for number, line in numbered if line and not line.isspace()
            ]
            _move(stand, tail, quota, block[:end], len(lines))
            if quota.is_spent:
                return found
        if len(held) > LINE_LIMIT_BYTES:
            found.append(fault(name, stand.line + 1, "TOO_LONG", _TOO_LONG))
            stand.skips = True
            _move(stand, tail, quota, held, 0)
            held = b""
    if damage:
        return [*found, _damage(name, stand, damage[0])]
    stand.ended = True
    if held and (settled or _is_whole(held)):
        found.append(Document("line", f"{name}:{stand.line + 1}", held.removeprefix(_MARK)))
        _move(stand, tail, quota, held, 1)
    else:
        stand.waits = bool(held)
    return found


def _undamaged(pieces: Iterable[bytes], damage: list[str]) -> Iterator[bytes]:
    """Pieces up to where they cannot be unpacked any more; then the damage is told."""
    try:
        yield from pieces
    except Invalid as error:
        damage.append(str(error))


def _none_too_long(name: str, lines: Iterable[tuple[int, bytes]], found: list[Document]) -> list[tuple[int, bytes]]:
    """The lines that are not; the others are told of."""
    well = []
    for number, line in lines:
        if len(line) > LINE_LIMIT_BYTES:
            found.append(fault(name, number, "TOO_LONG", _TOO_LONG))
        else:
            well.append((number, line))
    return well


def _is_whole(line: bytes) -> bool:
    """Whether it is a JSON object, which cannot be the beginning of a longer one."""
    try:
        return isinstance(orjson.loads(line.removeprefix(_MARK)), dict)
    except orjson.JSONDecodeError:
        return False


def _move(stand: Stand, tail: Tail, quota: Quota, data: bytes, lines: int) -> None:
    stand.offset += len(data)
    stand.line += lines
    tail.add(data)
    quota.take(lines, len(data))


class _Rows:
    """Text lines for a CSV reader, which asks for no more of them than it needs for a row.

    Args:
        pieces: Bytes.
        settled: What is behind the last end of a line is a line as well.
    """

    def __init__(self, pieces: Iterable[bytes], *, settled: bool) -> None:
        self.taken: list[bytes] = []
        self.has_rest = False
        self._lines = self._split(pieces, settled)

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.taken.append(line)
            yield line.decode("utf-8")

    def _split(self, pieces: Iterable[bytes], settled: bool) -> Iterator[bytes]:
        held = b""
        for piece in pieces:
            lines = (held + piece).split(b"\n")
            held = lines.pop()
            for line in lines:
                yield line + b"\n"
            if len(held) > LINE_LIMIT_BYTES:
                raise Invalid(_TOO_LONG)
        if held and settled:
            yield held
            held = b""
        self.has_rest = bool(held)


def read_header(pieces: Iterable[bytes]) -> tuple[list[str], bytes] | None:
    """The names in the first row of a CSV file, and the bytes of that row; None while it is not there yet.

    Raises:
        Invalid: it is none.
    """
    rows = _Rows(pieces, settled=False)
    try:
        header = next(csv.reader(rows, strict=True), None)
    except csv.Error as error:
        if rows.has_rest:
            return None
        raise Invalid(f"The CSV file is damaged in its header: {error}.") from error
    except UnicodeDecodeError as error:
        raise Invalid("The header is not UTF-8: save the file as UTF-8.") from error
    if header is None:
        return None
    names = [name.strip().removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}") for name in header]
    if not any(names):
        raise Invalid("The first line of a CSV file names its columns; this file has none.")
    return names, b"".join(rows.taken)


def read_rows(
    name: str, header: list[str], pieces: Iterable[bytes], stand: Stand, tail: Tail, quota: Quota, *, settled: bool
) -> list[Document]:
    """Rows of CSV by the names of the header; see `read_lines`. What a CSV reader cannot read ends the file."""
    found: list[Document] = []
    rows = _Rows(pieces, settled=settled)
    reader = csv.reader(rows, strict=True)
    width = len(header)
    while not quota.is_spent:
        try:
            row = next(reader, None)
        except csv.Error as error:
            if "unexpected end of data" in str(error) and not settled:
                stand.ended = stand.waits = True
                return found
            return [*found, _damage(name, stand, f"The CSV file is damaged: {error}.")]
        except UnicodeDecodeError:
            return [*found, _damage(name, stand, "The line is not UTF-8: save the file as UTF-8.")]
        except Invalid as error:
            return [*found, _damage(name, stand, str(error))]
        if row is None:
            stand.ended, stand.waits = True, rows.has_rest
            return found
        _move(stand, tail, quota, b"".join(rows.taken), len(rows.taken))
        rows.taken.clear()
        if row:
            extra = {"": "\t".join(row[width:])} if len(row) > width else {}
            found.append(Document("row", f"{name}:{stand.line}", dict(zip(header, row, strict=False)) | extra))
    return found


def _damage(name: str, stand: Stand, message: str) -> Document:
    stand.ended = stand.broken = True
    return fault(name, stand.line + 1, "DAMAGED", message[:RAW_LIMIT])
