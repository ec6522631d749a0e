"""Messages that go out: mails and signed webhooks, written in the transaction that wants them, sent after it.

A message is claimed under a lease, sent, and marked as sent in a transaction of its own right after the receiver has
said that it has it. A worker that dies between the two leaves a message that is sent again: on the wire it is at least
once. What tells a repeat is the message's own name, which stays the same for every attempt: the header `Message-ID` of
a mail, `webhook-id` of a webhook.

What a message says is either given with it, or written by a template when it is sent, as its reader may see it then.
The text of a message that has ended is not kept.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from domain.errors import Invalid
from domain.models.actions import MessageChannel, MessageState
from domain.models.base import new_id
from domain.pruning import prune_by_age

if TYPE_CHECKING:
    from domain.database import Connection

LEASE_SECONDS = 120.0
"""How long a claim of a message holds; longer than one attempt can take."""
RETRY_FIRST_SECONDS = 30.0
RETRY_LONGEST_SECONDS = 3600.0 * 2
GIVE_UP_AFTER = timedelta(days=1)
"""A message that could not be sent for so long has failed: what it tells is old."""
KEPT = timedelta(days=30)
"""So long after its end, it is kept to whom a message went, and how."""
PRUNE_LOT = 5_000
_NAMES = UUID("6a1b2c3e-5f0d-4d0b-9a57-0b1f3f6d9e21")


@dataclass(frozen=True, slots=True)
class NewMessage:
    """What is to go out.

    Args:
        key: The same key is the same message, and goes out once.
        channel: By mail or by webhook.
        user_id: Who reads it; needed for a template, and for a mail without an address.
        address: Where a mail goes; None: to the reader's own address, as it is when the mail is sent.
        endpoint_id: Where a webhook goes.
        template: What writes it when it is sent (workers/letters.py); None: `content` is the message itself.
        content: What the template needs; or of a mail `subject`, `text`, and if wanted `html` and `calendar` (an
            iCalendar text) with its `method`.
        action_id: The action that sends it.
        occurrence: Which occurrence of it.
    """

    key: str
    channel: MessageChannel = MessageChannel.MAIL
    user_id: UUID | None = None
    address: str | None = None
    endpoint_id: UUID | None = None
    template: str | None = None
    content: Mapping[str, Any] = field(default_factory=dict)
    action_id: UUID | None = None
    occurrence: int | None = None


async def queue_messages(connection: Connection, team_id: UUID, messages: Sequence[NewMessage]) -> None:
    """Let messages go out once the caller's transaction has committed; those that are there already are left alone.

    One statement, served by outgoing_messages_key.

    Raises:
        Invalid: a message names nobody that it could go to.
    """
    for one in messages:
        if one.channel is MessageChannel.MAIL and one.user_id is None and one.address is None:
            raise Invalid("A mail needs an address, or a user who has one.")
        if one.channel is MessageChannel.WEBHOOK and one.endpoint_id is None:
            raise Invalid("A webhook needs an endpoint.")
    await connection.execute(
        """
        INSERT INTO outgoing_messages
            (id, team_id, key, channel, user_id, address, endpoint_id, template, content, action_id, occurrence)
        SELECT n.id, $1, n.key, n.channel, n.user_id, n.address, n.endpoint_id, n.template, n.content::jsonb,
            n.action_id, n.occurrence
        FROM unnest($2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::text[], $7::uuid[], $8::text[], $9::text[],
            $10::uuid[], $11::int[])
            AS n (id, key, channel, user_id, address, endpoint_id, template, content, action_id, occurrence)
        ON CONFLICT (team_id, key) DO NOTHING
        """,
        team_id,
        [new_id() for _ in messages],
        [one.key for one in messages],
        [one.channel.value for one in messages],
        [one.user_id for one in messages],
        [one.address for one in messages],
        [one.endpoint_id for one in messages],
        [one.template for one in messages],
        [orjson.dumps(dict(one.content), default=str).decode() for one in messages],
        [one.action_id for one in messages],
        [one.occurrence for one in messages],
    )


async def queue_message(connection: Connection, team_id: UUID, message: NewMessage) -> None:
    """The same for one."""
    await queue_messages(connection, team_id, [message])


@dataclass(frozen=True, slots=True)
class ClaimedMessage:
    """A message in the hands of a sender."""

    id: UUID
    team_id: UUID
    key: str
    channel: MessageChannel
    user_id: UUID | None
    address: str | None
    endpoint_id: UUID | None
    template: str | None
    content: Mapping[str, Any]
    action_id: UUID | None
    attempts: int
    fence: int
    is_old: bool

    @property
    def name(self) -> str:
        """What every attempt of it bears, and nothing else: a repeat is told by it."""
        return uuid.uuid5(_NAMES, f"{self.team_id}:{self.key}").hex


# Team by team by outgoing_messages_due_idx; a team with many waiting does not keep the others from theirs.
_CLAIM = """
WITH due_teams AS MATERIALIZED (
    SELECT t.id FROM teams t WHERE EXISTS (
        SELECT 1 FROM outgoing_messages m WHERE m.team_id = t.id AND m.state = 'WAITING' AND m.due_at <= now()
            AND m.channel = ANY ($4::text[])
    ) ORDER BY random() LIMIT $2
), picked AS MATERIALIZED (
    SELECT p.id, p.team_id FROM due_teams d CROSS JOIN LATERAL (
        SELECT m.id, m.team_id FROM outgoing_messages m
        WHERE m.team_id = d.id AND m.state = 'WAITING' AND m.due_at <= now() AND m.channel = ANY ($4::text[])
            AND (m.leased_until IS NULL OR m.leased_until < now())
        ORDER BY m.due_at, m.id LIMIT (SELECT greatest($2 / greatest(count(*), 1), 1) FROM due_teams)
        FOR NO KEY UPDATE SKIP LOCKED
    ) p
)
UPDATE outgoing_messages m SET lease_holder = $1, fence = m.fence + 1, attempts = m.attempts + 1,
    leased_until = clock_timestamp() + make_interval(secs => $3)
FROM picked WHERE m.team_id = picked.team_id AND m.id = picked.id
RETURNING m.id, m.team_id, m.key, m.channel, m.user_id, m.address, m.endpoint_id, m.template, m.content, m.action_id,
    m.attempts, m.fence, m.created_at < now() - $5::interval AS is_old
"""


async def claim(
    connection: Connection,
    holder: str,
    limit: int,
    channels: Sequence[MessageChannel],
    *,
    lease_seconds: float = LEASE_SECONDS,
) -> list[ClaimedMessage]:
    """Take messages that are due; teams share the lot.

    Args:
        connection: The owner's: it looks at all teams.
        holder: Who takes them.
        limit: At most about so many.
        channels: Only of these.
        lease_seconds: How long the claims hold.
    """
    rows = await connection.fetch(_CLAIM, holder, limit, lease_seconds, [one.value for one in channels], GIVE_UP_AFTER)
    found = []
    for row in rows:
        values = dict(row)
        values["content"] = orjson.loads(values["content"])
        values["channel"] = MessageChannel(values["channel"])
        found.append(ClaimedMessage(**values))
    return found


def retry_seconds(attempt: int, jitter: float) -> float:
    """How long to wait after a failed attempt: doubling, bounded, spread by a random `jitter` from 0 to 1."""
    longest = min(RETRY_FIRST_SECONDS * 2.0 ** min(attempt - 1, 40), RETRY_LONGEST_SECONDS)
    return longest * (0.5 + jitter / 2)


async def finish(
    connection: Connection, message: ClaimedMessage, state: MessageState, error: str | None = None
) -> bool:
    """A message has ended; its text goes. Returns whether it was still the claim's."""
    found = await connection.fetchval(
        """
        UPDATE outgoing_messages SET state = $4, last_error = $5, content = '{}', lease_holder = NULL,
            leased_until = NULL, ended_at = clock_timestamp()
        WHERE team_id = $1 AND id = $2 AND fence = $3 AND state = 'WAITING' RETURNING true
        """,
        message.team_id,
        message.id,
        message.fence,
        state.value,
        error,
    )
    return bool(found)


async def put_off(
    connection: Connection, message: ClaimedMessage, error: str | None, wait: timedelta, *, counted: bool = True
) -> None:
    """A message could not be sent now: again later, with whoever comes first.

    Args:
        connection: Where.
        message: The message.
        error: Why; None leaves what is there.
        wait: How much later.
        counted: Whether the attempt counts.
    """
    await connection.execute(
        """
        UPDATE outgoing_messages SET last_error = coalesce($4, last_error), lease_holder = NULL, leased_until = NULL,
            due_at = clock_timestamp() + $5, attempts = attempts - CASE WHEN $6 THEN 0 ELSE 1 END
        WHERE team_id = $1 AND id = $2 AND fence = $3 AND state = 'WAITING'
        """,
        message.team_id,
        message.id,
        message.fence,
        error,
        wait,
        counted,
    )


async def fail_unsendable(connection: Connection, channel: MessageChannel, reason: str) -> int:
    """Messages of a channel that no worker can send, and that have waited for too long, have failed. Needs the owner's
    connection. Returns how many. Served by outgoing_messages_due_idx, team by team."""
    rows = await connection.fetch(
        """
        UPDATE outgoing_messages SET state = 'FAILED', last_error = $3, content = '{}', lease_holder = NULL,
            leased_until = NULL, ended_at = clock_timestamp()
        WHERE (team_id, id) IN (
            SELECT p.team_id, p.id FROM teams t CROSS JOIN LATERAL (
                SELECT m.team_id, m.id FROM outgoing_messages m
                WHERE m.team_id = t.id AND m.state = 'WAITING' AND m.channel = $1
                    AND m.created_at < now() - $2::interval
                LIMIT $4 FOR NO KEY UPDATE SKIP LOCKED
            ) p LIMIT $4
        ) RETURNING 1
        """,
        channel.value,
        GIVE_UP_AFTER,
        reason,
        PRUNE_LOT,
    )
    return len(rows)


async def prune(connection: Connection) -> int:
    """Forget messages that ended long ago; one lot. Needs the owner's connection. Returns how many. Served by
    outgoing_messages_ended_idx, team by team."""
    return await prune_by_age(connection, "outgoing_messages", "ended_at", PRUNE_LOT, KEPT)
