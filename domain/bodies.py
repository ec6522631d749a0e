"""Bodies of emails: sealed at rest, opened only for who may read them.

Envelope encryption. A team has data keys of 256 bits, which seal its bodies with AES-GCM; the data keys lie beside them
sealed by the installation's keys (`SIDELINE_SECRET_KEYS`). A change of the installation's key thus touches a few rows.
A data key seals for `KEY_DAYS`, then a new one is made; the bound on messages under one key with random nonces
(NIST SP 800-38D, 8.3: 2^32) is far away. What is sealed is bound to the team and to the email's external id, so that a
body put beside another email does not open.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain import access, audit
from domain.access import Viewer
from domain.audit import AuditAction, NewEntry
from domain.errors import Unavailable
from domain.models.base import new_id
from domain.secrets import SecretBox

if TYPE_CHECKING:
    from domain.database import Connection

KEY_BITS = 256
KEY_DAYS = 365
NONCE_BYTES = 12
LOT = 500
FORGET_LOT = 5_000
_SEALED_BY_INSTALLATION = (
    ("data_keys", "sealed"),
    ("webhook_endpoints", "secret"),
    ("teams", "erasure_key"),
    ("integrations", "secrets"),
    ("exports", "secret"),
)

_box: SecretBox | None = None


def use_keys(box: SecretBox | None) -> None:
    """Say which keys this process seals and opens with; once, beside the connection to the database."""
    global _box
    _box = box


def keys_if_set() -> SecretBox | None:
    """The keys of the installation, for what is sealed where there are any."""
    return _box


def installation_keys(purpose: str = "Bodies of emails are kept sealed") -> SecretBox:
    """The keys of the installation.

    Args:
        purpose: What they are needed for.

    Raises:
        Unavailable: none are set.
    """
    if _box is None:
        raise Unavailable(f"{purpose}, and no key is set: give SIDELINE_SECRET_KEYS; `sideline secret-key` makes one.")
    return _box


@dataclass(frozen=True, slots=True)
class Sealer:
    """A data key of a team.

    Args:
        team_id: The team.
        key_id: The key's row.
        cipher: The key itself.
    """

    team_id: UUID
    key_id: UUID
    cipher: AESGCM

    def seal(self, external_id: str, body: str) -> bytes:
        """A body as it is stored."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self.cipher.encrypt(nonce, body.encode(), self._bound(external_id))

    def open(self, external_id: str, sealed: bytes) -> str:
        """The body itself.

        Raises:
            Unavailable: it was sealed for another email, or was changed.
        """
        try:
            return self.cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], self._bound(external_id)).decode()
        except InvalidTag as error:
            raise Unavailable("A stored body cannot be opened: it was changed, or belongs to another email.") from error

    def _bound(self, external_id: str) -> bytes:
        return self.team_id.bytes + external_id.encode()


async def sealer(connection: Connection, team_id: UUID) -> Sealer:
    """The team's newest data key, made if there is none or it has sealed for long enough.

    Raises:
        Unavailable: no key of the installation's is set, or not the one that sealed the data key.
    """
    box = installation_keys()
    row = await connection.fetchrow(
        "SELECT id, sealed FROM data_keys WHERE team_id = $1 AND created_at > now() - make_interval(days => $2) "
        "ORDER BY created_at DESC LIMIT 1",
        team_id,
        KEY_DAYS,
    )
    if row is not None:
        return Sealer(team_id, row["id"], AESGCM(box.open(row["sealed"])))
    return await _new_key(connection, team_id, box)


async def _new_key(connection: Connection, team_id: UUID, box: SecretBox) -> Sealer:
    key, key_id = AESGCM.generate_key(KEY_BITS), new_id()
    await connection.execute(
        "INSERT INTO data_keys (id, team_id, sealed) VALUES ($1, $2, $3)", key_id, team_id, box.seal(key)
    )
    return Sealer(team_id, key_id, AESGCM(key))


async def sealers(connection: Connection, team_id: UUID) -> dict[UUID, Sealer]:
    """All data keys of a team, by their ids.

    Raises:
        Unavailable: no key of the installation's is set, or not the one that sealed a data key.
    """
    rows = await connection.fetch("SELECT id, sealed FROM data_keys WHERE team_id = $1", team_id)
    return {row["id"]: Sealer(team_id, row["id"], AESGCM(installation_keys().open(row["sealed"]))) for row in rows}


async def read_bodies(connection: Connection, viewer: Viewer, emails: Sequence[tuple[UUID, UUID]]) -> list[str | None]:
    """Bodies of emails that are in sight; None for each that the viewer may not read, or that is not kept.

    Bodies of others are written down in the audit log, in the caller's transaction, before they are given.

    Args:
        connection: Inside a transaction.
        viewer: Who reads.
        emails: The activity's id and its owner's.

    Raises:
        Unavailable: a body cannot be opened with the keys that are set.
    """
    allowed = {email: owner for email, owner in emails if access.may_read_email_body(viewer, owner)}
    rows = await connection.fetch(
        """
        SELECT b.id, b.body, b.key_id, b.sealed, k.external_id
        FROM email_bodies b JOIN activity_keys k ON k.team_id = b.team_id AND k.id = b.id
        WHERE b.team_id = $1 AND b.id = ANY ($2::uuid[])
        """,
        viewer.team_id,
        list(allowed),
    )
    keys: dict[UUID, Sealer] = {}
    if any(row["sealed"] is not None for row in rows):
        keys = await sealers(connection, viewer.team_id)
    found = {
        row["id"]: row["body"] if row["sealed"] is None else keys[row["key_id"]].open(row["external_id"], row["sealed"])
        for row in rows
    }
    others = [email for email, owner in allowed.items() if email in found and owner != viewer.user_id]
    entries = [
        NewEntry(AuditAction.EMAIL_BODY_READ, ("EmailActivity", email), None, {"owner": allowed[email]})
        for email in sorted(others)
    ]
    await audit.record(connection, viewer, entries)
    return [found.get(email) for email, _ in emails]


async def seal_again(connection: Connection, team_id: UUID) -> int:
    """Seal bodies that are plain, or sealed with another than the newest data key, anew; one lot, in the caller's
    transaction. Returns how many: call it again until there are none. A body that cannot be opened stays as it is.

    Raises:
        Unavailable: a key is missing.
    """
    rows = await connection.fetch(
        """
        WITH newest AS (SELECT id FROM data_keys WHERE team_id = $1 ORDER BY created_at DESC LIMIT 1)
        SELECT b.id, b.body, b.key_id, b.sealed, k.external_id
        FROM email_bodies b JOIN activity_keys k ON k.team_id = b.team_id AND k.id = b.id
        WHERE b.team_id = $1 AND b.key_id IS DISTINCT FROM (SELECT id FROM newest)
        LIMIT $2 FOR UPDATE OF b SKIP LOCKED
        """,
        team_id,
        LOT,
    )
    if not rows:
        return 0
    newest, keys = await sealer(connection, team_id), await sealers(connection, team_id)
    sealed = []
    for row in rows:
        old = row["sealed"]
        body = row["body"] if old is None else keys[row["key_id"]].open(row["external_id"], old)
        sealed.append(newest.seal(row["external_id"], body))
    await connection.execute(
        """
        UPDATE email_bodies b SET body = NULL, key_id = $2, sealed = s.sealed
        FROM unnest($3::uuid[], $4::bytea[]) s (id, sealed) WHERE b.team_id = $1 AND b.id = s.id
        """,
        team_id,
        newest.key_id,
        [row["id"] for row in rows],
        sealed,
    )
    return len(rows)


async def rotate_data_key(connection: Connection, team_id: UUID) -> None:
    """Seal with a new data key from now on; `seal_again` moves what the old ones hold, `forget_keys` drops them.

    Raises:
        Unavailable: no key of the installation's is set.
    """
    await _new_key(connection, team_id, installation_keys())


async def forget_keys(connection: Connection, team_id: UUID) -> int:
    """Drop data keys that seal nothing any more, but the newest. Returns how many."""
    rows = await connection.fetch(
        """
        DELETE FROM data_keys d WHERE d.team_id = $1
            AND d.id <> (SELECT id FROM data_keys WHERE team_id = $1 ORDER BY created_at DESC LIMIT 1)
            AND NOT EXISTS (SELECT 1 FROM email_bodies b WHERE b.team_id = $1 AND b.key_id = d.id)
        RETURNING 1
        """,
        team_id,
    )
    return len(rows)


async def teams_to_seal(connection: Connection) -> list[UUID]:
    """The teams that have bodies in plain text, from before bodies were sealed. Served by email_bodies_plain_idx."""
    rows = await connection.fetch("SELECT DISTINCT team_id FROM email_bodies WHERE sealed IS NULL")
    return [row["team_id"] for row in rows]


async def reseal_secrets(connection: Connection) -> int:
    """Seal data keys, keys of digests and secrets of webhooks with the installation's newest key, in the caller's
    transaction, for all teams; older keys can be taken out of `SIDELINE_SECRET_KEYS` then. Returns how many.

    Raises:
        Unavailable: a key that is still needed is missing.
    """
    box, count = installation_keys(), 0
    for table, column in _SEALED_BY_INSTALLATION:
        rows = await connection.fetch(
            f"SELECT id, {column} AS held FROM {table} WHERE {column} IS NOT NULL ORDER BY id FOR NO KEY UPDATE"
        )
        for row in rows:
            await connection.execute(
                f"UPDATE {table} SET {column} = $2 WHERE id = $1", row["id"], box.seal(box.open(row["held"]))
            )
            count += 1
    return count


async def forget_old_bodies(connection: Connection, team_id: UUID, before: datetime) -> int:
    """Remove bodies of emails that were sent before an instant; one lot, in the caller's transaction. Returns how many:
    call it again until there are none. Served by activities_body_idx."""
    await connection.execute("SELECT 1 FROM teams WHERE id = $1 FOR NO KEY UPDATE", team_id)
    rows = await connection.fetch(
        """
        WITH lot AS (
            SELECT id, occurred_at FROM activities WHERE team_id = $1 AND body_stored AND occurred_at < $2
            ORDER BY occurred_at LIMIT $3
        ), gone AS (
            DELETE FROM email_bodies b USING lot WHERE b.team_id = $1 AND b.id = lot.id
        )
        UPDATE activities a SET body_stored = false FROM lot WHERE a.id = lot.id AND a.occurred_at = lot.occurred_at
        RETURNING 1
        """,
        team_id,
        before,
        FORGET_LOT,
    )
    return len(rows)
