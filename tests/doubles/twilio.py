"""Twilio's REST API of conferences, as far as the studio uses it.

Written from the official package (twilio 9: twilio/rest/api/v2010/account/conference, …/call), which says what is sent
and what the answers hold, and Twilio's documentation of the Participant and Call resources:

- basic authentication by account SID and auth token; forms in, JSON out; errors as {code, message, more_info, status};
- a participant is created in a conference that is in progress, by its SID or friendly name; its call rings first, and
  the answer's status is `queued`; `coaching` needs `CallSidToCoach`, the CallSid of a participant of the conference;
- participants are listed with their state; one that has gone is not found;
- a call that has ended cannot be changed (21220).
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from tests.doubles.base import Double

SID = "AC" + "0" * 32
TOKEN = "token-of-the-account"
BASE = "/2010-04-01/Accounts/{account}"


@dataclass
class Participant:
    """A participant, or somebody who is rung."""

    call_sid: str
    label: str | None
    muted: bool
    coaching: bool
    call_sid_to_coach: str | None
    status: str
    form: dict[str, str] = field(default_factory=dict)


class TwilioDouble(Double):
    """Twilio, with conferences that tests open by `open()`. `answers` says what becomes of who is rung."""

    kind = "twilio"

    def __init__(self) -> None:
        super().__init__()
        self.numbers = count(1)
        self.conferences: dict[str, tuple[str, dict[str, Participant]]] = {}
        self.calls: dict[str, str] = {}
        self.answers = "connected"

    def routes(self) -> list[BaseRoute]:
        """What the studio asks for."""
        inner = f"{BASE}/Conferences/{{conference}}/Participants"
        return [
            Route(f"{BASE}/Conferences.json", self._list_conferences),
            Route(f"{inner}.json", self._list),
            Route(f"{inner}.json", self._create, methods=["POST"]),
            Route(f"{inner}/{{call}}.json", self._update, methods=["POST"]),
            Route(f"{inner}/{{call}}.json", self._delete, methods=["DELETE"]),
            Route(f"{BASE}/Calls/{{call}}.json", self._update_call, methods=["POST"]),
        ]

    def open(self, name: str, rep_call: str = "CA" + "a" * 32) -> str:
        """A conference in progress, with the rep on it."""
        sid = f"CF{next(self.numbers):0>32x}"
        rep = Participant(rep_call, "rep", False, False, None, "connected")
        self.conferences[sid] = (name, {rep_call: rep})
        return sid

    def close(self, sid: str) -> None:
        """The conference ends; everybody is off it."""
        _name, there = self.conferences.pop(sid)
        for one in there.values():
            self.calls[one.call_sid] = "completed"

    def ours(self, sid: str) -> list[Participant]:
        """Who was brought onto a conference by the API."""
        with self.lock:
            return [one for one in self.conferences[sid][1].values() if one.label != "rep"]

    def hang_up(self, sid: str, call: str) -> None:
        """Somebody hangs up."""
        with self.lock:
            self.conferences[sid][1].pop(call, None)
            self.calls[call] = "completed"

    def _refused(self, request: Request) -> Response | None:
        given = request.headers.get("authorization", "").removeprefix("Basic ")
        if base64.b64decode(given).decode() != f"{SID}:{TOKEN}" or request.path_params["account"] != SID:
            return _error(401, 20003, "Authenticate")
        return None

    def _conference(self, request: Request) -> dict[str, Participant] | None:
        wanted = request.path_params["conference"]
        for sid, (name, there) in self.conferences.items():
            if wanted in (sid, name):
                return there
        return None

    async def _list_conferences(self, request: Request) -> Response:
        if (refused := self._refused(request)) is not None:
            return refused
        name, status = request.query_params.get("FriendlyName"), request.query_params.get("Status")
        assert status == "in-progress"
        found = [{"sid": sid, "friendly_name": own} for sid, (own, _) in self.conferences.items() if own == name]
        return JSONResponse(_page("conferences", found))

    async def _list(self, request: Request) -> Response:
        if (refused := self._refused(request)) is not None:
            return refused
        there = self._conference(request)
        if there is None:
            return _error(404, 20404, "The requested resource was not found")
        # Who is rung is not yet in the conference.
        return JSONResponse(_page("participants", [_shown(one) for one in there.values()]))

    async def _create(self, request: Request) -> Response:
        if (refused := self._refused(request)) is not None:
            return refused
        form = await _form(request)
        there = self._conference(request)
        if there is None:
            return _error(404, 20404, "The requested resource was not found")
        for name in ("From", "To"):
            if not form.get(name):
                return _error(400, 21201, f"No '{name}' number is specified")
        if (wrong := self._cannot_coach(form, there)) is not None:
            return wrong
        sid = f"CA{next(self.numbers):0>32x}"
        made = Participant(sid, form.get("Label"), False, False, None, self.answers, form)
        _set(made, form)
        self.calls[sid] = "in-progress" if self.answers == "connected" else self.answers
        if self.answers in ("connected", "ringing"):
            there[sid] = made
        answer = _shown(made) | {"status": "queued"}
        return JSONResponse(answer, status_code=201)

    def _cannot_coach(self, form: dict[str, str], there: dict[str, Participant]) -> Response | None:
        if form.get("Coaching") == "true" and form.get("CallSidToCoach") not in there:
            return _error(400, 13236, "Invalid CallSidToCoach")
        return None

    async def _update(self, request: Request) -> Response:
        if (refused := self._refused(request)) is not None:
            return refused
        form = await _form(request)
        there = self._conference(request)
        if there is None or request.path_params["call"] not in there:
            return _error(404, 20404, "The requested resource was not found")
        if (wrong := self._cannot_coach(form, there)) is not None:
            return wrong
        found = there[request.path_params["call"]]
        _set(found, form)
        return JSONResponse(_shown(found))

    async def _delete(self, request: Request) -> Response:
        if (refused := self._refused(request)) is not None:
            return refused
        there = self._conference(request)
        if there is None or request.path_params["call"] not in there:
            return _error(404, 20404, "The requested resource was not found")
        there.pop(request.path_params["call"])
        return Response(status_code=204)

    async def _update_call(self, request: Request) -> Response:
        if (refused := self._refused(request)) is not None:
            return refused
        form = await _form(request)
        assert form == {"Status": "completed"}
        call = request.path_params["call"]
        if call not in self.calls:
            return _error(404, 20404, "The requested resource was not found")
        if self.calls[call] == "completed":
            return _error(400, 21220, "Call is not in-progress. Cannot redirect.")
        self.calls[call] = "completed"
        for _name, there in self.conferences.values():
            there.pop(call, None)
        return JSONResponse({"sid": call, "status": "completed"})


async def _form(request: Request) -> dict[str, str]:
    return dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))


def _set(made: Participant, form: dict[str, str]) -> None:
    if "Muted" in form:
        made.muted = form["Muted"] == "true"
    if "Coaching" in form:
        made.coaching = form["Coaching"] == "true"
        made.call_sid_to_coach = form.get("CallSidToCoach") if made.coaching else None


def _shown(one: Participant) -> dict[str, Any]:
    return {
        "account_sid": SID,
        "call_sid": one.call_sid,
        "label": one.label,
        "muted": one.muted,
        "coaching": one.coaching,
        "call_sid_to_coach": one.call_sid_to_coach,
        "status": one.status,
        "hold": False,
        "date_created": "Mon, 02 Nov 2026 10:00:00 +0000",
        "date_updated": "Mon, 02 Nov 2026 10:00:00 +0000",
    }


def _page(name: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        name: found,
        "page": 0,
        "page_size": 50,
        "uri": f"/{name}.json",
        "first_page_uri": f"/{name}.json?Page=0",
        "next_page_uri": None,
        "previous_page_uri": None,
    }


def _error(status: int, code: int, message: str) -> Response:
    told = {"code": code, "message": message, "more_info": f"https://www.twilio.com/docs/errors/{code}"}
    return JSONResponse(told | {"status": status}, status_code=status)
