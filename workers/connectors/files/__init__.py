"""Files of activities, NDJSON or CSV, gzipped or not, in a folder that the operator allows or behind an address.

A line is what `sideline import` takes: a JSON object, or a row under a header with the same names (domain/records.py).
Files that are new are read, and files that have grown are read from where they ended; a file that has changed otherwise
is read again from its beginning, which changes nothing for what was taken in already. Only whole lines are read: the
last one waits for its end until the file has not changed for a minute.

Behind an http(s) address there is one of three:

- an S3-style listing (ListObjectsV2), for an address whose last part has no dot: `https://bucket.example/?prefix=out/`;
- a manifest of names, one a line; blank lines and lines that begin with # are passed over;
- a manifest in JSON: a list of names, or of objects with `name` and, if they are known, `size` and `etag`.

Names are below the address. Files that a manifest names without a size or etag are taken to be complete, but for the
last one, which may grow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain.connectors import Account, Cursor, Document, Mapped, MappingContext, Page
from workers.connectors.base import Session
from workers.connectors.files import mapping, pulling
from workers.connectors.files.manifest import MANIFEST
from workers.connectors.files.places import open_place


class Files:
    """The connector."""

    manifest = MANIFEST

    async def check(self, session: Session) -> Account:
        """Whether the place can be looked at."""
        place = open_place(session)
        await place.files()
        return Account(name=place.name, id=place.name)

    async def pull(self, session: Session, cursor: Cursor | None) -> Page:
        """The next lines."""
        return await pulling.pull(session, cursor)

    def map(self, document: Document, context: MappingContext, state: Mapping[str, Any] | None) -> Mapped:
        """The line itself."""
        return mapping.map_document(document)


connector = Files()
