"""`POST /live-calls/{source}`: what a dialer tells of calls, and `…/twilio`: what Twilio tells by its callbacks.

The source is the dialer's id. Nothing but the signature says who sends; who is unknown is answered as one who signs
wrongly. The answer to a message that was taken in, now or before, is 200.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import orjson
from starlette.datastructures import ImmutableMultiDict
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from twilio.request_validator import SIGNATURE_HEADER, RequestValidator

from api.errors import error_response, request_id_of
from domain import dialers, live_calls, live_lines
from domain.database import ALL_TEAMS, acquire, in_transaction
from domain.errors import DomainError, Invalid, NotFound, Unauthenticated, Unavailable
from domain.ids import decode_any_id, encode_id
from domain.live_call_events import LARGEST_EVENT_BYTES, CallEvent, decode_event
from domain.live_calls import TakenIn
from domain.models import Dialer
from domain.models.live_calls import TelephonyKind
from domain.secrets import SecretBox
from domain.telephony import participant_of

MOST_PARAMETERS = 200
TWILIO_LEASE_SECONDS = 4 * 3600
"""Twilio tells of a call's end, and of nothing while it goes on."""
_NOBODYS_TOKEN = "0" * 32
_CALL_STATUS = {
    "queued": "call.started",
    "initiated": "call.started",
    "ringing": "call.started",
    "in-progress": "call.answered",
    "completed": "call.ended",
    "busy": "call.ended",
    "no-answer": "call.ended",
    "failed": "call.ended",
    "canceled": "call.ended",
}
_CONFERENCE_EVENT = {"conference-start": "call.answered", "conference-end": "call.ended"}
_FROM_ADDRESS = {
    "user": "user",
    "counterpart": "counterpart",
    "userJurisdiction": "userJurisdiction",
    "counterpartJurisdiction": "counterpartJurisdiction",
    "direction": "direction",
}


class BodyTooLarge(Invalid):
    """More was sent than an event may hold."""

    code = "LIMIT_EXCEEDED"


async def _body(request: Request) -> bytes:
    length = request.headers.get("content-length", "0")
    too_large = BodyTooLarge(f"An event has at most {LARGEST_EVENT_BYTES} bytes.", path=("body",))
    if length.isdecimal() and int(length) > LARGEST_EVENT_BYTES:
        raise too_large
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST_EVENT_BYTES:
            raise too_large
    return bytes(body)


def _box(request: Request) -> SecretBox:
    box: SecretBox | None = request.app.state.secret_box
    if box is None:
        raise Unavailable("SIDELINE_SECRET_KEYS is not set on this server: no signature can be checked.")
    return box


async def _dialer(request: Request) -> Dialer | None:
    decoded = decode_any_id(request.path_params["source"])
    if decoded is None or decoded[0] != "Dialer":
        return None
    async with acquire(ALL_TEAMS) as connection:
        return await dialers.dialer_of_webhook(connection, decoded[1])


async def _receive(request: Request) -> Response:
    body = await _body(request)
    now = datetime.now(UTC)
    box, dialer = _box(request), await _dialer(request)
    message_id = dialers.verify(dialers.secrets_of(box, dialer, now), request.headers, body, now)
    if dialer is None:
        raise Unauthenticated("webhook-signature: it does not fit.")
    event = decode_event(body)

    async def work(connection: Any) -> TakenIn:
        return await live_calls.take_in(connection, dialer, event, now, message=(message_id, body))

    return await _answer(request, dialer, await in_transaction(dialer.team_id, work))


async def _answer(request: Request, dialer: Dialer, taken: TakenIn) -> Response:
    if taken.changed:
        await request.app.state.live_feed.hint(dialer.team_id)
    status = "repeated" if taken.repeated else "ignored" if taken.call_id is None else "taken"
    call = None if taken.call_id is None else {"id": encode_id("LiveCall", taken.call_id)}
    return JSONResponse({"status": status, "liveCall": call}, headers={"cache-control": "no-store"})


def _address_of(request: Request) -> str:
    """The address as Twilio called it: the public one, where the operator has said what it is."""
    public: str | None = request.app.state.settings.public_url
    if public is None:
        return str(request.url)
    query = f"?{request.url.query}" if request.url.query else ""
    return f"{public.rstrip('/')}{request.url.path}{query}"


async def _receive_from_twilio(request: Request) -> Response:
    body = await _body(request)
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
    except ValueError as error:
        raise Invalid("The body is no form of at most 200 fields.", path=("body",)) from error
    given = ImmutableMultiDict(pairs)
    box, dialer = _box(request), await _dialer(request)
    account = {} if dialer is None else dialers.account_of(box, dialer.account)
    validator = RequestValidator(account.get("token", _NOBODYS_TOKEN))
    signed = validator.validate(_address_of(request), _Form(given), request.headers.get(SIGNATURE_HEADER, ""))
    if dialer is None or dialer.telephony is not TelephonyKind.TWILIO or not account or not signed:
        raise Unauthenticated(f"{SIGNATURE_HEADER}: it does not fit the address and the parameters.")
    now = datetime.now(UTC)
    leg = participant_id_of(request, given)
    if leg is not None:
        return await _leg(request, dialer, leg, given, now)
    event = event_of(given, request.query_params, now)
    if event is None:
        return JSONResponse({"status": "ignored", "liveCall": None}, headers={"cache-control": "no-store"})

    async def work(connection: Any) -> TakenIn:
        return await live_calls.take_in(connection, dialer, event, now)

    return await _answer(request, dialer, await in_transaction(dialer.team_id, work))


class _Form:
    """Parameters as Twilio's validator reads them."""

    def __init__(self, given: ImmutableMultiDict[str, str]) -> None:
        self._given = given

    def __iter__(self) -> Any:
        return iter(self._given.keys())

    def __len__(self) -> int:
        return len(self._given)

    def getall(self, name: str) -> list[str]:
        """All values of a parameter."""
        return list(self._given.getlist(name))


def participant_id_of(request: Request, given: Mapping[str, str]) -> UUID | None:
    """Whose leg a callback is about: named in the address of a leg's own, by its label in a conference's."""
    named = request.query_params.get("participant")
    if named is not None:
        try:
            return UUID(hex=named)
        except ValueError as error:
            raise NotFound("participant: no such participant.", path=("participant",)) from error
    return participant_of(given.get("ParticipantLabel"))


async def _leg(
    request: Request, dialer: Dialer, participant_id: UUID, given: Mapping[str, str], now: datetime
) -> Response:
    """What becomes of a manager's leg."""
    status, event = given.get("CallStatus"), given.get("StatusCallbackEvent")
    connected = event == "participant-join" or status == "in-progress"
    over = event == "participant-leave" or _CALL_STATUS.get(status or "") == "call.ended"
    changed = None
    if (connected or over) and given.get("CallSid"):
        reason = "HUNG_UP" if status in (None, "completed") else str(status).replace("-", "_").upper()

        async def work(connection: Any) -> UUID | None:
            return await live_lines.told_of_leg(
                connection,
                dialer.team_id,
                participant_id,
                given["CallSid"],
                connected=connected and not over,
                reason=reason,
                now=now,
            )

        changed = await in_transaction(dialer.team_id, work)
    if changed is not None:
        await request.app.state.live_feed.hint(dialer.team_id)
    return JSONResponse(
        {"status": "ignored" if changed is None else "taken", "liveCall": None}, headers={"cache-control": "no-store"}
    )


def event_of(given: Mapping[str, str], address: Mapping[str, str], now: datetime) -> CallEvent | None:
    """What a callback of Twilio's tells of a call; None for what is of no use to the studio.

    A call is known by `call` in the callback's address, else by the name of its conference, else by its CallSid: name
    the conference after the CallSid of the rep's leg, or give `call` in the addresses of both. The rep is known by
    `user` in the address, else by a softphone `client:<user>`.

    Raises:
        Invalid: something does not fit.
    """
    conference = given.get("FriendlyName") or given.get("ConferenceSid")
    name = address.get("call") or (conference if "ConferenceSid" in given else given.get("CallSid"))
    event = given.get("StatusCallbackEvent", "")
    if "ConferenceSid" in given:
        kind = _CONFERENCE_EVENT.get(event, "call.updated" if event == "participant-join" else None)
    else:
        kind = _CALL_STATUS.get(given.get("CallStatus", ""))
    if kind is None or name is None:
        return None
    data: dict[str, Any] = {"call": name, "leaseSeconds": TWILIO_LEASE_SECONDS}
    data |= {told: address[said] for said, told in _FROM_ADDRESS.items() if address.get(said)}
    if "ConferenceSid" in given:
        data["conference"] = given["ConferenceSid"]
        if (
            event == "participant-join"
            and given.get("CallSid")
            and (given.get("ParticipantLabel") == "rep" or given["CallSid"] == name)
        ):
            data["userLeg"] = given["CallSid"]
    else:
        data |= _of_call(given, data)
    if kind == "call.ended" and "CallStatus" in given:
        data["reason"] = given["CallStatus"].replace("-", "_").upper()
    return decode_event(orjson.dumps({"type": kind, "timestamp": _time(given, now).isoformat(), "data": data}))


def _of_call(given: Mapping[str, str], known: Mapping[str, Any]) -> dict[str, Any]:
    inbound = given.get("Direction", "").startswith("inbound")
    ours, theirs = ("To", "From") if inbound else ("From", "To")
    told: dict[str, Any] = {}
    if "direction" not in known and "Direction" in given:
        told["direction"] = "INBOUND" if inbound else "OUTBOUND"
    for name in (ours, theirs):
        said = given.get(name, "")
        if said.startswith("client:") and "user" not in known:
            told["user"] = said.removeprefix("client:")
        elif name == theirs and said and "counterpart" not in known:
            told["counterpart"] = said[:200]
    if given.get("CallSid") == known["call"]:
        told["userLeg"] = given["CallSid"]
    return told


def _time(given: Mapping[str, str], now: datetime) -> datetime:
    """When it happened. Twilio counts in seconds: its sequence tells those within one apart."""
    stamp = given.get("Timestamp")
    if stamp is None:
        return now
    try:
        at = parsedate_to_datetime(stamp)
    except ValueError as error:
        raise Invalid("Timestamp: no date of RFC 2822.", path=("Timestamp",)) from error
    sequence = given.get("SequenceNumber", "0")
    after = min(int(sequence), 999_999) if sequence.isascii() and sequence.isdecimal() and len(sequence) < 9 else 0
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)) + timedelta(microseconds=after)


async def live_calls_endpoint(request: Request) -> Response:
    """What a dialer tells."""
    return await _guarded(request, _receive)


async def twilio_endpoint(request: Request) -> Response:
    """What Twilio tells."""
    return await _guarded(request, _receive_from_twilio)


async def _guarded(request: Request, receive: Any) -> Response:
    try:
        found: Response = await receive(request)
        return found
    except DomainError as error:
        return error_response(error, request_id_of(request.scope))
    except ClientDisconnect:
        # Nobody is there to read an answer, and nothing was taken in.
        return Response(status_code=400)


def live_call_routes() -> list[Route]:
    """The routes."""
    return [
        Route("/live-calls/{source}", live_calls_endpoint, methods=["POST"]),
        Route("/live-calls/{source}/twilio", twilio_endpoint, methods=["POST"]),
    ]
