"""Webhooks: endpoints of integrators, which events go to them, and what became of each attempt.

An endpoint stands at a position, like any reader of events. The next event goes to it when the one before is done with,
so that each endpoint has its events in order; the position and the log of the attempt commit together, so that an event
is delivered at least once. Bodies and headers follow Standard Webhooks (https://www.standardwebhooks.com).

An endpoint is given what its owner may see when it is sent.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID

import orjson

from domain import access, accolades, events
from domain.access import Viewer
from domain.accolades import AccoladeView
from domain.errors import Invalid, NotFound
from domain.events import AccoladeEventType, EventType, StoredEvent
from domain.goal_events import GoalEvent, GoalFilter, GoalView, Version
from domain.identity import identify_user
from domain.ids import encode_id
from domain.models import WebhookDelivery, WebhookEndpoint, WebhookState
from domain.models.base import new_id
from domain.models.goals import GoalPeriod
from domain.models.people import Permission
from domain.paging import Page, PageRequest, decode_cursor, encode_cursor, page_of
from domain.secrets import SecretBox

if TYPE_CHECKING:
    from domain.database import Connection

ENDPOINTS_LIMIT = 50
"""Endpoints of a team."""
SECRET_PREFIX = "whsec_"
SECRET_BYTES = 32
LEASE_SECONDS = 20.0
"""How long a claim of an endpoint holds; longer than one attempt can take."""
RETRY_FIRST_SECONDS = 5.0
RETRY_LONGEST_SECONDS = 3600.0 * 6
PARK_AFTER = timedelta(days=3)
"""An endpoint that has failed for so long is parked."""
LOG_KEPT = timedelta(days=30)
TEST_TYPE = "TEST"
TEST_KIND = "webhook_test"
"""The kind of job that sends a test."""

_FIELDS = (
    "id, team_id, owner_id, url, description, secret, types, goal_filter, accolades, state, position, failures, "
    "failing_since, due_at, last_error, lease_holder, leased_until, fence, created_at"
)


@dataclass(frozen=True, slots=True)
class EndpointChange:
    """What to set of an endpoint; None leaves it as it is."""

    url: str | None = None
    description: str | None = None
    types: tuple[EventType, ...] | None = None
    goals: GoalFilter | None = None
    paused: bool | None = None
    accolades: bool | None = None


def check_url(url: str, *, private_allowed: bool) -> None:
    """Refuse an address that could not be delivered to; where names lead is looked at when they are used.

    Raises:
        Invalid: it is no public https address (or, where the operator allows it, no http one either).
    """
    path = ("input", "url")
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        raise Invalid("url: this is no address; give https://host/path.", path=path) from error
    if parts.scheme != "https" and not (private_allowed and parts.scheme == "http"):
        raise Invalid("url: give an https address.", path=path)
    if not host or parts.username is not None or parts.password is not None or len(url) > 2000 or not url.isascii():
        raise Invalid("url: give https://host/path in ASCII, without a user or password.", path=path)
    if not private_allowed and not is_public_host(host):
        raise Invalid("url: private, loopback and link-local addresses are not delivered to.", path=path)


def is_public_host(host: str) -> bool:
    """Whether a host is a name, or an address of the public internet."""
    try:
        return is_public_address(host)
    except ValueError:
        return host != "localhost" and not host.endswith((".localhost", ".local", ".internal"))


def is_public_address(address: str) -> bool:
    """Whether an IP address is one of the public internet, also when it is wrapped in an IPv6 one.

    Raises:
        ValueError: it is no IP address.
    """
    found = ipaddress.ip_address(address.split("%", 1)[0])
    if isinstance(found, ipaddress.IPv6Address):
        for inner in (found.ipv4_mapped, found.sixtofour, found.teredo[1] if found.teredo else None):
            if inner is not None:
                return is_public_address(str(inner))
        # NAT64: the last 32 bits are the address that is meant.
        if found in ipaddress.ip_network("64:ff9b::/96"):
            return is_public_address(str(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)))
    return found.is_global and not found.is_multicast


def _filter_json(wanted: GoalFilter) -> dict[str, Any]:
    return {
        "users": None if wanted.user_ids is None else [str(one) for one in wanted.user_ids],
        "groups": None if wanted.group_ids is None else [str(one) for one in wanted.group_ids],
        "metrics": wanted.metrics,
        "periods": None if wanted.periods is None else [one.value for one in wanted.periods],
    }


def filter_of_json(data: Mapping[str, Any]) -> GoalFilter:
    """A filter as it is kept."""

    def ids(name: str) -> tuple[UUID, ...] | None:
        found = data.get(name)
        return None if found is None else tuple(UUID(one) for one in found)

    metrics, periods = data.get("metrics"), data.get("periods")
    return GoalFilter(
        ids("users"),
        ids("groups"),
        None if metrics is None else tuple(metrics),
        None if periods is None else tuple(GoalPeriod(one) for one in periods),
    )


def _endpoint(row: Any) -> WebhookEndpoint:
    values = dict(row)
    values["goal_filter"] = orjson.loads(values["goal_filter"])
    return WebhookEndpoint._init_from_db(**values)


def make_secret() -> str:
    """A fresh signing secret, in the form of Standard Webhooks."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


async def create_endpoint(
    connection: Connection, viewer: Viewer, box: SecretBox, change: EndpointChange, *, private_allowed: bool
) -> tuple[WebhookEndpoint, str]:
    """Make an endpoint that is given the events from now on. Returns it with its secret, which is not shown again.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
        Invalid: the address or the description does not fit, or the team has too many.
    """
    access.require(viewer, Permission.MANAGE_TEAM)
    check_url(change.url or "", private_allowed=private_allowed)
    _check_description(change.description)
    # Counted under the team's lock, so that two at once do not both find room.
    await connection.execute("SELECT 1 FROM teams WHERE id = $1 FOR NO KEY UPDATE", viewer.team_id)
    count = await connection.fetchval("SELECT count(*) FROM webhook_endpoints WHERE team_id = $1", viewer.team_id)
    if count >= ENDPOINTS_LIMIT:
        raise Invalid(f"A team has at most {ENDPOINTS_LIMIT} endpoints: delete one first.", path=("input",))
    head = await events.read_head(connection, viewer.team_id)
    secret = make_secret()
    row = await connection.fetchrow(
        f"""
        INSERT INTO webhook_endpoints
            (id, team_id, owner_id, url, description, secret, types, goal_filter, position, accolades)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8::jsonb, $9, $10) RETURNING {_FIELDS}
        """,
        new_id(),
        viewer.team_id,
        viewer.user_id,
        change.url,
        change.description,
        box.seal(secret.encode()),
        [one.value for one in change.types or ()],
        orjson.dumps(_filter_json(change.goals or GoalFilter())).decode(),
        head.position,
        bool(change.accolades),
    )
    return _endpoint(row), secret


def _check_description(text: str | None) -> None:
    if text is not None and (len(text) > 200 or "\0" in text):
        raise Invalid("description: at most 200 characters.", path=("input", "description"))


async def _locked(connection: Connection, viewer: Viewer, endpoint_id: UUID) -> WebhookEndpoint:
    access.require(viewer, Permission.MANAGE_TEAM)
    row = await connection.fetchrow(
        f"SELECT {_FIELDS} FROM webhook_endpoints WHERE team_id = $1 AND id = $2 FOR NO KEY UPDATE",
        viewer.team_id,
        endpoint_id,
    )
    if row is None:
        raise NotFound("No such webhook endpoint.", path=("input", "endpointId"))
    return _endpoint(row)


async def update_endpoint(
    connection: Connection, viewer: Viewer, endpoint_id: UUID, change: EndpointChange, *, private_allowed: bool
) -> WebhookEndpoint:
    """Change an endpoint. What is on its way to it meanwhile is sent again, to the new address.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
        NotFound: the team has no such endpoint.
        Invalid: a value does not fit.
    """
    endpoint = await _locked(connection, viewer, endpoint_id)
    columns: dict[str, Any] = {}
    if change.url is not None:
        check_url(change.url, private_allowed=private_allowed)
        columns["url"] = change.url
    if change.description is not None:
        _check_description(change.description)
        columns["description"] = change.description
    if change.types is not None:
        columns["types"] = [one.value for one in change.types]
    if change.goals is not None:
        columns["goal_filter"] = orjson.dumps(_filter_json(change.goals)).decode()
    if change.accolades is not None:
        columns["accolades"] = change.accolades
    if change.paused is not None and change.paused != (endpoint.state is WebhookState.PAUSED):
        columns["state"] = (WebhookState.PAUSED if change.paused else WebhookState.ACTIVE).value
        columns |= _FRESH
    return await _set(connection, endpoint, columns)


_FRESH: dict[str, Any] = {"failures": 0, "failing_since": None, "last_error": None}


async def _set(connection: Connection, endpoint: WebhookEndpoint, columns: Mapping[str, Any]) -> WebhookEndpoint:
    """Change columns and take the endpoint out of the hands of whoever delivers to it."""
    values = {**columns, "lease_holder": None, "leased_until": None}
    assignments = ", ".join(f"{name} = ${place}" for place, name in enumerate(values, 3))
    row = await connection.fetchrow(
        f"UPDATE webhook_endpoints SET {assignments}, due_at = now(), fence = fence + 1 "
        f"WHERE team_id = $1 AND id = $2 RETURNING {_FIELDS}",
        endpoint.team_id,
        endpoint.id,
        *values.values(),
    )
    await connection.execute("SELECT pg_notify($1, $2)", events.EVENTS_CHANNEL, str(endpoint.team_id))
    return _endpoint(row)


async def delete_endpoint(connection: Connection, viewer: Viewer, endpoint_id: UUID) -> None:
    """Forget an endpoint and its log.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
        NotFound: the team has no such endpoint.
    """
    endpoint = await _locked(connection, viewer, endpoint_id)
    await connection.execute(
        "DELETE FROM webhook_endpoints WHERE team_id = $1 AND id = $2", endpoint.team_id, endpoint.id
    )


async def rotate_secret(
    connection: Connection, viewer: Viewer, box: SecretBox, endpoint_id: UUID
) -> tuple[WebhookEndpoint, str]:
    """Give an endpoint a fresh secret, which is not shown again; the old one signs no more.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
        NotFound: the team has no such endpoint.
    """
    endpoint = await _locked(connection, viewer, endpoint_id)
    secret = make_secret()
    return await _set(connection, endpoint, {"secret": box.seal(secret.encode())}), secret


async def replay(connection: Connection, viewer: Viewer, endpoint_id: UUID, cursor: str) -> WebhookEndpoint:
    """Send everything after a cursor again, in order; a parked or paused endpoint becomes active.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
        NotFound: the team has no such endpoint.
        CursorUnknown, CursorExpired: see events.position_of.
    """
    endpoint = await _locked(connection, viewer, endpoint_id)
    position = await events.position_of(connection, viewer.team_id, cursor)
    return await _set(connection, endpoint, {"position": position, "state": WebhookState.ACTIVE.value, **_FRESH})


async def find_endpoint(connection: Connection, viewer: Viewer, endpoint_id: UUID) -> WebhookEndpoint | None:
    """An endpoint of the team's, for who manages the team."""
    if not access.may(viewer, Permission.MANAGE_TEAM):
        return None
    row = await connection.fetchrow(
        f"SELECT {_FIELDS} FROM webhook_endpoints WHERE team_id = $1 AND id = $2", viewer.team_id, endpoint_id
    )
    return None if row is None else _endpoint(row)


async def list_endpoints(connection: Connection, viewer: Viewer) -> list[WebhookEndpoint]:
    """The team's endpoints, the oldest first.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
    """
    access.require(viewer, Permission.MANAGE_TEAM)
    rows = await connection.fetch(
        f"SELECT {_FIELDS} FROM webhook_endpoints WHERE team_id = $1 ORDER BY id", viewer.team_id
    )
    return [_endpoint(row) for row in rows]


async def list_deliveries(
    connection: Connection, team_id: UUID, endpoint_id: UUID, request: PageRequest
) -> Page[WebhookDelivery]:
    """The attempts of an endpoint that is the viewer's to see, the newest first."""
    after = None
    if request.cursor is not None:
        (after,) = decode_cursor("deliveries", request.cursor, (UUID,))
    rows = await connection.fetch(
        "SELECT * FROM webhook_deliveries WHERE team_id = $1 AND endpoint_id = $2 AND ($3::uuid IS NULL OR id < $3) "
        "ORDER BY id DESC LIMIT $4",
        team_id,
        endpoint_id,
        after,
        request.limit + 1,
    )
    found = [WebhookDelivery._init_from_db(**dict(row)) for row in rows]
    return page_of(request, found, [encode_cursor("deliveries", str(one.id)) for one in found])


async def count_deliveries(connection: Connection, team_id: UUID, endpoint_id: UUID) -> int:
    """How many attempts are in the log."""
    return int(
        await connection.fetchval(
            "SELECT count(*) FROM webhook_deliveries WHERE team_id = $1 AND endpoint_id = $2", team_id, endpoint_id
        )
    )


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The header webhook-signature: HMAC-SHA256 over id, time stamp and body, as Standard Webhooks has it."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def _version_json(version: Version | None, *, with_setter: bool) -> dict[str, Any] | None:
    if version is None:
        return None
    found = version.to_json()
    setter = found.pop("setBy")
    found["setBy"] = encode_id("User", UUID(setter)) if setter is not None and with_setter else None
    return found


def body_of(event: GoalEvent, users: access.Sight) -> bytes:
    """What an endpoint is sent of an event. People whom its owner may not see are left out, as in GraphQL."""
    goal, stored = event.goal, event.stored

    def seen(user_id: UUID | None) -> str | None:
        return encode_id("User", user_id) if user_id is not None and users.sees(stored.team_id, user_id) else None

    def version(one: Version | None) -> dict[str, Any] | None:
        return _version_json(one, with_setter=one is not None and seen(one.set_by_id) is not None)

    data: dict[str, Any] = {
        "goal": _goal_json(goal) | {"newest": version(goal.newest)},
        "actor": seen(stored.actor_id),
        "before": version(event.before),
        "after": version(event.after),
    }
    if event.status is not None:
        data |= {
            "statusBefore": event.status.before.value,
            "statusAfter": event.status.after.value,
            "periodStart": event.status.period_start.isoformat(),
        }
    return orjson.dumps(
        {
            "type": stored.type.value,
            "timestamp": stored.occurred_at.isoformat(),
            "cursor": events.cursor_of(stored.team_id, stored.position),
            "data": data,
        }
    )


def _goal_json(goal: GoalView) -> dict[str, Any]:
    kind = "User" if goal.user_id else "Group" if goal.group_id else "Team"
    assert goal.id is not None, "events are of goals with rows"
    return {
        "id": encode_id("Goal", goal.id),
        "subject": {"type": kind, "id": encode_id(kind, goal.subject_id)},
        "metric": goal.metric,
        "period": goal.period.value,
    }


def test_body(now: datetime) -> bytes:
    """What an endpoint is sent by the test button."""
    return orjson.dumps({"type": TEST_TYPE, "timestamp": now.isoformat(), "cursor": None, "data": {}})


@dataclass(frozen=True, slots=True)
class Claim:
    """An endpoint in the hands of a deliverer, while the lease holds and nobody changes it."""

    endpoint: WebhookEndpoint
    holder: str


async def claim_due(connection: Connection, holder: str, limit: int) -> list[Claim]:
    """Take endpoints that are due and have events before them. Served by webhook_endpoints_due_idx."""
    rows = await connection.fetch(
        f"""
        UPDATE webhook_endpoints SET lease_holder = $1, fence = fence + 1,
            leased_until = clock_timestamp() + make_interval(secs => $3)
        WHERE id IN (
            SELECT e.id FROM webhook_endpoints e JOIN event_heads h ON h.team_id = e.team_id
            WHERE e.state = 'ACTIVE' AND e.due_at <= clock_timestamp() AND h.position > e.position
                AND (e.leased_until IS NULL OR e.leased_until < clock_timestamp())
            ORDER BY e.due_at LIMIT $2 FOR NO KEY UPDATE OF e SKIP LOCKED
        )
        RETURNING {_FIELDS}
        """,
        holder,
        limit,
        LEASE_SECONDS,
    )
    return [Claim(_endpoint(row), holder) for row in rows]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """The next event of an endpoint, ready to be sent; without a body, one that is not for it."""

    position: int
    message_id: str
    type: str
    body: bytes | None


class OwnerGone(Exception):
    """The endpoint's owner does not work with the team any more."""


async def next_events(connection: Connection, claim: Claim, limit: int) -> list[Outgoing]:
    """The next events of an endpoint, with the rights that its owner has now.

    Raises:
        OwnerGone: nobody's rights are left to send with.
    """
    endpoint = claim.endpoint
    owner = await identify_user(connection, endpoint.team_id, endpoint.owner_id)
    if owner is None:
        raise OwnerGone
    sight = await access.see_goals(connection, owner)
    users = await access.see_users(connection, owner)
    wanted = filter_of_json(endpoint.goal_filter)
    found = await events.read_events(connection, endpoint.team_id, endpoint.position, limit)
    granted = await _accolades_of(connection, found, users) if endpoint.accolades else {}
    return [
        _outgoing(stored, endpoint.types, wanted, sight, users)
        if isinstance(stored.type, EventType)
        else _outgoing_accolade(stored, wanted, granted, users)
        for stored in found
    ]


def _outgoing(
    stored: StoredEvent, types: Sequence[str], wanted: GoalFilter, sight: access.GoalSight, users: access.Sight
) -> Outgoing:
    event = GoalEvent.of(stored)
    goal = event.goal
    shown = (
        (not types or stored.type.value in types)
        and wanted.matches(goal)
        and sight.sees(stored.team_id, goal.user_id, goal.group_id)
    )
    return Outgoing(
        stored.position, f"msg_{stored.id.hex}", stored.type.value, body_of(event, users) if shown else None
    )


async def _accolades_of(
    connection: Connection, found: Sequence[StoredEvent], users: access.Sight
) -> dict[UUID, AccoladeView]:
    """The accolades that some events tell of, of people in sight, as they stand now."""
    ids = [accolades.payload_ids(one.payload)[0] for one in found if isinstance(one.type, AccoladeEventType)]
    return await accolades.accolades_by_id(connection, users, ids) if ids else {}


def _outgoing_accolade(
    stored: StoredEvent, wanted: GoalFilter, granted: Mapping[UUID, AccoladeView], users: access.Sight
) -> Outgoing:
    accolade_id, user_id = accolades.payload_ids(stored.payload)
    accolade = granted.get(accolade_id)
    shown = accolade is not None and (wanted.user_ids is None or user_id in wanted.user_ids)
    body = accolade_body(stored, accolade, users) if accolade is not None and shown else None
    return Outgoing(stored.position, f"msg_{stored.id.hex}", stored.type.value, body)


def accolade_body(stored: StoredEvent, accolade: AccoladeView, users: access.Sight) -> bytes:
    """What an endpoint is sent of an accolade: as it stands when it is sent."""

    def seen(user_id: UUID | None) -> str | None:
        return encode_id("User", user_id) if user_id is not None and users.sees(stored.team_id, user_id) else None

    return orjson.dumps(
        {
            "type": stored.type.value,
            "timestamp": stored.occurred_at.isoformat(),
            "cursor": events.cursor_of(stored.team_id, stored.position),
            "data": {
                "accolade": {
                    "id": encode_id("Accolade", accolade.id),
                    "title": accolade.title,
                    "message": accolade.message,
                    "rule": None if accolade.rule_id is None else encode_id("AccoladeRule", accolade.rule_id),
                    "level": None if accolade.level is None else f"{accolade.level.normalize():f}",
                    "value": None if accolade.value is None else f"{accolade.value.normalize():f}",
                    "achievedOn": accolade.achieved_on.isoformat(),
                    "grantedBy": seen(accolade.granted_by_id),
                    "revoked": accolade.revoked_at is not None,
                },
                "user": encode_id("User", accolade.user_id),
                "actor": seen(stored.actor_id),
            },
        }
    )


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of one sending.

    Args:
        status_code: Of the answer; None when there was none.
        error: Why it failed; None when it was delivered.
        response: The beginning of the answer's body.
        duration_ms: How long it took.
        retry_after_seconds: What the receiver asked for.
        gone: The receiver wants nothing any more.
    """

    status_code: int | None
    error: str | None
    response: str | None
    duration_ms: int
    retry_after_seconds: float | None = None
    gone: bool = False


def retry_seconds(failures: int, jitter: float) -> float:
    """How long to wait after the n-th failure in a row: doubling up to six hours, spread by a random `jitter` from 0
    to 1."""
    longest = min(RETRY_FIRST_SECONDS * 2.0 ** min(failures - 1, 40), RETRY_LONGEST_SECONDS)
    return longest * (0.5 + jitter / 2)


async def finish(
    connection: Connection, claim: Claim, outgoing: Outgoing, attempt: Attempt | None, now: datetime, jitter: float
) -> bool:
    """Commit what became of an event, in the caller's transaction. Returns whether the endpoint is still the claim's
    and its next event may follow.

    Args:
        connection: In a transaction.
        claim: Whose it is.
        outgoing: The event.
        attempt: What became of it; None for an event that is not for the endpoint.
        now: The clock.
        jitter: From 0 to 1.
    """
    endpoint = claim.endpoint
    row = await connection.fetchrow(
        "SELECT failures, failing_since FROM webhook_endpoints WHERE team_id = $1 AND id = $2 AND fence = $3 "
        "AND lease_holder = $4 FOR NO KEY UPDATE",
        endpoint.team_id,
        endpoint.id,
        endpoint.fence,
        claim.holder,
    )
    if attempt is not None:
        failures = 0 if row is None else row["failures"]
        await log_attempt(connection, endpoint, outgoing, failures + 1, attempt)
    if row is None:
        return False
    if attempt is None or attempt.error is None:
        await connection.execute(
            "UPDATE webhook_endpoints SET position = $3, failures = 0, failing_since = NULL, last_error = NULL, "
            "leased_until = clock_timestamp() + make_interval(secs => $4) WHERE team_id = $1 AND id = $2",
            endpoint.team_id,
            endpoint.id,
            outgoing.position,
            LEASE_SECONDS,
        )
        return True
    since = row["failing_since"] or now
    wait = max(retry_seconds(row["failures"] + 1, jitter), attempt.retry_after_seconds or 0.0)
    parked = attempt.gone or now - since >= PARK_AFTER
    await connection.execute(
        """
        UPDATE webhook_endpoints SET failures = failures + 1, failing_since = $3, last_error = $4, lease_holder = NULL,
            leased_until = NULL, due_at = $5, state = CASE WHEN $6 THEN 'PARKED' ELSE state END
        WHERE team_id = $1 AND id = $2
        """,
        endpoint.team_id,
        endpoint.id,
        since,
        attempt.error,
        now + timedelta(seconds=min(wait, RETRY_LONGEST_SECONDS)),
        parked,
    )
    return False


async def log_attempt(
    connection: Connection, endpoint: WebhookEndpoint, outgoing: Outgoing, number: int, attempt: Attempt
) -> None:
    """Write an attempt down."""
    await connection.execute(
        """
        INSERT INTO webhook_deliveries
            (id, team_id, endpoint_id, position, message_id, type, attempt, status_code, error, response, duration_ms)
        SELECT $1, team_id, id, $4, $5, $6, $7, $8, $9, $10, $11 FROM webhook_endpoints WHERE team_id = $2 AND id = $3
        """,
        new_id(),
        endpoint.team_id,
        endpoint.id,
        outgoing.position or None,
        outgoing.message_id,
        outgoing.type,
        number,
        attempt.status_code,
        attempt.error,
        attempt.response,
        attempt.duration_ms,
    )


async def park(connection: Connection, claim: Claim, reason: str) -> None:
    """Stop delivering to an endpoint until somebody looks at it."""
    await connection.execute(
        "UPDATE webhook_endpoints SET state = 'PARKED', last_error = $4, lease_holder = NULL, leased_until = NULL "
        "WHERE team_id = $1 AND id = $2 AND fence = $3",
        claim.endpoint.team_id,
        claim.endpoint.id,
        claim.endpoint.fence,
        reason,
    )


async def release(connection: Connection, claim: Claim) -> None:
    """Let go of an endpoint that is up to date, or whose deliverer stops."""
    await connection.execute(
        "UPDATE webhook_endpoints SET lease_holder = NULL, leased_until = NULL "
        "WHERE team_id = $1 AND id = $2 AND fence = $3 AND lease_holder = $4",
        claim.endpoint.team_id,
        claim.endpoint.id,
        claim.endpoint.fence,
        claim.holder,
    )


async def prune(connection: Connection) -> None:
    """Forget attempts whose time has passed. Served by the index on attempted_at."""
    await connection.execute("DELETE FROM webhook_deliveries WHERE attempted_at < now() - $1::interval", LOG_KEPT)
