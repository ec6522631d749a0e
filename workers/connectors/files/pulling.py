"""How files are read: which of them, from where, and how far for a page.

The cursor has an entry for each of the newest files: its stamp and size when it was read last, how far it was read, and
a digest of the bytes before that. Of files that have been read to their end only so many entries are kept; older ones
are known by their order alone. If one of those changes, it is among the newest again, and read from its beginning.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import chain

import msgspec

from domain.connectors import Cursor, CursorExpired, Document, Page
from domain.errors import Invalid
from workers.connectors.base import Session
from workers.connectors.files import places
from workers.connectors.files.places import File, Gone, open_place
from workers.connectors.files.reading import (
    TAIL_BYTES,
    Quota,
    Stand,
    Tail,
    fault,
    read_header,
    read_lines,
    read_rows,
    tail_of,
    unpacked,
)

PAGE_LINES = 20_000
PAGE_BYTES = 8 * 2**20
PACKED_SHARE = 4
PACKED_PAGES = 4
"""A packed file can be read on only by unpacking it from its beginning: its pages hold a quarter of what is before
them, between one page and four, so that a long file is not unpacked once for each of its pages."""

KEPT_ENTRIES = 500


class Entry(msgspec.Struct, array_like=True):
    """How far a file has been read.

    Args:
        order: The file's, when it was read last.
        stamp: The file's.
        size: The file's.
        offset: Where to go on, in bytes, unpacked.
        line: Lines before it.
        tail: Identifies the bytes before it.
        state: `open` in the middle, `read` at the end, `waits` before the beginning of a line, `broken` before what
            cannot be read; `skips` is `open` within a line that is too long.
    """

    order: int
    stamp: str
    size: int | None
    offset: int
    line: int
    tail: str
    state: str


class _Cursor(msgspec.Struct):
    entries: dict[str, Entry] = msgspec.field(default_factory=dict)
    before: tuple[int, str] | None = None


async def pull(session: Session, cursor: Cursor | None) -> Page:
    """The next page of lines.

    Raises:
        SyncProblem: the place cannot be looked at, or a file not be read.
        CursorExpired: the cursor is of another version.
    """
    place = open_place(session)
    files = await place.files()
    try:
        known = msgspec.convert(cursor or {}, _Cursor)
    except msgspec.ValidationError as error:
        raise CursorExpired("How far the files were read was kept in another form: they are read anew.") from error
    reading = _Reading(place, known)
    try:
        documents, done = await asyncio.to_thread(reading.read, files)
    finally:
        reading.stop()
    return Page(documents, msgspec.to_builtins(known), done)


class _Reading:
    """One page.

    Args:
        place: Where the files are.
        cursor: What is known of them; it is brought up to date.
    """

    def __init__(self, place: places.Place, cursor: _Cursor) -> None:
        self._place = place
        self._cursor = cursor
        self._stopped = False

    def stop(self) -> None:
        """Read no further: nobody waits for it any more."""
        self._stopped = True

    def read(self, files: Sequence[File]) -> tuple[list[Document], bool]:
        """Lines of whichever files have any, and whether there are no more for now."""
        documents: list[Document] = []
        quota = Quota(PAGE_LINES, PAGE_BYTES)
        entries = self._cursor.entries
        listed = {file.name for file in files}
        for name in [name for name in entries if name not in listed]:
            del entries[name]
        done = True
        for file in self._waiting(files):
            if quota.is_spent or self._stopped:
                done = False
                break
            try:
                documents += self._read_file(file, entries.get(file.name), quota)
            except Gone as gone:
                entries.pop(file.name, None)
                if gone.named:
                    documents.append(fault(file.name, 0, "GONE", "The manifest names the file, but it is not there."))
        self._forget(files)
        return documents, done and not quota.is_spent

    def _waiting(self, files: Sequence[File]) -> Iterator[File]:
        """The files that have something to be read, or may."""
        for file, is_old in zip(files, self._old(files), strict=True):
            entry = self._cursor.entries.get(file.name)
            if (not is_old) if entry is None else _has_more(file, entry):
                yield file

    def _old(self, files: Sequence[File]) -> list[bool]:
        """Which files are known by their order alone to have been read. Where nothing is told but the order of the
        list, those are the ones up to the last that was forgotten, for as long as that is named.
        """
        before = self._cursor.before
        if before is None:
            return [False] * len(files)
        if any(file.order for file in files):
            return [(file.order, file.name) <= before for file in files]
        names = [file.name for file in files]
        end = names.index(before[1]) + 1 if before[1] in names else 0
        return [place < end for place in range(len(names))]

    def _forget(self, files: Sequence[File]) -> None:
        """Keep the entries of the newest files alone; what is newer than the first that is yet to be read stays."""
        entries = self._cursor.entries
        for file, is_old in zip(files, self._old(files), strict=True):
            entry = entries.get(file.name)
            if len(entries) <= KEPT_ENTRIES or (entry is None and not is_old):
                return
            if entry is not None and entry.state in ("read", "broken") and not _has_more(file, entry):
                del entries[file.name]
                if not is_old:
                    self._cursor.before = (file.order, file.name)

    def _read_file(self, file: File, entry: Entry | None, quota: Quota) -> list[Document]:
        stand, tail = Stand(), Tail()
        try:
            stand, tail, pieces = self._start(file, entry)
            if file.is_packed:
                pages = min(max(stand.offset // PACKED_SHARE // PAGE_BYTES, 1), PACKED_PAGES)
                quota.take(-PAGE_LINES * (pages - 1), -PAGE_BYTES * (pages - 1))
            if file.is_csv:
                documents = self._rows(file, pieces, stand, tail, quota)
            else:
                documents = read_lines(file.name, pieces, stand, tail, quota, settled=file.settled)
        except Invalid as error:
            stand.ended = stand.broken = True
            documents = [fault(file.name, stand.line + 1, "DAMAGED", str(error))]
        self._cursor.entries[file.name] = Entry(
            file.order, file.stamp, file.size, stand.offset, stand.line, tail.digest, _state_of(stand)
        )
        return documents

    def _rows(self, file: File, pieces: Iterator[bytes], stand: Stand, tail: Tail, quota: Quota) -> list[Document]:
        header = read_header(self._pieces(file, 0))
        if header is None:
            stand.ended = stand.waits = True
            return []
        names, raw = header
        if stand.offset == 0:
            stand.offset, stand.line = len(raw), raw.count(b"\n")
            tail.add(raw)
            pieces = self._pieces(file, stand.offset)
        return read_rows(file.name, names, pieces, stand, tail, quota, settled=file.settled)

    def _start(self, file: File, entry: Entry | None) -> tuple[Stand, Tail, Iterator[bytes]]:
        """Where to go on in a file that is the same or has only grown, and its bytes from there on; otherwise its
        beginning.
        """
        if entry is not None and entry.offset and (_is_same(file, entry) or _is_longer(file, entry)):
            length = min(TAIL_BYTES, entry.offset)
            pieces = self._pieces(file, entry.offset - length)
            held = b""
            for piece in pieces:
                held += piece
                if len(held) >= length:
                    break
            before, behind = held[:length], held[length:]
            if len(before) == length and tail_of(before) == entry.tail:
                stand = Stand(entry.offset, entry.line, skips=entry.state == "skips")
                return stand, Tail(before), chain([behind] if behind else [], pieces)
        return Stand(), Tail(), self._pieces(file, 0)

    def _pieces(self, file: File, offset: int) -> Iterator[bytes]:
        if file.is_packed:
            return self._until_stopped(unpacked(self._place.pieces(file, 0), offset))
        return self._until_stopped(self._place.pieces(file, offset))

    def _until_stopped(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            if self._stopped:
                return
            yield piece


def _is_same(file: File, entry: Entry) -> bool:
    return (file.stamp, file.size) == (entry.stamp, entry.size)


def _is_longer(file: File, entry: Entry) -> bool:
    return file.size is not None and entry.size is not None and file.size > entry.size


def _has_more(file: File, entry: Entry) -> bool:
    """Whether there is something to be read, or may be."""
    if not _is_same(file, entry) or entry.state in ("open", "skips"):
        return True
    return (entry.state == "waits" and file.settled) or (file.watched and entry.state != "broken")


def _state_of(stand: Stand) -> str:
    if stand.broken:
        return "broken"
    if stand.skips:
        return "skips"
    if not stand.ended:
        return "open"
    return "waits" if stand.waits else "read"
