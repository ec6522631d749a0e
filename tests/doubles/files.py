"""A bucket of files behind an S3-style listing, and files beside a manifest.

Written from the Amazon S3 API Reference: "ListObjectsV2" (keys in their order, `prefix`, continuation tokens, sizes,
ETags and times of last modification) and "GetObject" (ranges, 206, 416, 404), and RFC 9110 for ranges.

Files hold one record a line, as an export that goes on: what changes or is removed comes as a further line, and the
file grows. What is spoilt or mended is rewritten in its place.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.sax.saxutils import escape

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tests.doubles.base import Double

LINES_A_FILE = 400
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


@dataclass(slots=True)
class Object:
    """An object of the bucket.

    Args:
        content: Its bytes.
        modified: When they were put there.
    """

    content: bytes
    modified: datetime

    @property
    def etag(self) -> str:
        """As S3 makes it of what is put at once."""
        return hashlib.md5(self.content, usedforsecurity=False).hexdigest()


@dataclass(slots=True)
class _Thing:
    """A record, by the lines that tell of it.

    Args:
        key: The file that it is in.
        record: As it was told last.
        place: The line that told it.
    """

    key: str
    record: dict[str, Any]
    place: int


class FilesDouble(Double):
    """A bucket at `/bucket` and a shelf with a manifest at `/shelf/files.txt`.

    `objects` and `shelf` hold the files; `manifest` what the manifest says; `keys_a_page` how many keys a page of the
    listing has; `gives_ranges` whether parts of a file can be had; `authorization` what has to be sent, if anything.
    """

    kind = "files"

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.shelf: dict[str, bytes] = {}
        self.manifest = b""
        self.keys_a_page = 1000
        self.gives_ranges = True
        self.authorization: str | None = None
        self._lines: dict[str, list[bytes]] = {}
        self._things: dict[str, _Thing] = {}
        self._last = datetime.now(UTC)
        super().__init__()
        self.settings = {"url": f"{self.base_url}/bucket?prefix=out/"}

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/bucket", self._list),
            Route("/bucket/{key:path}", self._get_object),
            Route("/shelf/files.txt", self._get_manifest),
            Route("/shelf/files.json", self._get_manifest),
            Route("/shelf/{key:path}", self._get_file),
        ]

    # What there is

    def now(self) -> datetime:
        """The real clock, and never twice the same instant."""
        self._last = max(self._last + timedelta(microseconds=1), datetime.now(UTC))
        return self._last

    def put(self, key: str, content: bytes) -> None:
        """Put an object into the bucket, or replace it."""
        with self.lock:
            self.objects[key] = Object(content, self.now())

    def _put_lines(self, key: str) -> None:
        self.put(key, b"".join(line + b"\n" for line in self._lines[key]))

    def _tell(self, thing: _Thing, record: dict[str, Any]) -> None:
        lines = self._lines[thing.key]
        thing.record, thing.place = record, len(lines)
        lines.append(orjson.dumps(record))

    # The uniform interface

    def add(self, count: int) -> list[str]:
        made = []
        with self.lock:
            touched = set()
            for _ in range(count):
                number = len(self._things)
                key = f"out/calls-{number // LINES_A_FILE:04}.ndjson"
                self._lines.setdefault(key, [])
                name = f"call-{number}"
                at = self.now()
                record = {
                    "kind": "call",
                    "externalId": name,
                    "user": self.people[number % len(self.people)],
                    "occurredAt": at.isoformat(),
                    "durationSeconds": 60,
                    "connected": True,
                    "disposition": "Connected",
                    "updatedAt": at.isoformat(),
                }
                self._things[name] = thing = _Thing(key, record, 0)
                self._tell(thing, record)
                made.append(name)
                touched.add(key)
            for key in sorted(touched):
                self._put_lines(key)
        return made

    def change(self, external_id: str) -> None:
        with self.lock:
            thing = self._things[external_id]
            longer = thing.record["durationSeconds"] + 1
            self._tell(thing, {**thing.record, "durationSeconds": longer, "updatedAt": self.now().isoformat()})
            self._put_lines(thing.key)

    def remove(self, external_id: str) -> None:
        with self.lock:
            thing = self._things[external_id]
            gone = {"kind": "call", "externalId": external_id, "deleted": True, "updatedAt": self.now().isoformat()}
            self._tell(thing, gone)
            self._put_lines(thing.key)

    def spoil(self, external_id: str) -> None:
        self._rewrite(external_id, lambda record: {**record, "durationSeconds": "long"})

    def mend(self, external_id: str) -> None:
        self._rewrite(external_id, lambda record: {**record, "durationSeconds": 61})

    def _rewrite(self, external_id: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        with self.lock:
            thing = self._things[external_id]
            thing.record = {**change(thing.record), "updatedAt": self.now().isoformat()}
            self._lines[thing.key][thing.place] = orjson.dumps(thing.record)
            self._put_lines(thing.key)

    # What it answers

    def _lets_in(self, request: Request) -> bool:
        return self.authorization is None or request.headers.get("authorization") == self.authorization

    async def _list(self, request: Request) -> Response:
        if not self._lets_in(request):
            return Response(_error("AccessDenied"), 403, media_type="application/xml")
        query = request.query_params
        if query.get("list-type") != "2":
            return Response(_error("NotImplemented"), 501, media_type="application/xml")
        with self.lock:
            keys = sorted(key for key in self.objects if key.startswith(query.get("prefix", "")))
            after = query.get("continuation-token", "")
            keys = [key for key in keys if key > after]
            shown = keys[: self.keys_a_page]
            nodes = "".join(_contents(key, self.objects[key]) for key in shown)
        more = len(keys) > len(shown)
        token = f"<NextContinuationToken>{escape(shown[-1])}</NextContinuationToken>" if more else ""
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="{_NAMESPACE}"><Name>bucket</Name>'
            f"<KeyCount>{len(shown)}</KeyCount><MaxKeys>{self.keys_a_page}</MaxKeys>"
            f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>{token}{nodes}</ListBucketResult>"
        )
        return Response(body, media_type="application/xml")

    async def _get_object(self, request: Request) -> Response:
        with self.lock:
            found = self.objects.get(request.path_params["key"])
        return self._part(request, None if found is None else found.content)

    async def _get_manifest(self, request: Request) -> Response:
        return Response(self.manifest, media_type="text/plain") if self._lets_in(request) else Response(status_code=401)

    async def _get_file(self, request: Request) -> Response:
        return self._part(request, self.shelf.get(request.path_params["key"]))

    def _part(self, request: Request, content: bytes | None) -> Response:
        if not self._lets_in(request):
            return Response(_error("AccessDenied"), 403, media_type="application/xml")
        if content is None:
            return Response(_error("NoSuchKey"), 404, media_type="application/xml")
        asked = _RANGE.fullmatch(request.headers.get("range", ""))
        if asked is None or not self.gives_ranges:
            return Response(content, media_type="binary/octet-stream")
        first, last = int(asked[1]), int(asked[2] or len(content))
        if first >= len(content):
            headers = {"content-range": f"bytes */{len(content)}"}
            return Response(_error("InvalidRange"), 416, headers, media_type="application/xml")
        part = content[first : last + 1]
        headers = {"content-range": f"bytes {first}-{first + len(part) - 1}/{len(content)}", "accept-ranges": "bytes"}
        return Response(part, 206, headers, media_type="binary/octet-stream")


def _contents(key: str, found: Object) -> str:
    modified = found.modified.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return (
        f"<Contents><Key>{escape(key)}</Key><LastModified>{modified}</LastModified>"
        f"<ETag>&quot;{found.etag}&quot;</ETag><Size>{len(found.content)}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
    )


def _error(code: str) -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code></Error>'
