"""Documents that a team trusts: known by the hash of their text, so that a client sends the hash alone, and a token can
be bound to them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from uuid import UUID

from domain import access, audit
from domain.access import Viewer
from domain.audit import AuditAction, NewEntry
from domain.errors import Invalid, NotFound
from domain.models import TrustedDocument
from domain.models.base import new_id
from domain.models.people import Permission

if TYPE_CHECKING:
    from domain.database import Connection

NAME_LIMIT = 200


def digest_of_document(text: str) -> str:
    """The SHA-256 of a document's text, hex."""
    return hashlib.sha256(text.encode()).hexdigest()


async def find_document(connection: Connection, team_id: UUID, digest: str) -> str | None:
    """The text of a trusted document. Served by trusted_documents_digest_key."""
    text: str | None = await connection.fetchval(
        "SELECT text FROM trusted_documents WHERE team_id = $1 AND digest = $2", team_id, digest.lower()
    )
    return text


async def list_documents(connection: Connection, viewer: Viewer) -> list[TrustedDocument]:
    """The team's trusted documents, by name.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
    """
    access.require(viewer, Permission.MANAGE_TEAM)
    rows = await connection.fetch(
        "SELECT * FROM trusted_documents WHERE team_id = $1 ORDER BY name, id", viewer.team_id
    )
    return [TrustedDocument._init_from_db(**dict(row)) for row in rows]


async def add_document(connection: Connection, viewer: Viewer, name: str, text: str) -> TrustedDocument:
    """Trust a document, whose text has been found valid; adding it again changes nothing.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
        Invalid: the name does not fit.
    """
    access.require(viewer, Permission.MANAGE_TEAM)
    if not name.strip() or len(name) > NAME_LIMIT or "\0" in name:
        raise Invalid(f"name: give 1 to {NAME_LIMIT} characters.", path=("input", "name"))
    digest = digest_of_document(text)
    added = await connection.fetchval(
        "INSERT INTO trusted_documents (id, team_id, digest, name, text, added_by_id) VALUES ($1, $2, $3, $4, $5, $6) "
        "ON CONFLICT (team_id, digest) DO NOTHING RETURNING id",
        new_id(),
        viewer.team_id,
        digest,
        name,
        text,
        viewer.user_id,
    )
    if added is not None:
        after = {"name": name, "hash": digest}
        entry = NewEntry(AuditAction.DOCUMENT_TRUSTED, ("TrustedDocument", added), None, after)
        await audit.record(connection, viewer, [entry])
    row = await connection.fetchrow(
        "SELECT * FROM trusted_documents WHERE team_id = $1 AND digest = $2", viewer.team_id, digest
    )
    return TrustedDocument._init_from_db(**dict(row))


async def remove_document(connection: Connection, viewer: Viewer, digest: str) -> None:
    """Trust a document no more, from the next request on.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
        NotFound: it is not trusted.
    """
    access.require(viewer, Permission.MANAGE_TEAM)
    row = await connection.fetchrow(
        "DELETE FROM trusted_documents WHERE team_id = $1 AND digest = $2 RETURNING id, name",
        viewer.team_id,
        digest.lower(),
    )
    if row is None:
        raise NotFound("No such document.", path=("input", "hash"))
    before = {"name": row["name"], "hash": digest.lower()}
    entry = NewEntry(AuditAction.DOCUMENT_NOT_TRUSTED, ("TrustedDocument", row["id"]), before, None)
    await audit.record(connection, viewer, [entry])
