"""Live calls: as they stand, as they go on, joining them, and the dialers that tell of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from api.context import Context
from api.live_feed import LiveFeed
from api.schema.errors import UserError, told
from api.schema.live_calls import (
    AddLiveCallNoteInput,
    ChangeLiveCallModeInput,
    CreateDialerInput,
    Dialer,
    DialerPayload,
    JoinLiveCallInput,
    LeaveLiveCallInput,
    LiveCall,
    LiveCallFilter,
    LiveCallNote,
    LiveCallNotePayload,
    LiveCallPayload,
    LiveCallSettings,
    LiveCallSettingsPayload,
    RemoveDialerInput,
    RemoveLiveCallNoteInput,
    RotateDialerSecretInput,
    UpdateLiveCallSettingsInput,
    studio_of,
)
from api.schema.nodes import Connection, connection_read
from api.turns import Turns
from domain import access, dialers, live_calls, live_consent, live_joins, live_notes
from domain.errors import Forbidden, NotFound
from domain.ids import decode_any_id, decode_id
from domain.live_calls import CallFilter, Place
from domain.live_consent import Jurisdiction, Studio, StudioChange
from domain.models import LiveCall as CallRow
from domain.models.people import Permission
from domain.models.tokens import TokenScope
from domain.paging import page_request

COALESCE_SECONDS = 0.05
"""Changes that come within this are given together."""
LOOK_AGAIN_SECONDS = 15.0
"""A subscriber's rights are looked at so often, though nothing changes."""


def feed_of(context: Context) -> LiveFeed:
    """This process's feed."""
    feed: LiveFeed = context.connection.app.state.live_feed
    return feed


def _filter(given: LiveCallFilter | None) -> CallFilter:
    """The domain's. An id that was never issued narrows to nothing, as a hidden one does."""
    if given is None:
        return CallFilter()
    if given.user_ids is None:
        return CallFilter(None, bool(given.with_ended))
    found = [decode_any_id(str(one)) for one in given.user_ids]
    users = tuple(one[1] for one in found if one is not None and one[0] == "User")
    return CallFilter(users, bool(given.with_ended))


async def list_calls(
    context: Context, first: int | None, after: str | None, given: LiveCallFilter | None
) -> Connection[LiveCall]:
    """A page of the calls in scope."""
    wanted, sight = _filter(given), await context.users_in_sight()

    return await connection_read(
        context.acquire_primary,
        lambda connection: live_calls.list_calls(connection, sight, wanted, page_request(first, after)),
        lambda connection: live_calls.count_calls(connection, sight, wanted),
        LiveCall.of,
    )


async def find_call(context: Context, row_id: UUID) -> Any:
    """A call in scope."""
    async with context.acquire_primary() as connection:
        sight = await access.see_live_calls(connection, context.viewer)
        row = (await live_calls.calls_by_id(connection, sight, [row_id]))[0]
    return None if row is None else LiveCall.of(row)


async def find_dialer(context: Context, row_id: UUID) -> Any:
    """A dialer, for who manages the team."""
    async with context.acquire_primary() as connection:
        row = await dialers.find_dialer(connection, context.viewer, row_id)
    return None if row is None else Dialer.of(row)


async def settings_for(context: Context) -> Studio:
    """The same for who may know of them.

    Raises:
        Forbidden: the viewer neither joins calls nor manages the team.
    """
    if not access.may_see_live_calls(context.viewer) and not access.may(context.viewer, Permission.MANAGE_TEAM):
        missing = Permission.LIVE_CALL_STUDIO.value
        raise Forbidden(f"This needs the permission {missing}.", permission=missing)
    return await studio_of(context)


async def watch(context: Context) -> AsyncGenerator[CallRow, None]:
    """The calls in progress in scope, then each call at every change, with the viewer's rights of that moment. People
    who come into scope bring their calls in progress.

    Raises:
        Unauthenticated: the viewer's credential has ended.
        Forbidden: the viewer may see no live calls any more.
    """
    showing: Turns = context.connection.app.state.showing
    place: Place | None = None
    sight: access.Sight | None = None
    with feed_of(context).joined(context.viewer.team_id) as feed:
        while True:
            await context.refresh()
            access.require_scope(context.viewer, TokenScope.READ)
            access.require_live_calls(context.viewer)
            before, sight = sight, await context.users_in_sight()
            async with context.acquire_primary() as connection:
                if place is None or before is None:
                    place, found = await live_calls.current_calls(connection, sight)
                    full = False
                else:
                    # Read first: whatever has a number up to here is committed, and the statement below sees it.
                    reached = Place(feed.position)
                    found = await _come_into_sight(connection, before, sight, place)
                    changed = await live_calls.changes_after(connection, sight, place)
                    found += changed
                    full = len(changed) == live_calls.CHANGES_LOT
                    if changed:
                        place = Place(changed[-1].change, changed[-1].id)
                    if not full and reached.change > place.change:
                        # The rest up to here is out of sight.
                        place = reached
            await _prepare(context, found)
            for call in found:
                # One state of a person's is put together and sent at a time; the streams themselves are capped.
                async with showing.turn(context.viewer.user_id, 0):
                    yield call
            if not full:
                await asyncio.sleep(COALESCE_SECONDS)
                await feed.beyond(place.change, LOOK_AGAIN_SECONDS)


async def _come_into_sight(connection: Any, before: access.Sight, now: access.Sight, place: Place) -> list[CallRow]:
    """Calls in progress of people who have come into sight; what has changed besides comes with its change."""
    if before.everything or before == now:
        return []
    _, current = await live_calls.current_calls(connection, now)
    return [
        call
        for call in current
        if call.user_id not in before.ids and (call.change, call.id) <= (place.change, place.call_id)
    ]


async def _prepare(context: Context, calls: Sequence[CallRow]) -> None:
    """Bring what a lot of calls needs in a few statements, however many they are."""
    if calls:
        await context.users.load_many(call.user_id for call in calls if call.user_id is not None)
        participants = await context.live_call_participants.load_many(call.id for call in calls)
        await context.users.load_many(one.user_id for many in participants for one in many)


def _call_id(given: str) -> UUID:
    decoded = decode_any_id(given)
    if decoded is None or decoded[0] != "LiveCall":
        raise NotFound("No such live call.", path=("input", "callId"))
    return decoded[1]


async def _changed(context: Context, work: Callable[[Any], Awaitable[CallRow]]) -> LiveCallPayload:
    """What became of a call, told to who listens."""

    async def changing() -> LiveCallPayload:
        row = await context.in_transaction(work)
        await feed_of(context).hint(context.viewer.team_id)
        return LiveCallPayload(call=LiveCall.of(row), errors=[])

    return await told(changing(), lambda errors: LiveCallPayload(call=None, errors=errors))


async def join(context: Context, given: JoinLiveCallInput) -> LiveCallPayload:
    """Ask to be on a call."""

    async def work(connection: Any) -> CallRow:
        return await live_joins.join(
            connection,
            context.viewer,
            _call_id(given.call_id),
            given.mode,
            acknowledged=bool(given.consent_acknowledged),
            address=given.phone,
            now=datetime.now(UTC),
        )

    return await _changed(context, work)


async def change_mode(context: Context, given: ChangeLiveCallModeInput) -> LiveCallPayload:
    """Ask for another mode."""

    async def work(connection: Any) -> CallRow:
        return await live_joins.change_mode(
            connection,
            context.viewer,
            _call_id(given.call_id),
            given.mode,
            acknowledged=bool(given.consent_acknowledged),
            now=datetime.now(UTC),
        )

    return await _changed(context, work)


async def leave(context: Context, given: LeaveLiveCallInput) -> LiveCallPayload:
    """Ask to be off a call. The call is told of where it is in scope still."""

    async def work(connection: Any) -> CallRow:
        return await live_joins.leave(connection, context.viewer, _call_id(given.call_id))

    payload = await _changed(context, work)
    if payload.call is not None:
        async with context.acquire_primary() as connection:
            sight = await access.see_live_calls(connection, context.viewer)
        user_id = payload.call.row.user_id
        if user_id is None or not sight.sees(context.viewer.team_id, user_id):
            return LiveCallPayload(call=None, errors=[])
    return payload


async def add_note(context: Context, given: AddLiveCallNoteInput) -> LiveCallNotePayload:
    """Note something of a call."""

    async def work(connection: Any) -> Any:
        return await live_notes.add_note(
            connection,
            context.viewer,
            _call_id(given.call_id),
            given.text,
            private=bool(given.private),
            at_second=given.at_second,
            now=datetime.now(UTC),
        )

    async def adding() -> LiveCallNotePayload:
        row = await context.in_transaction(work)
        await feed_of(context).hint(context.viewer.team_id)
        return LiveCallNotePayload(note=LiveCallNote.of(row), errors=[])

    return await told(adding(), lambda errors: LiveCallNotePayload(note=None, errors=errors))


async def remove_note(context: Context, given: RemoveLiveCallNoteInput) -> LiveCallNotePayload:
    """Take one's own note back."""

    async def work(connection: Any) -> Any:
        note_id = decode_id(given.note_id, "LiveCallNote", path=("input", "noteId"))
        return await live_notes.remove_note(connection, context.viewer, note_id)

    async def removing() -> LiveCallNotePayload:
        await context.in_transaction(work)
        await feed_of(context).hint(context.viewer.team_id)
        return LiveCallNotePayload(note=None, errors=[])

    return await told(removing(), lambda errors: LiveCallNotePayload(note=None, errors=errors))


async def list_dialers(context: Context) -> list[Any]:
    """The team's dialers."""
    async with context.acquire_primary() as connection:
        found: list[Any] = await dialers.list_dialers(connection, context.viewer)
    return found


async def _dialer(context: Context, work: Callable[[Any], Awaitable[Any]]) -> DialerPayload:
    async def changing() -> DialerPayload:
        row, secret = await context.in_transaction(work)
        return DialerPayload(dialer=None if row is None else Dialer.of(row), secret=secret, errors=[])

    def refused(errors: list[UserError]) -> DialerPayload:
        return DialerPayload(dialer=None, secret=None, errors=errors)

    return await told(changing(), refused)


async def create_dialer(context: Context, given: CreateDialerInput) -> DialerPayload:
    """Listen to a dialer. Raises Unavailable without a key for secrets."""
    box = context.secret_box()
    account = given.twilio
    twilio = None
    if account is not None:
        twilio = dialers.TwilioAccount(account.account_sid, account.auth_token, account.caller_id)
    new = dialers.NewDialer(given.name, given.telephony, twilio)

    async def work(connection: Any) -> Any:
        return await dialers.create_dialer(connection, context.viewer, box, new)

    return await _dialer(context, work)


def _dialer_id(given: str) -> UUID:
    return decode_id(given, "Dialer", path=("input", "dialerId"))


async def rotate_secret(context: Context, given: RotateDialerSecretInput) -> DialerPayload:
    """Give a dialer a fresh secret. Raises Unavailable without a key for secrets."""
    box = context.secret_box()

    async def work(connection: Any) -> Any:
        return await dialers.rotate_secret(
            connection,
            context.viewer,
            box,
            _dialer_id(given.dialer_id),
            overlap_minutes=given.overlap_minutes,
            now=datetime.now(UTC),
        )

    return await _dialer(context, work)


async def remove_dialer(context: Context, given: RemoveDialerInput) -> DialerPayload:
    """Listen to a dialer no more."""

    async def work(connection: Any) -> Any:
        await dialers.remove_dialer(connection, context.viewer, _dialer_id(given.dialer_id), datetime.now(UTC))
        return None, None

    payload = await _dialer(context, work)
    await feed_of(context).hint(context.viewer.team_id)
    return payload


async def update_settings(context: Context, given: UpdateLiveCallSettingsInput) -> LiveCallSettingsPayload:
    """Change how the team uses the studio."""

    async def work(connection: Any) -> Studio:
        unknown = None
        if given.unknown_rule is not None or given.unknown_banner is not None:
            now = (await live_consent.read_studio(connection, context.viewer.team_id)).unknown
            unknown = Jurisdiction(given.unknown_rule or now.rule, given.unknown_banner or now.banner)
        places = None
        if given.jurisdictions is not None:
            places = {one.code: Jurisdiction(one.rule, one.banner) for one in given.jurisdictions}
        change = StudioChange(given.listeners_per_call, given.listeners_per_team, given.keep_days, unknown, places)
        return await live_consent.update_studio(connection, context.viewer, change)

    async def changing() -> LiveCallSettingsPayload:
        studio = await context.in_transaction(work)
        await feed_of(context).hint(context.viewer.team_id)
        return LiveCallSettingsPayload(settings=LiveCallSettings.of(studio), errors=[])

    return await told(changing(), lambda errors: LiveCallSettingsPayload(settings=None, errors=errors))
