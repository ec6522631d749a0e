"""Live calls, who listens in, notes, dialers, and how the team uses the studio."""

from datetime import datetime

import strawberry

from api.context import Context
from api.schema.errors import UserError
from api.schema.fields import Info
from api.schema.nodes import Connection, Node, connection_read, global_id
from api.schema.people import User
from domain import live_consent, live_notes, models
from domain.errors import NotFound
from domain.models import live_calls as rows
from domain.paging import page_request

JoinMode = strawberry.enum(
    rows.JoinMode,
    name="JoinMode",
    description="How a manager is on a call. LISTEN: nobody hears them. WHISPER: only the rep. BARGE: everybody.",
)
LiveCallState = strawberry.enum(
    rows.LiveCallState, name="LiveCallState", description="How far a call has come, as its dialer tells."
)
CallDirection = strawberry.enum(rows.CallDirection, name="CallDirection", description="Who rang whom.")
LiveCallParticipantState = strawberry.enum(
    rows.ParticipantState,
    name="LiveCallParticipantState",
    description="REQUESTED: being brought onto the line. CONNECTED: on it. LEAVING: being taken off. LEFT: off it. "
    "FAILED: never on it; `reason` says why.",
)
ConsentRule = strawberry.enum(
    rows.ConsentRule,
    name="ConsentRule",
    description="What a place asks for. ONE_PARTY: nothing more. ALL_PARTY: everybody on the call knows; who joins "
    "acknowledges the banner. FORBIDDEN: nobody joins.",
)
TelephonyKind = strawberry.enum(
    rows.TelephonyKind,
    name="TelephonyKind",
    description="Who lets managers onto a dialer's calls. NONE: nobody, they are shown only. LOOPBACK is the demo's.",
)


async def studio_of(context: Context) -> live_consent.Studio:
    """The team's settings of the studio, read once a request."""

    async def look() -> live_consent.Studio:
        async with context.acquire_primary() as connection:
            return await live_consent.read_studio(connection, context.viewer.team_id)

    return await context.once("studio", look)


@strawberry.type(description="A manager's place on a call; one each, however often they come and go.")
class LiveCallParticipant:
    user: User = strawberry.field(description="The manager.")
    mode: JoinMode = strawberry.field(description="How they are on the call.")
    state: LiveCallParticipantState = strawberry.field(description="How far it has come.")
    joined_at: datetime = strawberry.field(description="Since when they are on the line; until then, when they asked.")
    left_at: datetime | None = strawberry.field(description="When they left, or failed to join.")
    reason: str | None = strawberry.field(description="Why they left or failed, such as HUNG_UP or CALL_ENDED.")

    @classmethod
    def of(cls, row: models.LiveCallParticipant, user: models.User) -> "LiveCallParticipant":
        return cls(
            user=User.of(user),
            mode=rows.JoinMode(row.mode),
            state=rows.ParticipantState(row.state),
            joined_at=row.joined_at or row.requested_at,
            left_at=row.left_at,
            reason=row.reason,
        )


@strawberry.type(description="What a call asks of who joins it, by where the rep and the counterpart are.")
class LiveCallConsent:
    rule: ConsentRule = strawberry.field(description="The strictest rule of its places.")
    banner: str | None = strawberry.field(description="What to show before joining.")
    acknowledgement_needed: bool = strawberry.field(description="Whether joinLiveCall needs consentAcknowledged: true.")
    jurisdictions: list[str] = strawberry.field(description="The places, as far as the dialer told of them.")

    @classmethod
    def of(cls, found: live_consent.Consent) -> "LiveCallConsent":
        return cls(
            rule=found.rule,
            banner=found.banner,
            acknowledgement_needed=found.rule is rows.ConsentRule.ALL_PARTY,
            jurisdictions=list(found.places),
        )


@strawberry.type(description="A note on a moment of a call.")
class LiveCallNote:
    id: strawberry.ID = strawberry.field(description="Its id; give it to removeLiveCallNote.")
    at_second: int = strawberry.field(description="The moment, in seconds into the call.")
    text: str = strawberry.field(description="What was noted.")
    private: bool = strawberry.field(description="Whether it is the author's alone; else who sees the call sees it.")
    created_at: datetime = strawberry.field(description="When it was written.")
    row: strawberry.Private[models.LiveCallNote]

    @classmethod
    def of(cls, row: models.LiveCallNote) -> "LiveCallNote":
        return cls(
            id=global_id("LiveCallNote", row.id),
            at_second=row.at_second,
            text=row.text,
            private=row.private,
            created_at=row.created_at,
            row=row,
        )

    @strawberry.field(description="Who wrote it; null where the viewer may not see them.")
    async def author(self, info: Info) -> User | None:
        row = await info.context.users.load(self.row.author_id)
        return None if row is None else User.of(row)


@strawberry.type(description="A call of a rep in scope, while it goes on and for some time after.")
class LiveCall(Node):
    state: LiveCallState = strawberry.field(description="How far it has come.")
    direction: CallDirection | None = strawberry.field(description="Who rang whom, if the dialer told.")
    counterpart: str | None = strawberry.field(description="Whom the rep speaks with, as the dialer calls them.")
    started_at: datetime = strawberry.field(description="When it began to ring.")
    answered_at: datetime | None = strawberry.field(description="When it was answered.")
    ended_at: datetime | None = strawberry.field(description="When it ended.")
    end_reason: str | None = strawberry.field(
        description="Why it ended, as the dialer says, such as COMPLETED; LEASE_LAPSED where nothing was heard of it."
    )
    row: strawberry.Private[models.LiveCall]

    @classmethod
    def of(cls, row: models.LiveCall) -> "LiveCall":
        return cls(
            id=global_id("LiveCall", row.id),
            state=rows.LiveCallState(row.state),
            direction=None if row.direction is None else rows.CallDirection(row.direction),
            counterpart=row.counterpart,
            started_at=row.started_at,
            answered_at=row.answered_at,
            ended_at=row.ended_at,
            end_reason=row.end_reason,
            row=row,
        )

    @strawberry.field(description="The rep.")
    async def user(self, info: Info) -> User:
        assert self.row.user_id is not None, "a call of nobody is in nobody's sight"
        row = await info.context.users.load(self.row.user_id)
        if row is None:
            raise NotFound("No such user.")
        return User.of(row)

    @strawberry.field(description="The managers in the viewer's scope who are or were on it, and the viewer.")
    async def joined(self, info: Info) -> list[LiveCallParticipant]:
        found = await info.context.live_call_participants.load(self.row.id)
        users = await info.context.users.load_many(one.user_id for one in found)
        return [LiveCallParticipant.of(one, user) for one, user in zip(found, users, strict=True) if user is not None]

    @strawberry.field(description="How many managers are on the line, or about to be, whoever they are.")
    async def listening(self, info: Info) -> int:
        found = await info.context.live_call_participants.load(self.row.id)
        on = (rows.ParticipantState.REQUESTED, rows.ParticipantState.CONNECTED)
        return sum(one.state in on for one in found)

    @strawberry.field(description="What it asks of who joins it.")
    async def consent(self, info: Info) -> LiveCallConsent:
        studio = await studio_of(info.context)
        found = live_consent.consent_of(studio, self.row.user_jurisdiction, self.row.counterpart_jurisdiction)
        return LiveCallConsent.of(found)

    @strawberry.field(description="Notes that the viewer may read, in the order of their moments.")
    async def notes(self, info: Info, first: int | None = None, after: str | None = None) -> Connection[LiveCallNote]:
        context, call_id = info.context, self.row.id

        return await connection_read(
            context.acquire_primary,
            lambda connection: live_notes.list_notes(connection, context.viewer, call_id, page_request(first, after)),
            lambda connection: live_notes.count_notes(connection, context.viewer, call_id),
            LiveCallNote.of,
        )


@strawberry.type(description="A system that tells of the team's calls by signed webhooks.")
class Dialer(Node):
    name: str = strawberry.field(description="What the team calls it.")
    telephony: TelephonyKind = strawberry.field(description="Who lets managers onto its calls.")
    account_name: str | None = strawberry.field(description="The telephony account, such as AC….")
    webhook_path: str = strawberry.field(description="Where it sends its events, signed as Standard Webhooks has it.")
    twilio_callback_path: str | None = strawberry.field(description="Where Twilio sends its status callbacks.")
    last_event_at: datetime | None = strawberry.field(description="When it was last heard of, to the minute.")
    previous_secret_until: datetime | None = strawberry.field(
        description="Until when the secret of before the last rotation still signs."
    )
    created_at: datetime = strawberry.field(description="When it was made.")

    @classmethod
    def of(cls, row: models.Dialer) -> "Dialer":
        own = global_id("Dialer", row.id)
        twilio = row.telephony == rows.TelephonyKind.TWILIO
        return cls(
            id=own,
            name=row.name,
            telephony=rows.TelephonyKind(row.telephony),
            account_name=row.account_name,
            webhook_path=f"/live-calls/{own}",
            twilio_callback_path=f"/live-calls/{own}/twilio" if twilio else None,
            last_event_at=row.last_event_at,
            previous_secret_until=row.previous_until,
            created_at=row.created_at,
        )


@strawberry.type(description="What a place asks for.")
class JurisdictionRule:
    code: str = strawberry.field(description="ISO 3166, such as US-CA or DE.")
    rule: ConsentRule = strawberry.field(description="Who must agree.")
    banner: str | None = strawberry.field(description="What a manager reads before joining; null: a plain one.")


@strawberry.type(description="How the team uses the studio.")
class LiveCallSettings:
    listeners_per_call: int = strawberry.field(description="Managers that may be on one call.")
    listeners_per_team: int = strawberry.field(description="Managers that may be on calls of the team at once.")
    keep_days: int = strawberry.field(description="Days for which ended calls and their notes are kept.")
    unknown_rule: ConsentRule = strawberry.field(description="What counts where a place is not known, or has no rule.")
    unknown_banner: str | None = strawberry.field(description="What a manager reads then; null: a plain one.")
    jurisdictions: list[JurisdictionRule] = strawberry.field(
        description="By place. A rule of a country counts for its parts that have none of their own."
    )

    @classmethod
    def of(cls, studio: live_consent.Studio) -> "LiveCallSettings":
        return cls(
            listeners_per_call=studio.listeners_per_call,
            listeners_per_team=studio.listeners_per_team,
            keep_days=studio.keep_days,
            unknown_rule=studio.unknown.rule,
            unknown_banner=studio.unknown.banner,
            jurisdictions=[
                JurisdictionRule(code=code, rule=one.rule, banner=one.banner)
                for code, one in sorted(studio.jurisdictions.items())
            ],
        )


@strawberry.input(description="Which calls.")
class LiveCallFilter:
    user_ids: list[strawberry.ID] | None = strawberry.field(default=None, description="Of these reps.")
    with_ended: bool | None = strawberry.field(default=None, description="Those that have ended too, while kept.")


@strawberry.input(description="A call to join.")
class JoinLiveCallInput:
    call_id: strawberry.ID = strawberry.field(description="Which.")
    mode: JoinMode = strawberry.field(description="How.")
    consent_acknowledged: bool | None = strawberry.field(
        default=None, description="True once the call's consent banner was acknowledged."
    )
    phone: str | None = strawberry.field(
        default=None,
        description="Where you are rung: a number such as +15550100, or a softphone such as client:morgan. The demo "
        "rings nobody.",
    )


@strawberry.input(description="Another mode on a call that one is on.")
class ChangeLiveCallModeInput:
    call_id: strawberry.ID = strawberry.field(description="Which.")
    mode: JoinMode = strawberry.field(description="How.")
    consent_acknowledged: bool | None = strawberry.field(
        default=None, description="True once the call's consent banner was acknowledged."
    )


@strawberry.input(description="A call to leave.")
class LeaveLiveCallInput:
    call_id: strawberry.ID = strawberry.field(description="Which.")


@strawberry.input(description="A note on a call.")
class AddLiveCallNoteInput:
    call_id: strawberry.ID = strawberry.field(description="Which.")
    text: str = strawberry.field(description="What.")
    private: bool | None = strawberry.field(default=None, description="Yours alone; else who sees the call sees it.")
    at_second: int | None = strawberry.field(default=None, description="The moment, into the call; null: now.")


@strawberry.input(description="A note of one's own.")
class RemoveLiveCallNoteInput:
    note_id: strawberry.ID = strawberry.field(description="Which.")


@strawberry.input(description="An account at Twilio.")
class TwilioAccountInput:
    account_sid: str = strawberry.field(description="AC and 32 hexadecimal digits.")
    auth_token: str = strawberry.field(description="Its auth token: kept sealed, it never comes back.")
    caller_id: str = strawberry.field(description="A number of the account, which managers see when they are rung.")


@strawberry.input(description="A dialer to listen to.")
class CreateDialerInput:
    name: str = strawberry.field(description="What the team calls it.")
    telephony: TelephonyKind = strawberry.field(
        default=rows.TelephonyKind.NONE, description="Who lets managers onto its calls."
    )
    twilio: TwilioAccountInput | None = strawberry.field(default=None, description="The account, for TWILIO.")


@strawberry.input(description="A fresh secret for a dialer.")
class RotateDialerSecretInput:
    dialer_id: strawberry.ID = strawberry.field(description="Which.")
    overlap_minutes: int = strawberry.field(default=0, description="For so long the old secret still signs.")


@strawberry.input(description="A dialer to listen to no more.")
class RemoveDialerInput:
    dialer_id: strawberry.ID = strawberry.field(description="Which.")


@strawberry.input(description="What a place asks for.")
class JurisdictionRuleInput:
    code: str = strawberry.field(description="ISO 3166, such as US-CA or DE.")
    rule: ConsentRule = strawberry.field(description="Who must agree.")
    banner: str | None = strawberry.field(default=None, description="What a manager reads before joining.")


@strawberry.input(description="Settings to change; those left out stay.")
class UpdateLiveCallSettingsInput:
    listeners_per_call: int | None = strawberry.field(default=None, description="From 0 to 50.")
    listeners_per_team: int | None = strawberry.field(default=None, description="From 0 to 5000.")
    keep_days: int | None = strawberry.field(default=None, description="From 1 to 3650.")
    unknown_rule: ConsentRule | None = strawberry.field(
        default=None, description="What counts where a place is not known; with unknownBanner."
    )
    unknown_banner: str | None = strawberry.field(default=None, description="What a manager reads then.")
    jurisdictions: list[JurisdictionRuleInput] | None = strawberry.field(
        default=None, description="By place, in place of all rules of before."
    )


@strawberry.type(description="The call as it stands; it goes on by liveCallEvents.")
class LiveCallPayload:
    call: LiveCall | None = strawberry.field(description="Null when it was refused.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")


@strawberry.type(description="The note, and its call.")
class LiveCallNotePayload:
    note: LiveCallNote | None = strawberry.field(description="Null when it was refused, or removed.")
    errors: list[UserError] = strawberry.field(description="Why it was refused.")


@strawberry.type(description="The dialer as it stands.")
class DialerPayload:
    dialer: Dialer | None = strawberry.field(description="Null when it was refused, or removed.")
    secret: str | None = strawberry.field(
        description="The secret that it signs with, when it is new: keep it, it is not shown again."
    )
    errors: list[UserError] = strawberry.field(description="Why it was refused.")


@strawberry.type(description="The settings as they stand.")
class LiveCallSettingsPayload:
    settings: LiveCallSettings | None = strawberry.field(description="Null when they were refused.")
    errors: list[UserError] = strawberry.field(description="Why they were refused.")
