"""Connections to other systems: who has which, when they are synced, and how a CRM's fields become opportunities.

What a connector is, workers say (`publish_kinds`); here it is only looked up. Secrets are sealed before they reach a
table and are opened for the worker alone: nothing here gives them out.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets as random_secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import orjson

from domain import access, audit, jobs
from domain.access import IntegrationSight, Viewer
from domain.audit import AuditAction, NewEntry
from domain.connectors import Audience, DescribedField, Document, Manifest
from domain.errors import Conflict, Invalid, NotFound, Refused, Unavailable
from domain.field_mapping import check_mapping, read_mapping
from domain.models import FieldMapping, Integration, IntegrationState, Job, QuarantinedDocument
from domain.models.base import new_id
from domain.models.integrations import CrmPart
from domain.paging import Page, PageRequest, decode_cursor, encode_cursor, page_of
from domain.secrets import SecretBox

if TYPE_CHECKING:
    from domain.database import Connection

SYNC_KIND = "sync"
CHECK_KIND = "check_integration"
AUTHORIZATION_MINUTES = 10
NAME_LIMIT = 200
SETTING_LIMIT = 4_000
SHORTEST_INTERVAL_MINUTES, LONGEST_INTERVAL_MINUTES = 1, 10_080
OPERATOR_SETTINGS = frozenset({"roots", "fields", "currency"})
"""Settings that no person gives: the operator's and the runner's."""


async def publish_kinds(connection: Connection, manifests: Iterable[Manifest]) -> None:
    """Say which connectors the workers have; a worker does so when it starts. Needs the owner's connection."""
    for manifest in sorted(manifests, key=lambda one: one.kind):
        await connection.execute(
            """
            INSERT INTO connector_kinds (id, kind, manifest) VALUES ($1, $2, $3::jsonb)
            ON CONFLICT (kind) DO UPDATE SET manifest = EXCLUDED.manifest, seen_at = now()
            """,
            new_id(),
            manifest.kind,
            orjson.dumps(msgspec.to_builtins(manifest)).decode(),
        )


async def list_kinds(connection: Connection) -> dict[str, Manifest]:
    """The connectors that there are, by kind; none before a worker has started for the first time."""
    rows = await connection.fetch("SELECT manifest FROM connector_kinds ORDER BY kind")
    found = [msgspec.convert(orjson.loads(row["manifest"]), Manifest) for row in rows]
    return {manifest.kind: manifest for manifest in found}


async def get_kind(connection: Connection, kind: str) -> Manifest:
    """One connector.

    Raises:
        NotFound: there is none of this kind.
    """
    row = await connection.fetchrow("SELECT manifest FROM connector_kinds WHERE kind = $1", kind)
    if row is None:
        known = [one["kind"] for one in await connection.fetch("SELECT kind FROM connector_kinds ORDER BY kind")]
        mend = f"choose from {', '.join(known)}" if known else "no worker has started yet"
        raise NotFound(f"kind: there is no connector {kind!r}; {mend}.", path=("input", "kind"))
    return msgspec.convert(orjson.loads(row["manifest"]), Manifest)


def integration_of(row: Any) -> Integration:
    """A connection from its row."""
    values = dict(row)
    for name in ("settings", "described", "samples", "cursor", "sign_in"):
        if isinstance(values[name], str):
            values[name] = orjson.loads(values[name])
    return Integration._init_from_db(**values)


async def list_integrations(connection: Connection, sight: IntegrationSight) -> list[Integration]:
    """The connections in sight, the team's first. Served by integrations (team_id, owner_id)."""
    arguments: list[object] = []
    condition = sight.filter("i", arguments)
    rows = await connection.fetch(
        f"SELECT i.* FROM integrations i WHERE {condition} ORDER BY i.owner_id NULLS FIRST, i.id", *arguments
    )
    return [integration_of(row) for row in rows]


async def integrations_by_id(
    connection: Connection, sight: IntegrationSight, ids: Sequence[UUID]
) -> list[Integration | None]:
    """Connections by their ids, None for each that is not in sight."""
    arguments: list[object] = [list(ids)]
    condition = sight.filter("i", arguments)
    rows = await connection.fetch(
        f"SELECT i.* FROM integrations i WHERE i.id = ANY ($1::uuid[]) AND {condition}", *arguments
    )
    found = {row["id"]: integration_of(row) for row in rows}
    return [found.get(one) for one in ids]


async def _get(connection: Connection, viewer: Viewer, integration_id: UUID) -> Integration:
    """One that the viewer sees, locked.

    Raises:
        NotFound: there is none.
    """
    arguments: list[object] = [integration_id]
    condition = access.see_integrations(viewer).filter("i", arguments)
    row = await connection.fetchrow(
        f"SELECT i.* FROM integrations i WHERE i.id = $1 AND {condition} FOR NO KEY UPDATE OF i", *arguments
    )
    if row is None:
        raise NotFound("No such integration.", path=("input", "integrationId"))
    return integration_of(row)


def _require_changing(viewer: Viewer, integration: Integration) -> None:
    """Refuse who may not change what lets us in: for the team's, deals need their own rights."""
    if integration.owner_id is None:
        access.require_team_integrations(viewer, deals=CrmPart.DEALS in integration.syncs)


def _check_values(manifest: Manifest, given: Mapping[str, str], *, secret: bool, complete: bool) -> dict[str, str]:
    where = "secrets" if secret else "settings"
    known = {one.name: one for one in manifest.settings if one.secret == secret}
    for name, value in given.items():
        if name not in known:
            mend = f"choose from {', '.join(known)}" if known else "there are none"
            raise Invalid(f"{where}: {manifest.label} has no {name!r}; {mend}.", path=("input", where, name))
        if not isinstance(value, str) or "\0" in value or len(value) > SETTING_LIMIT:
            raise Invalid(f"{name}: give text of at most {SETTING_LIMIT} characters.", path=("input", where, name))
    values = {name: value.strip() for name, value in given.items() if value.strip()}
    for name, value in values.items():
        if known[name].choices and value not in known[name].choices:
            raise Invalid(f"{name}: choose from {', '.join(known[name].choices)}.", path=("input", where, name))
    missing = [one for one in known.values() if one.required and one.name not in values]
    if complete and missing:
        raise Invalid(f"{missing[0].name}: {missing[0].label} is needed.", path=("input", where, missing[0].name))
    return values


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection that has just been made or changed.

    Args:
        integration: The connection.
        job_id: The job that checks it and then syncs; None while the person has to sign in at the vendor's.
        authorization: What the sign-in needs, or None.
    """

    integration: Integration
    job_id: UUID | None
    authorization: Authorization | None = None


@dataclass(frozen=True, slots=True)
class Authorization:
    """A sign-in at the vendor's that has begun: the caller makes the address of it.

    Args:
        manifest: The connector.
        state: Comes back with the code; who holds it began the sign-in.
        verifier: PKCE's code verifier.
        redirect_uri: Where the vendor sends the person back.
        scopes: The permissions that are asked for.
    """

    manifest: Manifest
    state: str
    verifier: str
    redirect_uri: str
    scopes: tuple[str, ...]


async def connect(
    connection: Connection,
    viewer: Viewer,
    *,
    kind: str,
    name: str | None,
    settings: Mapping[str, str],
    secrets: Mapping[str, str],
    syncs: Iterable[CrmPart],
    redirect_uri: str,
    clients: Collection[str],
    box: SecretBox | None,
    now: datetime,
) -> Connected:
    """Make a connection: one's own calendar, or one of the team's. It is checked by a job, and then synced.

    Args:
        connection: Inside a transaction.
        viewer: Who connects.
        kind: The connector.
        name: For people; the connector's own if None.
        settings: What the manifest asks for.
        secrets: Likewise, those that are to be kept secret.
        syncs: Of a CRM, which parts.
        redirect_uri: Where the vendor sends the person back after the sign-in, if it takes one.
        clients: The connectors at whose vendors the operator is registered.
        box: Seals the secrets.
        now: The clock.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`; or, for deals, the role Admin or the seat.
        NotFound: there is no such connector.
        Invalid: something is missing or does not fit.
        Unavailable: no key is set to seal secrets with; the operator has not registered at the vendor's.
    """
    manifest = await get_kind(connection, kind)
    parts = sorted({CrmPart(part).value for part in syncs})
    if manifest.audience is Audience.TEAM:
        access.require_team_integrations(viewer, deals=CrmPart.DEALS in parts)
    if manifest.opportunity_object is None and parts:
        raise Invalid(f"syncs: {manifest.label} is no CRM.", path=("input", "syncs"))
    if manifest.opportunity_object is not None and not parts:
        raise Invalid("syncs: name OPPORTUNITIES, DEALS or both.", path=("input", "syncs"))
    label = (name or manifest.label).strip()
    _check_name(label)
    plain = _check_values(manifest, settings, secret=False, complete=manifest.oauth is None)
    hidden = _check_values(manifest, secrets, secret=True, complete=manifest.oauth is None)
    row = await connection.fetchrow(
        """
        INSERT INTO integrations (id, team_id, kind, name, owner_id, state, settings, secrets, syncs, interval_minutes)
        VALUES ($1, $2, $3, $4, $5, 'CONNECTING', $6::jsonb, $7, $8, $9) RETURNING *
        """,
        new_id(),
        viewer.team_id,
        kind,
        label,
        viewer.user_id if manifest.audience is Audience.PERSON else None,
        orjson.dumps(plain).decode(),
        _seal(box, hidden),
        parts,
        manifest.interval_minutes,
    )
    integration = integration_of(row)
    after = {"kind": kind, "name": label, "settings": plain, "syncs": parts}
    await _record(connection, viewer, AuditAction.INTEGRATION_CONNECTED, integration.id, None, after)
    if manifest.oauth is not None and not hidden:
        _require_client(manifest, clients)
        begun = await _begin_authorization(connection, viewer, integration, manifest, redirect_uri, box, now)
        return Connected(integration, None, begun)
    return Connected(integration, await _create_check(connection, viewer, integration.id))


def _require_client(manifest: Manifest, clients: Collection[str]) -> None:
    if manifest.kind not in clients:
        raise Unavailable(
            f"The operator has not registered Sideline at {manifest.label}: set "
            f"SIDELINE_OAUTH_CLIENTS__{manifest.kind.upper()}__CLIENT_ID and …__CLIENT_SECRET."
        )


def _check_name(name: str) -> None:
    if not name or len(name) > NAME_LIMIT or "\0" in name:
        raise Invalid(f"name: give 1 to {NAME_LIMIT} characters.", path=("input", "name"))


def _seal(box: SecretBox | None, values: Mapping[str, Any]) -> bytes | None:
    if not values:
        return None
    return require_box(box).seal(orjson.dumps(dict(values)))


def require_box(box: SecretBox | None) -> SecretBox:
    """What seals and opens secrets.

    Raises:
        Unavailable: no key is set.
    """
    if box is None:
        raise Unavailable(
            "Secrets are kept sealed, and no key is set: give SIDELINE_SECRET_KEYS; `sideline secret-key` makes one."
        )
    return box


async def _record(
    connection: Connection,
    viewer: Viewer,
    action: AuditAction,
    integration_id: UUID,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
) -> None:
    await audit.record(connection, viewer, [NewEntry(action, ("Integration", integration_id), before, after)])


async def _begin_authorization(
    connection: Connection,
    viewer: Viewer,
    integration: Integration,
    manifest: Manifest,
    redirect_uri: str,
    box: SecretBox | None,
    now: datetime,
) -> Authorization:
    state, verifier = random_secrets.token_urlsafe(32), random_secrets.token_urlsafe(48)
    kept = {
        "state": hashlib.sha256(state.encode()).hexdigest(),
        "verifier": require_box(box).seal(verifier.encode()).decode(),
        "until": (now + timedelta(minutes=AUTHORIZATION_MINUTES)).isoformat(),
        "by": str(viewer.user_id),
        "redirect_uri": redirect_uri,
    }
    await connection.execute(
        "UPDATE integrations SET sign_in = $3::jsonb WHERE team_id = $1 AND id = $2",
        viewer.team_id,
        integration.id,
        orjson.dumps(kept).decode(),
    )
    return Authorization(manifest, state, verifier, redirect_uri, _scopes_of(manifest, integration))


def _scopes_of(manifest: Manifest, integration: Integration) -> tuple[str, ...]:
    return () if manifest.oauth is None else manifest.oauth.scopes_for(integration.settings)


async def authorize_again(
    connection: Connection,
    viewer: Viewer,
    integration_id: UUID,
    *,
    redirect_uri: str,
    clients: Collection[str],
    box: SecretBox | None,
    now: datetime,
) -> Connected:
    """Begin a new sign-in at the vendor's, for a connection that is broken or was never finished.

    Raises:
        NotFound: there is no such connection in the viewer's sight.
        Forbidden: the viewer may not change it.
        Invalid: the connector takes no sign-in.
    """
    integration = await _get(connection, viewer, integration_id)
    _require_changing(viewer, integration)
    manifest = await get_kind(connection, integration.kind)
    if manifest.oauth is None:
        raise Invalid(f"{manifest.label} takes no sign-in: change its settings.", path=("input", "integrationId"))
    _require_client(manifest, clients)
    begun = await _begin_authorization(connection, viewer, integration, manifest, redirect_uri, box, now)
    return Connected(integration, None, begun)


async def find_authorization(
    connection: Connection, viewer: Viewer, state: str, *, box: SecretBox | None, now: datetime
) -> tuple[Integration, Authorization]:
    """The sign-in that a person comes back from; the same person who began it, within `AUTHORIZATION_MINUTES`.

    Raises:
        NotFound: there is none.
    """
    digest = hashlib.sha256(state.encode()).hexdigest()
    rows = await connection.fetch(
        "SELECT * FROM integrations WHERE team_id = $1 AND sign_in IS NOT NULL", viewer.team_id
    )
    for integration in map(integration_of, rows):
        kept: Any = integration.sign_in
        if not hmac.compare_digest(kept["state"], digest):
            continue
        if kept["by"] == str(viewer.user_id) and datetime.fromisoformat(kept["until"]) > now:
            manifest = await get_kind(connection, integration.kind)
            verifier = require_box(box).open(kept["verifier"].encode()).decode()
            scopes = _scopes_of(manifest, integration)
            return integration, Authorization(manifest, state, verifier, kept["redirect_uri"], scopes)
    raise NotFound("state: this sign-in has lapsed or was begun by somebody else; begin anew.", path=("input", "state"))


async def keep_tokens(
    connection: Connection,
    viewer: Viewer,
    integration_id: UUID,
    tokens: Mapping[str, Any],
    *,
    base_url: str | None,
    box: SecretBox | None,
) -> Connected:
    """Keep what the vendor answered to the code; the connection is checked, and then synced.

    Raises:
        NotFound: the connection is gone.
    """
    integration = await _get(connection, viewer, integration_id)
    settings = dict(integration.settings)
    if base_url is not None:
        settings["base_url"] = base_url
    await connection.execute(
        "UPDATE integrations SET secrets = $3, settings = $4::jsonb, sign_in = NULL, state = $5 "
        "WHERE team_id = $1 AND id = $2",
        viewer.team_id,
        integration_id,
        require_box(box).seal(orjson.dumps(dict(tokens))),
        orjson.dumps(settings).decode(),
        IntegrationState.CONNECTING.value,
    )
    return Connected(
        await _get(connection, viewer, integration_id), await _create_check(connection, viewer, integration_id)
    )


def tokens_of(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a token endpoint's answer: the tokens, when the access token ends, and what was granted."""
    tokens: dict[str, Any] = {"access_token": answer["access_token"]}
    if answer.get("refresh_token"):
        tokens["refresh_token"] = answer["refresh_token"]
    if isinstance(answer.get("scope"), str):
        tokens["scope"] = answer["scope"]
    ends = answer.get("expires_at")
    tokens["expires_at"] = None if ends is None else datetime.fromtimestamp(float(ends), UTC).isoformat()
    return tokens


async def _create_check(connection: Connection, viewer: Viewer, integration_id: UUID) -> UUID:
    return await jobs.create_job(
        connection,
        viewer.team_id,
        CHECK_KIND,
        run_key=f"check:{integration_id}:{new_id()}",
        arguments={"integration_id": str(integration_id)},
        requested_by_id=viewer.user_id,
        exclusive_key=f"check:{integration_id}",
    )


@dataclass(frozen=True, slots=True)
class IntegrationChange:
    """What to change; None leaves it as it is."""

    name: str | None = None
    settings: Mapping[str, str] | None = None
    secrets: Mapping[str, str] | None = None
    syncs: frozenset[CrmPart] | None = None
    interval_minutes: int | None = None
    paused: bool | None = None


async def update(
    connection: Connection, viewer: Viewer, integration_id: UUID, change: IntegrationChange, *, box: SecretBox | None
) -> Connected:
    """Change a connection: its name, how often it is synced, whether it rests, what lets it in, what it brings.

    New settings or secrets take the place of all that were there, and are checked by a job.

    Raises:
        NotFound: there is no such connection in the viewer's sight.
        Forbidden: the viewer may not change it.
        Invalid: something does not fit.
    """
    integration = await _get(connection, viewer, integration_id)
    manifest = await get_kind(connection, integration.kind)
    columns: dict[str, Any] = {}
    if change.name is not None:
        _check_name(change.name.strip())
        columns["name"] = change.name.strip()
    if change.interval_minutes is not None:
        if not SHORTEST_INTERVAL_MINUTES <= change.interval_minutes <= LONGEST_INTERVAL_MINUTES:
            raise Invalid(
                f"intervalMinutes: from {SHORTEST_INTERVAL_MINUTES} to {LONGEST_INTERVAL_MINUTES}.",
                path=("input", "intervalMinutes"),
            )
        columns["interval_minutes"] = change.interval_minutes
    if change.settings is not None or change.secrets is not None:
        _require_changing(viewer, integration)
        own = {name: value for name, value in integration.settings.items() if name in OPERATOR_SETTINGS | {"base_url"}}
        complete = manifest.oauth is None
        if change.settings is not None:
            columns["settings"] = own | _check_values(manifest, change.settings, secret=False, complete=complete)
        if change.secrets is not None:
            columns["secrets"] = _seal(box, _check_values(manifest, change.secrets, secret=True, complete=complete))
        columns["state"] = IntegrationState.CONNECTING.value
    if change.paused is not None and "state" not in columns:
        if change.paused and integration.state is not IntegrationState.PAUSED:
            columns["state"] = IntegrationState.PAUSED.value
        if not change.paused and integration.state in (IntegrationState.PAUSED, IntegrationState.BROKEN):
            columns["state"] = IntegrationState.ACTIVE.value
    if change.syncs is not None:
        if manifest.opportunity_object is None or not change.syncs:
            raise Invalid("syncs: name OPPORTUNITIES, DEALS or both; only a CRM has them.", path=("input", "syncs"))
        parts = sorted(part.value for part in change.syncs)
        if parts != sorted(integration.syncs):
            access.require_team_integrations(viewer, deals=CrmPart.DEALS in {*parts, *integration.syncs})
            columns["syncs"] = parts
            columns["remap_wanted"] = integration.remap_wanted + 1
    changed = {name: value for name, value in columns.items() if value != getattr(integration, name)}
    if changed:
        await _set(connection, viewer.team_id, integration_id, changed)
        told = {name: value for name, value in changed.items() if name not in ("secrets", "remap_wanted")}
        before = {name: getattr(integration, name) for name in told}
        if "secrets" in changed:
            told["secrets"] = "changed"
        await _record(connection, viewer, AuditAction.INTEGRATION_UPDATED, integration_id, before, told)
    job_id = None
    if changed.get("state") == IntegrationState.PAUSED:
        await _cancel_jobs(connection, viewer.team_id, integration_id)
    elif "settings" in columns or "secrets" in columns:
        job_id = await _create_check(connection, viewer, integration_id)
    elif changed.get("state") == IntegrationState.ACTIVE or "syncs" in changed:
        job_id = await create_sync(connection, viewer.team_id, integration_id, viewer.user_id)
    return Connected(await _get(connection, viewer, integration_id), job_id)


async def _set(connection: Connection, team_id: UUID, integration_id: UUID, columns: Mapping[str, Any]) -> None:
    values = [orjson.dumps(value).decode() if name == "settings" else value for name, value in columns.items()]
    assignments = ", ".join(
        f"{name} = ${place}{'::jsonb' if name == 'settings' else ''}" for place, name in enumerate(columns, 3)
    )
    if "interval_minutes" in columns:
        place = list(columns).index("interval_minutes") + 3
        assignments += f", next_sync_at = least(next_sync_at, now() + make_interval(mins => ${place}))"
    await connection.execute(
        f"UPDATE integrations SET {assignments} WHERE team_id = $1 AND id = $2", team_id, integration_id, *values
    )


async def _cancel_jobs(connection: Connection, team_id: UUID, integration_id: UUID) -> None:
    for kind in ("sync", "check"):
        found = await connection.fetch(
            "SELECT id FROM jobs WHERE team_id = $1 AND exclusive_key = $2 AND state IN ('SCHEDULED', 'RUNNING')",
            team_id,
            f"{kind}:{integration_id}",
        )
        for row in found:
            await jobs.cancel_job(connection, team_id, row["id"])


async def disconnect(connection: Connection, viewer: Viewer, integration_id: UUID) -> None:
    """End a connection: its secrets and kept documents go at once; the activities that it brought stay.

    Raises:
        NotFound: there is no such connection in the viewer's sight.
        Forbidden: the viewer may not change it.
    """
    integration = await _get(connection, viewer, integration_id)
    _require_changing(viewer, integration)
    await _cancel_jobs(connection, viewer.team_id, integration_id)
    await connection.execute("DELETE FROM integrations WHERE team_id = $1 AND id = $2", viewer.team_id, integration_id)
    before = {"kind": integration.kind, "name": integration.name, "account": integration.account_name}
    await _record(connection, viewer, AuditAction.INTEGRATION_DISCONNECTED, integration_id, before, None)


async def end_of_user(connection: Connection, team_id: UUID, user_id: UUID) -> None:
    """Let go of the calendars of somebody who leaves: secrets and kept documents go, activities stay."""
    rows = await connection.fetch(
        "SELECT id FROM integrations WHERE team_id = $1 AND owner_id = $2 FOR NO KEY UPDATE", team_id, user_id
    )
    for row in rows:
        await _cancel_jobs(connection, team_id, row["id"])
        await connection.execute("DELETE FROM integrations WHERE team_id = $1 AND id = $2", team_id, row["id"])


async def create_sync(connection: Connection, team_id: UUID, integration_id: UUID, user_id: UUID | None) -> UUID:
    """A sync that is due now; the one that is scheduled or running already, if there is one."""
    return await jobs.create_job(
        connection,
        team_id,
        SYNC_KIND,
        run_key=f"sync:{integration_id}:{new_id()}",
        arguments={"integration_id": str(integration_id)},
        requested_by_id=user_id,
        exclusive_key=f"sync:{integration_id}",
    )


async def sync_now(connection: Connection, viewer: Viewer, integration_id: UUID, *, retry: bool = False) -> UUID:
    """Sync a connection now, whatever its schedule says; with `retry`, try what is quarantined again too.

    Raises:
        NotFound: there is no such connection in the viewer's sight.
        Conflict: it rests, or is not connected yet.
    """
    integration = await _get(connection, viewer, integration_id)
    if integration.state is IntegrationState.PAUSED:
        raise Conflict("The integration is paused: resume it first.", path=("input", "integrationId"))
    if integration.secrets is None and integration.account_id is None:
        raise Conflict("The integration is not connected yet: sign in first.", path=("input", "integrationId"))
    if retry:
        await _set(connection, viewer.team_id, integration_id, {"retry_wanted": True})
    if integration.state is IntegrationState.CONNECTING:
        return await _create_check(connection, viewer, integration_id)
    return await create_sync(connection, viewer.team_id, integration_id, viewer.user_id)


async def schedule_due(connection: Connection, limit: int) -> int:
    """Make the syncs whose time has come, of all teams; twice beside each other they are made once. Returns how many
    integrations were due. Needs the owner's connection. Served by integrations_due_idx.
    """
    status: str = await connection.execute(
        """
        WITH due AS (
            SELECT i.id, i.team_id, i.next_sync_at FROM integrations i
            WHERE i.state = 'ACTIVE' AND i.next_sync_at <= now()
            ORDER BY i.next_sync_at LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED
        ), made AS (
            INSERT INTO jobs (id, team_id, kind, run_key, arguments, exclusive_key)
            SELECT uuidv7(), team_id, 'sync', 'sync:' || id || ':' || extract(epoch FROM next_sync_at),
                jsonb_build_object('integration_id', id), 'sync:' || id
            FROM due ON CONFLICT DO NOTHING
        )
        UPDATE integrations i
        SET next_sync_at = greatest(i.next_sync_at + make_interval(mins => i.interval_minutes), now())
        FROM due WHERE i.id = due.id
        """,
        limit,
    )
    return int(status.rpartition(" ")[2])


async def newest_job(connection: Connection, team_id: UUID, integration_id: UUID) -> Job | None:
    """The job that last checked or synced a connection, or does so now. Served by jobs_integration_idx."""
    row = await connection.fetchrow(
        "SELECT * FROM jobs WHERE team_id = $1 AND exclusive_key IN ($2, $3) ORDER BY id DESC LIMIT 1",
        team_id,
        f"sync:{integration_id}",
        f"check:{integration_id}",
    )
    return None if row is None else Job._init_from_db(**dict(row))


# Field mappings.


def described_fields(integration: Integration) -> tuple[DescribedField, ...]:
    """The fields of the CRM's opportunity object, as the last check found them."""
    return tuple(msgspec.convert(one, DescribedField) for one in integration.described)


def sample_documents(integration: Integration) -> tuple[Document, ...]:
    """Up to ten of the CRM's newest records, as the last check found them."""
    return tuple(msgspec.convert(one, Document) for one in integration.samples)


async def mapping_of(connection: Connection, integration: Integration, manifest: Manifest) -> Mapping[str, Any]:
    """The field mapping in force; the connector's own while nobody has set one."""
    if integration.mapping_version == 0:
        return dict(manifest.default_mapping or {})
    held = await connection.fetchval(
        "SELECT mapping FROM field_mappings WHERE team_id = $1 AND integration_id = $2 AND version = $3",
        integration.team_id,
        integration.id,
        integration.mapping_version,
    )
    mapping: dict[str, Any] = orjson.loads(held)
    return mapping


async def crm_of(connection: Connection, viewer: Viewer, integration_id: UUID) -> tuple[Integration, Manifest]:
    """A CRM of the viewer's team, for its field mapping.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
        NotFound: there is no such CRM.
    """
    access.require_team_integrations(viewer, deals=False)
    integration = await _get(connection, viewer, integration_id)
    manifest = await get_kind(connection, integration.kind)
    if manifest.opportunity_object is None:
        raise NotFound("No such CRM.", path=("input", "integrationId"))
    return integration, manifest


async def set_mapping(
    connection: Connection,
    viewer: Viewer,
    integration_id: UUID,
    mapping: Mapping[str, Any],
    *,
    expected_version: int | None,
) -> tuple[Integration, UUID]:
    """Put a new version of a field mapping in force; the numbers are made anew in the background.

    Args:
        connection: Inside a transaction.
        viewer: Who sets it.
        integration_id: The CRM.
        mapping: See domain/opportunities.py.
        expected_version: The version that the viewer has seen; None to overwrite whatever is there.

    Returns:
        The CRM, and the job that makes the numbers anew.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
        NotFound: there is no such CRM.
        Conflict: somebody has set another version meanwhile; the CRM has not been checked yet.
        Invalid, Refused: the mapping does not fit the CRM's fields.
    """
    integration, manifest = await crm_of(connection, viewer, integration_id)
    if expected_version is not None and expected_version != integration.mapping_version:
        raise Conflict(
            f"expectedVersion: the mapping is at version {integration.mapping_version} by now; look at it first.",
            path=("input", "expectedVersion"),
        )
    if not integration.described:
        raise Conflict("The CRM's fields are not known yet: let it connect first.", path=("input", "integrationId"))
    check_against(mapping, integration)
    before = await mapping_of(connection, integration, manifest)
    version = int(
        await connection.fetchval(
            "SELECT coalesce(max(version), 0) + 1 FROM field_mappings WHERE team_id = $1 AND integration_id = $2",
            viewer.team_id,
            integration_id,
        )
    )
    await connection.execute(
        "INSERT INTO field_mappings (id, team_id, integration_id, version, mapping, set_by_id) "
        "VALUES ($1, $2, $3, $4, $5::jsonb, $6)",
        new_id(),
        viewer.team_id,
        integration_id,
        version,
        orjson.dumps(dict(mapping)).decode(),
        viewer.user_id,
    )
    columns = {"mapping_version": version, "remap_wanted": integration.remap_wanted + 1}
    await _set(connection, viewer.team_id, integration_id, columns)
    await _record(
        connection, viewer, AuditAction.FIELD_MAPPING_SET, integration_id, {"mapping": before}, {"mapping": mapping}
    )
    job_id = await create_sync(connection, viewer.team_id, integration_id, viewer.user_id)
    return await _get(connection, viewer, integration_id), job_id


def check_against(mapping: Mapping[str, Any], integration: Integration) -> None:
    """Refuse a mapping that does not fit a CRM's fields.

    Raises:
        Invalid, Refused: naming each place.
    """
    problems = check_mapping(read_mapping(mapping), described_fields(integration))
    if problems:
        raise Refused(problems)


async def list_mappings(connection: Connection, team_id: UUID, integration_id: UUID) -> list[FieldMapping]:
    """The versions of a CRM's mapping, the newest first."""
    rows = await connection.fetch(
        "SELECT * FROM field_mappings WHERE team_id = $1 AND integration_id = $2 ORDER BY version DESC",
        team_id,
        integration_id,
    )
    return [FieldMapping._init_from_db(**(dict(row) | {"mapping": orjson.loads(row["mapping"])})) for row in rows]


# What could not be taken in.


async def count_quarantined(connection: Connection, team_id: UUID, ids: Sequence[UUID]) -> dict[UUID, int]:
    """How many documents of each connection wait."""
    rows = await connection.fetch(
        "SELECT integration_id, count(*) AS waiting FROM quarantined_documents "
        "WHERE team_id = $1 AND integration_id = ANY ($2::uuid[]) GROUP BY integration_id",
        team_id,
        list(ids),
    )
    return {row["integration_id"]: row["waiting"] for row in rows}


async def list_quarantined(
    connection: Connection, team_id: UUID, integration_id: UUID, request: PageRequest
) -> Page[QuarantinedDocument]:
    """A page of a connection's documents that wait, the oldest first; the connection is in the viewer's sight."""
    arguments: list[object] = [team_id, integration_id]
    condition = "team_id = $1 AND integration_id = $2"
    if request.cursor is not None:
        arguments += decode_cursor("quarantined", request.cursor, (UUID,))
        condition += f" AND id {'<' if request.backward else '>'} ${len(arguments)}"
    arguments.append(request.limit + 1)
    rows = await connection.fetch(
        f"SELECT * FROM quarantined_documents WHERE {condition} "
        f"ORDER BY id {'DESC' if request.backward else 'ASC'} LIMIT ${len(arguments)}",
        *arguments,
    )
    found = [QuarantinedDocument._init_from_db(**dict(row)) for row in rows]
    return page_of(request, found, [encode_cursor("quarantined", str(one.id)) for one in found])


# Exchange rates.


async def set_rates(connection: Connection, viewer: Viewer, rates: Sequence[tuple[str, Any, Any]]) -> int:
    """Keep exchange rates that the team gives itself: (currency, day, rate). Returns how many; CRMs are mapped anew.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
        Invalid: a rate is not above 0, or the currency is none.
    """
    access.require_team_integrations(viewer, deals=False)
    for place, (currency, _, rate) in enumerate(rates):
        if not (len(currency) == 3 and currency.isascii() and currency.isupper() and currency.isalpha()):
            raise Invalid("currency: give three letters, such as EUR.", path=("input", "rates", str(place), "currency"))
        if not rate.is_finite() or not 0 < rate < 10**9:
            raise Invalid("rate: above 0 and below 10^9.", path=("input", "rates", str(place), "rate"))
    await keep_rates(connection, viewer.team_id, rates, "team")
    after = {"rates": [[currency, str(day), str(rate)] for currency, day, rate in rates]}
    entry = NewEntry(AuditAction.EXCHANGE_RATES_SET, ("Team", viewer.team_id), None, after)
    await audit.record(connection, viewer, [entry])
    await want_remap(connection, viewer.team_id, viewer.user_id)
    return len(rates)


async def keep_rates(connection: Connection, team_id: UUID, rates: Sequence[tuple[str, Any, Any]], source: str) -> int:
    """Keep exchange rates of a source, in place of those that it gave before for the same days. Returns how many are
    new or other than before.
    """
    newest = {(currency, day): rate for currency, day, rate in rates}
    rows = await connection.fetch(
        """
        INSERT INTO exchange_rates AS x (id, team_id, currency, day, rate, source)
        SELECT uuidv7(), $1, r.currency, r.day, r.rate, $2
        FROM unnest($3::text[], $4::date[], $5::numeric[]) r (currency, day, rate)
        ON CONFLICT (team_id, currency, day, source) DO UPDATE SET rate = EXCLUDED.rate WHERE x.rate <> EXCLUDED.rate
        RETURNING 1
        """,
        team_id,
        source,
        [currency for currency, _ in newest],
        [day for _, day in newest],
        list(newest.values()),
    )
    return len(rows)


async def want_remap(connection: Connection, team_id: UUID, user_id: UUID | None) -> None:
    """Have what connections have brought mapped anew: something that all of them go by has changed."""
    rows = await connection.fetch(
        "UPDATE integrations SET remap_wanted = remap_wanted + 1 WHERE team_id = $1 AND state = 'ACTIVE' RETURNING id",
        team_id,
    )
    for row in rows:
        await create_sync(connection, team_id, row["id"], user_id)
