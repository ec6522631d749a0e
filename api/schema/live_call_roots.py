"""The fields of the roots that live calls bring."""

from collections.abc import AsyncGenerator

import strawberry

from api.errors import guarded
from api.permissions import requires, requires_scope
from api.resolvers import live_calls as resolvers
from api.schema.fields import Info, reading, writing
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
    LiveCallNotePayload,
    LiveCallPayload,
    LiveCallSettings,
    LiveCallSettingsPayload,
    RemoveDialerInput,
    RemoveLiveCallNoteInput,
    RotateDialerSecretInput,
    UpdateLiveCallSettingsInput,
)
from api.schema.nodes import Connection
from domain.models.people import Permission
from domain.models.tokens import TokenScope

_STUDIO = (requires(Permission.LIVE_CALL_STUDIO), requires(Permission.TEAM_VIEW))


@strawberry.type
class LiveCallQuery:
    @reading("Calls in progress of the reps in scope, the latest first.", *_STUDIO)
    async def live_calls(
        self, info: Info, first: int | None = None, after: str | None = None, filter: LiveCallFilter | None = None
    ) -> Connection[LiveCall]:
        return await resolvers.list_calls(info.context, first, after, filter)

    @reading("The systems that tell of the team's calls, the oldest first.", requires(Permission.MANAGE_TEAM))
    async def dialers(self, info: Info) -> list[Dialer]:
        return [Dialer.of(row) for row in await resolvers.list_dialers(info.context)]

    @reading("How the team uses the studio: for who joins calls, and who manages the team.")
    async def live_call_settings(self, info: Info) -> LiveCallSettings:
        return LiveCallSettings.of(await resolvers.settings_for(info.context))


@strawberry.type
class LiveCallMutation:
    @writing("Ask to be on a call; asking again is a change of mode. A worker brings you onto the line.", *_STUDIO)
    async def join_live_call(self, info: Info, input: JoinLiveCallInput) -> LiveCallPayload:
        return await resolvers.join(info.context, input)

    @writing("Ask for another mode on a call that you are on.", *_STUDIO)
    async def change_live_call_mode(self, info: Info, input: ChangeLiveCallModeInput) -> LiveCallPayload:
        return await resolvers.change_mode(info.context, input)

    @writing("Ask to be off a call. Whoever is on one may leave it, whatever else they may.")
    async def leave_live_call(self, info: Info, input: LeaveLiveCallInput) -> LiveCallPayload:
        return await resolvers.leave(info.context, input)

    @writing("Note something of a moment of a call.", *_STUDIO)
    async def add_live_call_note(self, info: Info, input: AddLiveCallNoteInput) -> LiveCallNotePayload:
        return await resolvers.add_note(info.context, input)

    @writing("Take one's own note back.")
    async def remove_live_call_note(self, info: Info, input: RemoveLiveCallNoteInput) -> LiveCallNotePayload:
        return await resolvers.remove_note(info.context, input)

    @writing("Listen to a dialer: it gets an address and a secret to sign with.", requires(Permission.MANAGE_TEAM))
    async def create_dialer(self, info: Info, input: CreateDialerInput) -> DialerPayload:
        return await resolvers.create_dialer(info.context, input)

    @writing("Give a dialer a fresh secret.", requires(Permission.MANAGE_TEAM))
    async def rotate_dialer_secret(self, info: Info, input: RotateDialerSecretInput) -> DialerPayload:
        return await resolvers.rotate_secret(info.context, input)

    @writing(
        "Listen to a dialer no more; who is on its calls is taken off, and they end by their lease.",
        requires(Permission.MANAGE_TEAM),
    )
    async def remove_dialer(self, info: Info, input: RemoveDialerInput) -> DialerPayload:
        return await resolvers.remove_dialer(info.context, input)

    @writing(
        "Change how the team uses the studio; who may not be on a call any more is taken off it.",
        requires(Permission.MANAGE_TEAM),
    )
    async def update_live_call_settings(
        self, info: Info, input: UpdateLiveCallSettingsInput
    ) -> LiveCallSettingsPayload:
        return await resolvers.update_settings(info.context, input)


@strawberry.type
class LiveCallSubscription:
    @strawberry.subscription(
        description="Calls of the reps in scope: first those in progress, then each at every change, as it stands when "
        "it is sent; who reads slowly gets the last state. A call that has come to its end is sent once more.",
        permission_classes=[requires_scope(TokenScope.READ), *_STUDIO],
    )
    async def live_call_events(self, info: Info) -> AsyncGenerator[LiveCall, None]:
        async for call in guarded(resolvers.watch(info.context), info.context.request_id):
            yield LiveCall.of(call)
