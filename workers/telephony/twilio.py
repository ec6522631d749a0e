"""Twilio: calls that run in a conference, onto which a manager's phone or softphone is brought as a participant.

    LISTEN   muted
    WHISPER  coaching the rep's leg (`userLeg` of the call): only the rep hears
    BARGE    neither: all hear

A participant is labelled with whose it is, hears no beep, neither starts nor ends the conference, and is hung up by
Twilio itself after `telephony.LONGEST_LEG_SECONDS`. Requests go through the worker's own HTTP pool, which knows where
it may go; the official package makes them and reads the answers.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable
from typing import Any, TypeVar

import httpx
from twilio.base.exceptions import TwilioException, TwilioRestException, TwilioServiceException
from twilio.http import AsyncHttpClient
from twilio.http.response import Response
from twilio.rest import Client

from domain.ids import encode_id
from domain.models.live_calls import JoinMode
from domain.telephony import (
    LABEL_PREFIX,
    LONGEST_LEG_SECONDS,
    RING_SECONDS,
    Leg,
    LegState,
    Line,
    LineGone,
    LineRefused,
    LineUnavailable,
    participant_of,
)

Result = TypeVar("Result")

REQUEST_SECONDS = 8.0
ANSWER_BYTES = 2**20
MOST_PARTICIPANTS = 250
"""Twilio's own limit for a conference."""
API = "https://api.twilio.com"
_CONFERENCE_SID = re.compile(r"CF[0-9a-f]{32}")
_NOT_IN_PROGRESS = 21220
"""Twilio's code for a call that has ended already."""
_OVER = ("complete", "failed")


class PooledHttpClient(AsyncHttpClient):  # type: ignore[misc]
    """The package's requests over a pool of ours.

    Args:
        http: The pool.
        base_url: Where to, instead of Twilio's own address.
    """

    def __init__(self, http: httpx.AsyncClient, base_url: str | None) -> None:
        super().__init__(logging.getLogger("twilio.pooled"), True, REQUEST_SECONDS)
        self._http = http
        self._base_url = None if base_url is None else base_url.rstrip("/")

    async def request(
        self,
        method: str,
        uri: str,
        params: dict[str, object] | None = None,
        data: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = False,
    ) -> Response:
        """Send a request of the package's."""
        if self._base_url is not None and uri.startswith(API):
            uri = self._base_url + uri.removeprefix(API)
        response = await self._http.request(
            method,
            uri,
            params=params,  # type: ignore[arg-type]
            data=data,
            headers=headers,
            auth=auth,
            timeout=REQUEST_SECONDS,
            follow_redirects=False,
        )
        if len(response.content) > ANSWER_BYTES:
            raise TwilioException("the answer is too long")
        return Response(response.status_code, response.text, dict(response.headers))


class Twilio:
    """`domain.telephony.Telephony` by Twilio's conferences.

    Args:
        http: The worker's pool.
        base_url: Where to, instead of Twilio's own address.
        public_url: Where Twilio reaches our API; without it, who answered is found by looking.
    """

    def __init__(self, http: httpx.AsyncClient, *, base_url: str | None, public_url: str | None) -> None:
        self._client = PooledHttpClient(http, base_url)
        self._public_url = None if public_url is None else public_url.rstrip("/")

    def _open(self, line: Line) -> Client:
        # An environment of its own, so that nobody's TWILIO_REGION leads somewhere else.
        return Client(
            line.account["sid"], line.account["token"], http_client=self._client, environment={"SIDELINE": ""}
        )

    async def _conference(self, client: Client, line: Line) -> Any:
        """The conference of a call. Raises LineGone where none is in progress."""
        if line.conference is None:
            raise LineGone("The dialer has not told of the call's conference.")
        if _CONFERENCE_SID.fullmatch(line.conference):
            return client.conferences(line.conference)
        found = await _asked(
            client.conferences.list_async(friendly_name=line.conference, status="in-progress", limit=1)
        )
        if not found:
            raise LineGone("There is no conference of this name in progress.")
        return client.conferences(found[0].sid)

    async def join(self, line: Line, label: str, mode: JoinMode, address: str | None) -> Leg:
        """Ring somebody, and bring them onto the conference when they answer."""
        if address is None:
            raise LineRefused("Twilio needs a number or a softphone to ring.")
        conference = await self._conference(self._open(line), line)
        made = await _asked(
            conference.participants.create_async(
                from_=line.account["from"],
                to=address,
                label=label,
                beep="false",
                early_media=False,
                start_conference_on_enter=False,
                end_conference_on_exit=False,
                timeout=RING_SECONDS,
                time_limit=LONGEST_LEG_SECONDS,
                **_how(line, mode),
                **self._callback(line, label),
            )
        )
        return Leg(made.call_sid, label, _state(made.status) or LegState.RINGING, mode)

    def _callback(self, line: Line, label: str) -> dict[str, Any]:
        participant_id = participant_of(label)
        if self._public_url is None or participant_id is None:
            return {}
        address = f"{self._public_url}/live-calls/{encode_id('Dialer', line.dialer_id)}/twilio"
        return {
            "status_callback": f"{address}?participant={participant_id.hex}",
            "status_callback_method": "POST",
            "status_callback_event": ["answered", "completed"],
        }

    async def change_mode(self, line: Line, leg_id: str, mode: JoinMode) -> None:
        """Change how somebody is on the conference."""
        conference = await self._conference(self._open(line), line)
        await _asked(conference.participants(leg_id).update_async(**_how(line, mode)))

    async def leave(self, line: Line, leg_id: str) -> None:
        """Take somebody off the conference, and hang up, also while it rings."""
        client = self._open(line)
        try:
            conference = await self._conference(client, line)
            await _asked(conference.participants(leg_id).delete_async())
        except LineGone:
            pass  # Not in the conference (yet): the call of the leg may be there all the same.
        try:
            await _asked(client.calls(leg_id).update_async(status="completed"))
        except LineGone:
            return

    async def end(self, line: Line) -> int:
        """Take all of ours off the conference."""
        try:
            legs = await self.look(line)
        except LineGone:
            return 0
        for leg in legs:
            await self.leave(line, leg.id)
        return len(legs)

    async def look(self, line: Line) -> tuple[Leg, ...]:
        """Who of ours is on the conference, or is being rung."""
        conference = await self._conference(self._open(line), line)
        found = await _asked(conference.participants.list_async(limit=MOST_PARTICIPANTS))
        legs = []
        for one in found:
            state = _state(one.status)
            if state is not None and one.label is not None and one.label.startswith(LABEL_PREFIX):
                mode = JoinMode.WHISPER if one.coaching else JoinMode.LISTEN if one.muted else JoinMode.BARGE
                legs.append(Leg(one.call_sid, one.label, state, mode))
        return tuple(legs)


def _state(status: object) -> LegState | None:
    if status in _OVER:
        return None
    return LegState.CONNECTED if status == "connected" else LegState.RINGING


def _how(line: Line, mode: JoinMode) -> dict[str, Any]:
    if mode is JoinMode.WHISPER:
        if line.user_leg is None:
            raise LineRefused("The dialer has not told of the rep's own leg: nobody can whisper to it.")
        return {"muted": False, "coaching": True, "call_sid_to_coach": line.user_leg}
    return {"muted": mode is JoinMode.LISTEN, "coaching": False}


async def _asked(work: Awaitable[Result]) -> Result:
    """An answer of Twilio's, its errors in the words of domain/telephony.py."""
    try:
        return await work
    except httpx.HTTPError as error:
        raise LineUnavailable(f"Twilio cannot be reached: {type(error).__name__}.") from error
    except (TwilioRestException, TwilioServiceException) as error:
        status, code = error.status, error.code
        said = getattr(error, "msg", None) or getattr(error, "title", "")
        if status == httpx.codes.NOT_FOUND or code == _NOT_IN_PROGRESS:
            raise LineGone(f"Twilio knows of no such call: {said}") from error
        if status == httpx.codes.TOO_MANY_REQUESTS or status >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise LineUnavailable(f"Twilio answers with {status}.") from error
        raise LineRefused(f"Twilio refuses: {said}"[:200]) from error
    except TwilioException as error:
        # Of a page that could not be had, the package tells no more than the answer.
        answer = next((one for one in error.args if isinstance(one, Response)), None)
        if answer is not None and answer.status_code == httpx.codes.NOT_FOUND:
            raise LineGone("Twilio knows of no such conference.") from error
        if answer is not None and answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise LineRefused("Twilio does not let us in: look at the account of the dialer.") from error
        raise LineUnavailable(f"Twilio cannot be used now: {error.args[0] if error.args else error!r}.") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        # The package reads an answer that is none, such as a cut one, as far as it gets.
        raise LineUnavailable(f"Twilio answers with something else: {type(error).__name__}.") from error
