"""Who may listen in where: the studio's settings of a team, and what a call's jurisdictions ask for.

A call knows where the rep and where the counterpart is, by ISO 3166 codes: `US-CA`, `DE`. For each of them the team's
rule for the code counts, else the one for its country, else the one for unknown places; where a side is not known, the
one for unknown places. The strictest wins. What the law asks for is for the team to say; until it has, everybody must
be told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from domain import access, audit
from domain.access import Viewer
from domain.audit import AuditAction, NewEntry
from domain.errors import Conflict, Invalid
from domain.live_changes import dismiss, mark
from domain.models.base import new_id
from domain.models.live_calls import ConsentRule
from domain.models.people import Permission

if TYPE_CHECKING:
    from domain.database import Connection

LISTENERS_PER_CALL = 3
LISTENERS_PER_TEAM = 50
KEEP_DAYS = 30
MOST_PER_CALL = 50
MOST_PER_TEAM = 5_000
MOST_KEEP_DAYS = 3_650
MOST_JURISDICTIONS = 500
LONGEST_BANNER = 500
DEFAULT_BANNER = "Everybody on the call must know that you are on it. Join only when they have been told."
_CODE = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?")
_STRICTNESS = list(ConsentRule)


class ConsentNeeded(Invalid):
    """The banner of the call is to be acknowledged first."""

    code = "CONSENT_NEEDED"


class ConsentForbidden(Conflict):
    """Nobody may listen in where the call is."""

    code = "CONSENT_FORBIDDEN"


@dataclass(frozen=True, slots=True)
class Jurisdiction:
    """What a place asks for.

    Args:
        rule: Who must agree.
        banner: What a manager reads before joining; a plain one if None.
    """

    rule: ConsentRule
    banner: str | None = None


@dataclass(frozen=True, slots=True)
class Studio:
    """How a team uses the studio.

    Args:
        listeners_per_call: Managers that may be on one call.
        listeners_per_team: Managers that may be on calls of the team.
        keep_days: Days for which ended calls and their notes are kept.
        unknown: What counts where a place is not known.
        jurisdictions: By code.
    """

    listeners_per_call: int
    listeners_per_team: int
    keep_days: int
    unknown: Jurisdiction
    jurisdictions: Mapping[str, Jurisdiction]

    def at(self, code: str | None) -> Jurisdiction:
        """What counts at a place."""
        if code is None:
            return self.unknown
        return self.jurisdictions.get(code) or self.jurisdictions.get(code[:2]) or self.unknown


DEFAULTS = Studio(LISTENERS_PER_CALL, LISTENERS_PER_TEAM, KEEP_DAYS, Jurisdiction(ConsentRule.ALL_PARTY), {})


@dataclass(frozen=True, slots=True)
class Consent:
    """What a call asks of who joins it.

    Args:
        rule: The strictest of its places.
        banner: What to show; None where nobody needs to be told.
        places: The places' codes, as far as they are known.
    """

    rule: ConsentRule
    banner: str | None
    places: tuple[str, ...]

    def check(self, *, acknowledged: bool, path: tuple[str, ...]) -> None:
        """Refuse who may not join.

        Raises:
            ConsentForbidden: nobody may.
            ConsentNeeded: the banner is not acknowledged.
        """
        if self.rule is ConsentRule.FORBIDDEN:
            raise ConsentForbidden(self.banner or "Nobody may listen in where this call is.", path=path)
        if self.rule is ConsentRule.ALL_PARTY and not acknowledged:
            raise ConsentNeeded(
                "Show the call's `consent.banner`, and send consentAcknowledged: true once it is acknowledged.",
                path=(*path[:-1], "consentAcknowledged"),
            )


def consent_of(studio: Studio, user_place: str | None, counterpart_place: str | None) -> Consent:
    """What a call between two places asks for."""
    asked = [studio.at(user_place), studio.at(counterpart_place)]
    rule = max((one.rule for one in asked), key=_STRICTNESS.index)
    banner = None
    if rule is not ConsentRule.ONE_PARTY:
        texts = dict.fromkeys(one.banner for one in asked if one.rule is rule and one.banner)
        banner = " ".join(text for text in texts if text) or (DEFAULT_BANNER if rule is ConsentRule.ALL_PARTY else None)
    return Consent(rule, banner, tuple(place for place in (user_place, counterpart_place) if place))


async def read_studio(connection: Connection, team_id: UUID) -> Studio:
    """A team's settings. Served by live_call_settings_team_id_key."""
    row = await connection.fetchrow("SELECT * FROM live_call_settings WHERE team_id = $1", team_id)
    if row is None:
        return DEFAULTS
    return Studio(
        row["listeners_per_call"],
        row["listeners_per_team"],
        row["keep_days"],
        Jurisdiction(ConsentRule(row["unknown_rule"]), row["unknown_banner"]),
        {
            code: Jurisdiction(ConsentRule(one["rule"]), one.get("banner"))
            for code, one in orjson.loads(row["jurisdictions"]).items()
        },
    )


@dataclass(frozen=True, slots=True)
class StudioChange:
    """What to change; None leaves a setting as it is. `jurisdictions` take the place of all of before."""

    listeners_per_call: int | None = None
    listeners_per_team: int | None = None
    keep_days: int | None = None
    unknown: Jurisdiction | None = None
    jurisdictions: Mapping[str, Jurisdiction] | None = None


def _check(studio: Studio) -> None:
    for told, value, least, most in (
        ("listenersPerCall", studio.listeners_per_call, 0, MOST_PER_CALL),
        ("listenersPerTeam", studio.listeners_per_team, 0, MOST_PER_TEAM),
        ("keepDays", studio.keep_days, 1, MOST_KEEP_DAYS),
    ):
        if not least <= value <= most:
            raise Invalid(f"{told}: from {least} to {most}.", path=("input", told))
    if len(studio.jurisdictions) > MOST_JURISDICTIONS:
        raise Invalid(f"jurisdictions: at most {MOST_JURISDICTIONS}.", path=("input", "jurisdictions"))
    for code in studio.jurisdictions:
        if not _CODE.fullmatch(code):
            raise Invalid(
                f"jurisdictions: {code!r} is no code of ISO 3166 such as US-CA or DE.", path=("input", "jurisdictions")
            )
    for one in (studio.unknown, *studio.jurisdictions.values()):
        if one.banner is not None and (
            not one.banner.strip() or len(one.banner) > LONGEST_BANNER or "\0" in one.banner
        ):
            raise Invalid(f"banner: 1 to {LONGEST_BANNER} characters.", path=("input", "jurisdictions"))


def _stored(one: Jurisdiction) -> dict[str, str]:
    return {"rule": one.rule.value} | ({} if one.banner is None else {"banner": one.banner})


def _told(studio: Studio) -> dict[str, Any]:
    return {
        "listeners_per_call": studio.listeners_per_call,
        "listeners_per_team": studio.listeners_per_team,
        "keep_days": studio.keep_days,
        "unknown": _stored(studio.unknown),
        "jurisdictions": {code: _stored(one) for code, one in sorted(studio.jurisdictions.items())},
    }


async def put_studio(connection: Connection, team_id: UUID, studio: Studio) -> None:
    """Write settings that were checked."""
    await connection.execute(
        """
        INSERT INTO live_call_settings (id, team_id, listeners_per_call, listeners_per_team, keep_days, unknown_rule,
            unknown_banner, jurisdictions)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8::jsonb)
        ON CONFLICT (team_id) DO UPDATE SET listeners_per_call = EXCLUDED.listeners_per_call,
            listeners_per_team = EXCLUDED.listeners_per_team, keep_days = EXCLUDED.keep_days,
            unknown_rule = EXCLUDED.unknown_rule, unknown_banner = EXCLUDED.unknown_banner,
            jurisdictions = EXCLUDED.jurisdictions
        """,
        new_id(),
        team_id,
        studio.listeners_per_call,
        studio.listeners_per_team,
        studio.keep_days,
        studio.unknown.rule.value,
        studio.unknown.banner,
        orjson.dumps({code: _stored(one) for code, one in studio.jurisdictions.items()}).decode(),
    )


async def update_studio(connection: Connection, viewer: Viewer, change: StudioChange) -> Studio:
    """Change settings, in the caller's transaction. Who is on a call that they may not be on any more is taken off.

    Raises:
        Forbidden: the viewer lacks `MANAGE_TEAM`.
        Invalid: a setting does not fit.
    """
    access.require(viewer, Permission.MANAGE_TEAM)
    # A call's row is locked before the settings are written, by whoever joins it; here they are read anew instead.
    await connection.execute(
        "INSERT INTO live_call_settings (id, team_id) VALUES ($1, $2) ON CONFLICT DO NOTHING", new_id(), viewer.team_id
    )
    await connection.execute("SELECT 1 FROM live_call_settings WHERE team_id = $1 FOR NO KEY UPDATE", viewer.team_id)
    before = await read_studio(connection, viewer.team_id)

    def chosen(given: Any, kept: Any) -> Any:
        return kept if given is None else given

    after = Studio(
        chosen(change.listeners_per_call, before.listeners_per_call),
        chosen(change.listeners_per_team, before.listeners_per_team),
        chosen(change.keep_days, before.keep_days),
        chosen(change.unknown, before.unknown),
        chosen(change.jurisdictions, before.jurisdictions),
    )
    _check(after)
    if after == before:
        return after
    await put_studio(connection, viewer.team_id, after)
    rows = await connection.fetch(
        """
        SELECT c.id, c.user_jurisdiction, c.counterpart_jurisdiction FROM live_calls c
        WHERE c.team_id = $1 AND c.state <> 'ENDED' ORDER BY c.id FOR NO KEY UPDATE
        """,
        viewer.team_id,
    )
    for row in rows:
        await enforce(connection, viewer.team_id, row, after)
    entry = NewEntry(AuditAction.SETTINGS_UPDATED, ("Team", viewer.team_id), _told(before), _told(after))
    await audit.record(connection, viewer, [entry])
    if rows:
        # What each call shows of consent may have changed.
        await mark(connection, viewer.team_id, [row["id"] for row in rows])
    return after


async def enforce(connection: Connection, team_id: UUID, call: Any, studio: Studio) -> None:
    """Take off a call whoever may not be on it by its places, in the caller's transaction, which holds its lock."""
    consent = consent_of(studio, call["user_jurisdiction"], call["counterpart_jurisdiction"])
    if consent.rule is ConsentRule.FORBIDDEN:
        await dismiss(connection, team_id, call["id"], "CONSENT_FORBIDDEN")
    elif consent.rule is ConsentRule.ALL_PARTY:
        await dismiss(connection, team_id, call["id"], "CONSENT_NEEDED", unacknowledged=True)
