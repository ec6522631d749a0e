"""Where files are: a folder, or an address. Both list files, and give their bytes from an offset on.

Bytes are asked for by a thread that reads lines; an address is asked on the event loop meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Generator, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit, urlunsplit
from xml.etree import ElementTree

import httpx
import orjson

from domain.connectors import RemoteRefused, RemoteUnavailable
from domain.uploads import PIECE_BYTES
from workers.connectors.base import Session

SETTLED_AFTER = timedelta(seconds=60)
"""A file that has not changed for so long is whole: its last line needs no end."""

FILES_LIMIT = 100_000
NAME_LIMIT = 480
RANGE_BYTES = 4 * 2**20
"""So much of a file is asked for at once."""

SUFFIXES = (".ndjson", ".jsonl", ".csv")
_FORMATS = tuple(f"{suffix}{packed}" for suffix in SUFFIXES for packed in ("", ".gz"))


@dataclass(frozen=True, slots=True)
class File:
    """A file, as a listing tells it.

    Args:
        name: Within its place.
        order: Grows with the time at which a file came or changed; 0 where nothing is told but the order of the list.
        stamp: Changes with the file; empty where nothing is told.
        size: In bytes; None where it is not told.
        settled: It is not being written any more.
        watched: It may have grown though nothing tells.
    """

    name: str
    order: int
    stamp: str
    size: int | None
    settled: bool
    watched: bool = False

    @property
    def is_csv(self) -> bool:
        """It holds rows under a header; otherwise JSON lines."""
        return self.name.removesuffix(".gz").endswith(".csv")

    @property
    def is_packed(self) -> bool:
        """It is gzipped."""
        return self.name.endswith(".gz")


class Gone(Exception):
    """The file is not there.

    Args:
        named: Though somebody has named it; otherwise it was there a moment ago.
    """

    def __init__(self, *, named: bool = False) -> None:
        super().__init__()
        self.named = named


class Place(Protocol):
    """A folder or an address."""

    name: str

    async def files(self) -> list[File]:
        """What is there now: by order and name, or as a manifest has it.

        Raises:
            SyncProblem: it cannot be looked at.
        """
        ...

    def pieces(self, file: File, offset: int) -> Iterator[bytes]:
        """Bytes of a file from an offset on; called in a thread.

        Raises:
            Gone: it has vanished.
            SyncProblem: it cannot be read.
        """
        ...


def open_place(session: Session) -> Place:
    """The place that a connection is told.

    Raises:
        RemoteRefused: it is told none, or both, or one that it may not look at.
    """
    folder, url = (session.settings.get(name, "").strip() for name in ("folder", "url"))
    if bool(folder) == bool(url):
        raise RemoteRefused("Give either a folder or an address.")
    if url:
        session.allows(url)
        return Web(session, url, asyncio.get_running_loop())
    return Folder(folder, session.settings.get("roots", ""), session.now.timestamp())


def _is_readable(name: str) -> bool:
    """Whether it is named as a file of records, and neither it nor a folder that it is in is hidden or provisional."""
    parts = name.split("/")
    return (
        name.endswith(_FORMATS)
        and len(name) <= NAME_LIMIT
        and not any(part == "" or part.startswith((".", "_")) for part in parts)
    )


class Folder:
    """A folder of this machine, below a root that the operator allows.

    Args:
        path: Where.
        roots: The roots, one a line.
        now: Seconds since 1970.

    Raises:
        RemoteRefused: it is not below any root.
    """

    def __init__(self, path: str, roots: str, now: float) -> None:
        self.name = path
        self._now = now
        allowed = [Path(root).resolve() for root in roots.splitlines() if root.strip()]
        if not allowed:
            raise RemoteRefused("The server's operator allows no folder: ask for one, or give an address.")
        self._folder = Path(path).resolve()
        if not Path(path).is_absolute() or not any(self._folder.is_relative_to(root) for root in allowed):
            raise RemoteRefused("The folder is not below one that the server's operator allows.")

    async def files(self) -> list[File]:
        """Every readable file in it and below."""
        return await asyncio.to_thread(self._scan)

    def _scan(self) -> list[File]:
        found: list[File] = []
        folders = [self._folder]
        try:
            while folders:
                with os.scandir(folders.pop()) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(Path(entry.path))
                        elif (file := self._file(entry)) is not None:
                            found.append(file)
                            if len(found) > FILES_LIMIT:
                                raise RemoteRefused(f"The folder holds more than {FILES_LIMIT} files: use several.")
        except OSError as error:
            raise RemoteRefused(f"The folder cannot be looked at: {error.strerror}.") from error
        return sorted(found, key=lambda file: (file.order, file.name))

    def _file(self, entry: os.DirEntry[str]) -> File | None:
        name = Path(entry.path).relative_to(self._folder).as_posix()
        if not _is_readable(name):
            return None
        try:
            if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(self._folder):
                return None
            about = entry.stat()
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(about.st_mode):
            return None
        # The time of the last change of the inode, which nobody sets: a file that is moved here with an old time of
        # its contents is new all the same.
        settled = self._now - about.st_mtime >= SETTLED_AFTER.total_seconds()
        return File(name, about.st_ctime_ns, f"{about.st_ino}-{about.st_mtime_ns}", about.st_size, settled)

    def pieces(self, file: File, offset: int) -> Iterator[bytes]:
        """Read it."""
        path = (self._folder / file.name).resolve()
        if not path.is_relative_to(self._folder):
            raise Gone
        try:
            with path.open("rb", buffering=0) as opened:
                opened.seek(offset)
                while piece := opened.read(PIECE_BYTES):
                    yield piece
        except FileNotFoundError as error:
            raise Gone from error
        except OSError as error:
            raise RemoteUnavailable(f"{file.name} cannot be read: {error.strerror}.") from error


class _Header(httpx.Auth):
    def __init__(self, value: str) -> None:
        self._value = value

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["authorization"] = self._value
        yield request


class Web:
    """A listing behind an address.

    Args:
        session: How it is asked.
        url: The listing's address.
        loop: Where it is asked.
    """

    def __init__(self, session: Session, url: str, loop: asyncio.AbstractEventLoop) -> None:
        self.name = url
        self._session = session
        self._loop = loop
        self._url = url
        header = session.secrets.get("authorization")
        self._auth = _Header(header) if header else None
        path = urlsplit(url).path
        self._is_bucket = "." not in path.rpartition("/")[2]
        bare = urlunsplit(urlsplit(url)._replace(query="", fragment=""))
        # Objects of a bucket lie below its address, files of a manifest beside it.
        self._base = f"{bare.rstrip('/')}/" if self._is_bucket else urljoin(bare, ".")

    async def files(self) -> list[File]:
        """What the listing names."""
        if self._is_bucket:
            found = [file async for file in self._objects()]
            return sorted(found, key=lambda file: (file.order, file.name))
        return self._named((await self._get(self._url, {})).content)

    async def _get(self, url: str, headers: Mapping[str, str], *expected: int) -> httpx.Response:
        return await self._session.request(
            # Offsets are those of the file, so that it must not be packed on its way.
            "GET",
            url,
            headers={"accept-encoding": "identity", **headers},
            expected=expected,
            auth=self._auth,
        )

    async def _objects(self) -> AsyncIterator[File]:
        """The objects of a bucket (Amazon S3 API Reference, ListObjectsV2), page by page."""
        parts = urlsplit(self._url)
        asked = {**dict(parse_qsl(parts.query)), "list-type": "2"}
        count = 0
        while True:
            url = urlunsplit(parts._replace(query=urlencode(asked), fragment=""))
            root = _xml((await self._get(url, {})).content)
            for node in root.iter("Contents"):
                file = _object(node)
                if file is None:
                    continue
                count += 1
                if count > FILES_LIMIT:
                    raise RemoteRefused(f"The listing names more than {FILES_LIMIT} files: give a prefix.")
                yield file
            token = root.findtext("NextContinuationToken")
            if root.findtext("IsTruncated") != "true" or not token:
                return
            asked["continuation-token"] = token

    def _named(self, body: bytes) -> list[File]:
        """The files that a manifest names."""
        entries = _entries(body)
        if len(entries) > FILES_LIMIT:
            raise RemoteRefused(f"The manifest names more than {FILES_LIMIT} files: use several.")
        found = []
        for place, (name, size, etag) in enumerate(entries):
            if name.startswith("/") or "://" in name or ".." in name.split("/"):
                raise RemoteRefused(f"{name[:100]!r} is not below the manifest: name files by their paths from it on.")
            if not _is_readable(name):
                continue
            told = size is not None or bool(etag)
            watched = not told and place == len(entries) - 1
            found.append(File(name, 0, etag or "", size, settled=not watched, watched=watched))
        return found

    def pieces(self, file: File, offset: int) -> Iterator[bytes]:
        """Ask for it, range by range."""
        while True:
            asked = asyncio.run_coroutine_threadsafe(self._range(file, offset), self._loop)
            piece, more = asked.result()
            if piece:
                yield piece
            offset += len(piece)
            if not more:
                return

    async def _range(self, file: File, offset: int) -> tuple[bytes, bool]:
        """Bytes from an offset on, and whether there may be more."""
        if file.size is not None and offset >= file.size:
            return b"", False
        headers = {"range": f"bytes={offset}-{offset + RANGE_BYTES - 1}"}
        response = await self._get(f"{self._base}{quote(file.name)}", headers, 404, 410, 416)
        if response.status_code in (404, 410):
            raise Gone(named=not self._is_bucket)
        if response.status_code == 416:
            return b"", False
        if response.status_code != 206:  # It gives no ranges: this is all of it.
            return response.content[offset:], False
        return response.content, len(response.content) >= RANGE_BYTES


def _xml(body: bytes) -> ElementTree.Element:
    """An XML document without its namespaces."""
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise RemoteRefused("The listing declares a document type, which a listing does not.")
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise RemoteUnavailable(f"The listing is no XML: {error}.") from error
    for node in root.iter():
        node.tag = node.tag.rpartition("}")[2]
    if root.tag != "ListBucketResult":
        raise RemoteRefused(f"The address answers with {root.tag[:100]}, not with a listing of a bucket.")
    return root


def _object(node: ElementTree.Element) -> File | None:
    key, size = node.findtext("Key") or "", node.findtext("Size") or ""
    modified = node.findtext("LastModified") or ""
    if not _is_readable(key):
        return None
    # An object is whole from the moment that it is there. The digits of its time grow with it.
    digits = "".join(sign for sign in modified if sign.isdigit())[:17].ljust(17, "0")
    stamp = node.findtext("ETag") or modified
    return File(key, int(digits), stamp.strip('"'), int(size) if size.isdigit() else None, settled=True)


def _entries(body: bytes) -> list[tuple[str, int | None, str | None]]:
    """What a manifest names, with sizes and etags where they are told."""
    if body.lstrip()[:1] in (b"[", b"{"):
        return [_json_entry(one) for one in _json_list(body)]
    try:
        lines = [line.strip() for line in body.decode("utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise RemoteRefused("The manifest is not UTF-8.") from error
    return [(line, None, None) for line in lines if line and not line.startswith("#")]


def _json_list(body: bytes) -> list[Any]:
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RemoteUnavailable(f"The manifest is no JSON: {error}.") from error
    files = told.get("files") if isinstance(told, dict) else told
    if not isinstance(files, list):
        raise RemoteRefused("The manifest has no list of files.")
    return files


def _json_entry(one: Any) -> tuple[str, int | None, str | None]:
    told = one if isinstance(one, dict) else {"name": one}
    name, size, etag = told.get("name"), told.get("size"), told.get("etag")
    if not isinstance(name, str) or not name:
        raise RemoteRefused("The manifest has an entry without a name.")
    return name, size if type(size) is int and size >= 0 else None, etag if isinstance(etag, str) else None
