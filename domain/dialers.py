"""Dialers: the systems that tell of a team's calls, how what they send is known to be theirs, and how managers get
onto their calls.

What a dialer sends is signed as Standard Webhooks has it: `webhook-signature` holds `v1,` and the HMAC-SHA256 of
`webhook-id.webhook-timestamp.body`, by a secret of the dialer's own. A message is good for five minutes around its time
stamp; in that time, and for a day, the same id is a repeat and changes nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from domain import access, audit
from domain.access import Viewer
from domain.audit import AuditAction, NewEntry
from domain.errors import Conflict, Invalid, NotFound, Unauthenticated
from domain.live_changes import dismiss, mark
from domain.models.base import new_id
from domain.models.live_calls import Dialer, TelephonyKind
from domain.models.people import Permission
from domain.secrets import SecretBox
from domain.webhooks import make_secret, sign

if TYPE_CHECKING:
    from domain.database import Connection

DIALERS_LIMIT = 20
"""Dialers of a team."""
NAME_LIMIT = 100
TOLERANCE = timedelta(minutes=5)
"""How far a message's time stamp may be from our clock."""
MESSAGES_KEPT = timedelta(days=1)
"""For how long a message's id is known; longer than `TOLERANCE`, within which it could be replayed."""
LONGEST_MESSAGE_ID = 200
MOST_SIGNATURES = 10
LONGEST_OVERLAP_MINUTES = 7 * 24 * 60
PRUNE_LOT = 5_000
_ACCOUNT_SID = re.compile(r"AC[0-9a-f]{32}")
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")

_FIELDS = (
    "id, team_id, name, telephony, secret, previous_secret, previous_until, account, account_name, last_event_at, "
    "created_at, removed_at"
)


@dataclass(frozen=True, slots=True)
class TwilioAccount:
    """An account at Twilio, by which managers are brought onto conferences.

    Args:
        account_sid: Such as AC….
        auth_token: Its secret; it signs Twilio's callbacks too.
        caller_id: The account's own number, which managers see when they are rung.
    """

    account_sid: str
    auth_token: str
    caller_id: str


@dataclass(frozen=True, slots=True)
class NewDialer:
    """A dialer that is about to be made.

    Args:
        name: What the team calls it.
        telephony: Who lets managers onto its calls.
        twilio: The account, for TWILIO.
    """

    name: str
    telephony: TelephonyKind
    twilio: TwilioAccount | None = None


class MessageReused(Conflict):
    """The id of a message came before with another body."""

    code = "MESSAGE_ID_REUSED"


def _dialer(row: Any) -> Dialer:
    return Dialer._init_from_db(**dict(row))


def _check(given: NewDialer, viewer: Viewer) -> None:
    if not given.name.strip() or len(given.name) > NAME_LIMIT or "\0" in given.name:
        raise Invalid(f"name: 1 to {NAME_LIMIT} characters.", path=("input", "name"))
    if given.telephony is TelephonyKind.LOOPBACK and not viewer.demo:
        raise Invalid("telephony: LOOPBACK brings nobody anywhere; it is the demo's.", path=("input", "telephony"))
    if (given.telephony is TelephonyKind.TWILIO) != (given.twilio is not None):
        raise Invalid("twilio: give the account for TWILIO, and none for others.", path=("input", "twilio"))
    if given.twilio is not None:
        path = ("input", "twilio")
        if not _ACCOUNT_SID.fullmatch(given.twilio.account_sid):
            raise Invalid("accountSid: AC and 32 hexadecimal digits.", path=(*path, "accountSid"))
        if not 1 <= len(given.twilio.auth_token) <= 100 or not given.twilio.auth_token.isascii():
            raise Invalid("authToken: the account's auth token.", path=(*path, "authToken"))
        if not _PHONE.fullmatch(given.twilio.caller_id):
            raise Invalid("callerId: a number of the account such as +15550100.", path=(*path, "callerId"))


def _sealed_account(box: SecretBox, account: TwilioAccount | None) -> bytes | None:
    if account is None:
        return None
    told = {"sid": account.account_sid, "token": account.auth_token, "from": account.caller_id}
    return box.seal(orjson.dumps(told))


def account_of(box: SecretBox, sealed: bytes | None) -> dict[str, str]:
    """A telephony account as its provider needs it: `sid`, `token`, `from`; empty where there is none.

    Raises:
        Unavailable: it was sealed with a key that is not ours.
    """
    if sealed is None:
        return {}
    found: dict[str, str] = orjson.loads(box.open(sealed))
    return found


async def create_dialer(connection: Connection, viewer: Viewer, box: SecretBox, given: NewDialer) -> tuple[Dialer, str]:
    """Make a dialer. Returns it with its secret, which is not shown again.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
        Invalid: something does not fit, or the team has too many.
        Conflict: the name is taken.
    """
    access.require(viewer, Permission.MANAGE_TEAM)
    _check(given, viewer)
    # Counted under the team's lock, so that two at once do not both find room.
    await connection.execute("SELECT 1 FROM teams WHERE id = $1 FOR NO KEY UPDATE", viewer.team_id)
    names = [row.name for row in await list_dialers(connection, viewer)]
    if len(names) >= DIALERS_LIMIT:
        raise Invalid(f"A team has at most {DIALERS_LIMIT} dialers: remove one first.", path=("input",))
    if given.name in names:
        raise Conflict("name: the team has a dialer of this name.", path=("input", "name"))
    dialer, secret = await insert_dialer(connection, viewer.team_id, box, given)
    after = {"name": given.name, "telephony": given.telephony.value}
    await audit.record(connection, viewer, [NewEntry(AuditAction.DIALER_CREATED, ("Dialer", dialer.id), after=after)])
    return dialer, secret


async def insert_dialer(connection: Connection, team_id: UUID, box: SecretBox, given: NewDialer) -> tuple[Dialer, str]:
    """The row of a dialer that was checked."""
    secret = make_secret()
    row = await connection.fetchrow(
        f"""
        INSERT INTO dialers (id, team_id, name, telephony, secret, account, account_name)
        VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING {_FIELDS}
        """,
        new_id(),
        team_id,
        given.name,
        given.telephony.value,
        box.seal(secret.encode()),
        _sealed_account(box, given.twilio),
        None if given.twilio is None else given.twilio.account_sid,
    )
    return _dialer(row), secret


async def _locked(connection: Connection, viewer: Viewer, dialer_id: UUID) -> Dialer:
    access.require(viewer, Permission.MANAGE_TEAM)
    row = await connection.fetchrow(
        f"SELECT {_FIELDS} FROM dialers WHERE team_id = $1 AND id = $2 AND removed_at IS NULL FOR NO KEY UPDATE",
        viewer.team_id,
        dialer_id,
    )
    if row is None:
        raise NotFound("No such dialer.", path=("input", "dialerId"))
    return _dialer(row)


async def rotate_secret(
    connection: Connection, viewer: Viewer, box: SecretBox, dialer_id: UUID, *, overlap_minutes: int, now: datetime
) -> tuple[Dialer, str]:
    """Give a dialer a fresh secret, which is not shown again. The old one signs for the overlap, and then no more.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
        NotFound: the team has no such dialer.
        Invalid: the overlap does not fit.
    """
    if not 0 <= overlap_minutes <= LONGEST_OVERLAP_MINUTES:
        raise Invalid(f"overlapMinutes: from 0 to {LONGEST_OVERLAP_MINUTES}, a week.", path=("input", "overlapMinutes"))
    dialer = await _locked(connection, viewer, dialer_id)
    secret = make_secret()
    row = await connection.fetchrow(
        f"""
        UPDATE dialers SET secret = $3, previous_secret = CASE WHEN $4::timestamptz > $5 THEN secret END,
            previous_until = CASE WHEN $4::timestamptz > $5 THEN $4::timestamptz END
        WHERE team_id = $1 AND id = $2 RETURNING {_FIELDS}
        """,
        dialer.team_id,
        dialer.id,
        box.seal(secret.encode()),
        now + timedelta(minutes=overlap_minutes),
        now,
    )
    await audit.record(
        connection,
        viewer,
        [NewEntry(AuditAction.DIALER_ROTATED, ("Dialer", dialer.id), after={"overlap_minutes": overlap_minutes})],
    )
    return _dialer(row), secret


async def remove_dialer(connection: Connection, viewer: Viewer, dialer_id: UUID, now: datetime) -> None:
    """Listen to a dialer no more. Its calls in progress end by their lease, and who is on them is taken off now; the
    row goes with the last of its calls.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
        NotFound: the team has no such dialer.
    """
    dialer = await _locked(connection, viewer, dialer_id)
    calls = await connection.fetch(
        "SELECT id FROM live_calls WHERE team_id = $1 AND dialer_id = $2 AND state <> 'ENDED' ORDER BY id "
        "FOR NO KEY UPDATE",
        dialer.team_id,
        dialer.id,
    )
    for call in calls:
        await dismiss(connection, dialer.team_id, call["id"], "DIALER_REMOVED")
    await connection.execute(
        "UPDATE dialers SET removed_at = $3, previous_secret = NULL, previous_until = NULL "
        "WHERE team_id = $1 AND id = $2",
        dialer.team_id,
        dialer.id,
        now,
    )
    before = {"name": dialer.name, "telephony": dialer.telephony.value}
    await audit.record(connection, viewer, [NewEntry(AuditAction.DIALER_REMOVED, ("Dialer", dialer.id), before=before)])
    if calls:
        await mark(connection, dialer.team_id, [call["id"] for call in calls])


async def list_dialers(connection: Connection, viewer: Viewer) -> list[Dialer]:
    """The team's dialers, the oldest first.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
    """
    access.require(viewer, Permission.MANAGE_TEAM)
    rows = await connection.fetch(
        f"SELECT {_FIELDS} FROM dialers WHERE team_id = $1 AND removed_at IS NULL ORDER BY id", viewer.team_id
    )
    return [_dialer(row) for row in rows]


async def find_dialer(connection: Connection, viewer: Viewer, dialer_id: UUID) -> Dialer | None:
    """A dialer, for who manages the team."""
    if not access.may(viewer, Permission.MANAGE_TEAM):
        return None
    row = await connection.fetchrow(
        f"SELECT {_FIELDS} FROM dialers WHERE team_id = $1 AND id = $2 AND removed_at IS NULL",
        viewer.team_id,
        dialer_id,
    )
    return None if row is None else _dialer(row)


async def dialer_named(connection: Connection, team_id: UUID, name: str) -> Dialer | None:
    """A team's dialer by its name. Served by dialers_name_key."""
    row = await connection.fetchrow(
        f"SELECT {_FIELDS} FROM dialers WHERE team_id = $1 AND name = $2 AND removed_at IS NULL", team_id, name
    )
    return None if row is None else _dialer(row)


async def dialer_of_webhook(connection: Connection, dialer_id: UUID) -> Dialer | None:
    """The dialer that an address belongs to, of whatever team: who sends has yet to prove to be it."""
    row = await connection.fetchrow(f"SELECT {_FIELDS} FROM dialers WHERE id = $1 AND removed_at IS NULL", dialer_id)
    return None if row is None else _dialer(row)


_NOBODYS_SECRET = make_secret()


def secrets_of(box: SecretBox, dialer: Dialer | None, now: datetime) -> list[str]:
    """The secrets that sign for a dialer now. One that nobody has where there is no dialer, so that its answer takes
    as long.

    Raises:
        Unavailable: they were sealed with a key that is not ours.
    """
    if dialer is None:
        return [_NOBODYS_SECRET]
    found = [box.open(dialer.secret).decode()]
    if dialer.previous_secret is not None and dialer.previous_until is not None and now < dialer.previous_until:
        found.append(box.open(dialer.previous_secret).decode())
    return found


def verify(secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: datetime) -> str:
    """Check that a message is a dialer's, and of now. Returns its id.

    Raises:
        Invalid: a header is missing or no such header.
        Unauthenticated: no secret made the signature, or the time stamp is too far from our clock.
    """
    message_id = headers.get("webhook-id", "")
    if not 1 <= len(message_id) <= LONGEST_MESSAGE_ID or not message_id.isascii() or not message_id.isprintable():
        raise Invalid(f"webhook-id: 1 to {LONGEST_MESSAGE_ID} ASCII characters.", path=("webhook-id",))
    stamp = headers.get("webhook-timestamp", "")
    if not stamp.isascii() or not stamp.isdecimal() or len(stamp) > 12:
        raise Invalid("webhook-timestamp: seconds since 1970.", path=("webhook-timestamp",))
    given = headers.get("webhook-signature", "").split(" ")
    if len(given) > MOST_SIGNATURES:
        raise Invalid(f"webhook-signature: at most {MOST_SIGNATURES}.", path=("webhook-signature",))
    fits = False
    for secret in secrets:
        expected = sign(secret, message_id, int(stamp), body).encode()
        for signature in given:
            # Every one is compared, each in constant time.
            fits |= hmac.compare_digest(expected, signature.encode(errors="replace"))
    if not fits or abs(now.timestamp() - int(stamp)) > TOLERANCE.total_seconds():
        raise Unauthenticated(
            "webhook-signature: it does not fit the address, id, time stamp and body, or the time stamp is more than "
            f"{TOLERANCE.total_seconds():.0f} seconds from our clock."
        )
    return message_id


async def take_message(connection: Connection, dialer: Dialer, message_id: str, body: bytes) -> bool:
    """Note that a message was taken in, in the transaction that takes it in. Returns False for a repeat.

    Raises:
        MessageReused: another message had this id.
    """
    digest = hashlib.sha256(body).digest()
    new = await connection.fetchval(
        """
        INSERT INTO dialer_messages (id, team_id, dialer_id, message_id, digest) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT DO NOTHING RETURNING true
        """,
        new_id(),
        dialer.team_id,
        dialer.id,
        message_id,
        digest,
    )
    if new:
        return True
    known = await connection.fetchval(
        "SELECT digest FROM dialer_messages WHERE team_id = $1 AND dialer_id = $2 AND message_id = $3",
        dialer.team_id,
        dialer.id,
        message_id,
    )
    if known != digest:
        raise MessageReused("webhook-id: another message had this id; give each its own.", path=("webhook-id",))
    return False


async def heard(connection: Connection, dialer: Dialer, now: datetime) -> None:
    """Note when a dialer was last heard of, to the minute."""
    if dialer.last_event_at is None or now - dialer.last_event_at > timedelta(minutes=1):
        # Nobody waits for another's turn at it.
        await connection.execute(
            "UPDATE dialers SET last_event_at = $3 WHERE id IN (SELECT id FROM dialers WHERE team_id = $1 AND id = $2 "
            "FOR NO KEY UPDATE SKIP LOCKED)",
            dialer.team_id,
            dialer.id,
            now,
        )


async def prune(connection: Connection) -> int:
    """Forget ids of messages that no replay could bear any more; one lot. Served by the primary key (UUIDv7)."""
    before = UUID(int=int((datetime.now(UTC) - MESSAGES_KEPT).timestamp() * 1000) << 80)
    gone = await connection.fetch(
        "DELETE FROM dialer_messages WHERE id IN (SELECT id FROM dialer_messages WHERE id < $1 LIMIT $2) RETURNING 1",
        before,
        PRUNE_LOT,
    )
    return len(gone)


async def prune_removed(connection: Connection) -> int:
    """Forget dialers that were removed and have no call any more. Served by live_calls_external_key."""
    gone = await connection.fetch(
        """
        DELETE FROM dialers d WHERE removed_at IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM live_calls c WHERE c.team_id = d.team_id AND c.dialer_id = d.id)
        RETURNING 1
        """
    )
    return len(gone)
