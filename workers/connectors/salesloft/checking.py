"""Whether a connection works: whose team it is, and that every part that is to be read may be."""

from __future__ import annotations

from domain.connectors import Account
from workers.connectors.base import Session
from workers.connectors.salesloft.client import NOT_ALLOWED, body_of, not_allowed, request
from workers.connectors.salesloft.manifest import BEGUN, LISTINGS, left_out


async def check(session: Session) -> Account:
    """Look at the team, and at one entry of each listing.

    Raises:
        RemoteRefused: something may not be read, or the settings name a part that there is not.
    """
    without = left_out(session.settings)
    response = await request(session, "/v2/team", {}, expected=NOT_ALLOWED)
    if response.status_code in NOT_ALLOWED:
        raise not_allowed("the team", "team:read", None)
    team = body_of(response).get("data")
    told = team if isinstance(team, dict) else {}
    for listing in LISTINGS:
        if listing.part in without or listing is BEGUN or listing.open_only:
            continue
        answer = await request(session, listing.path, {"per_page": 1}, expected=NOT_ALLOWED)
        if answer.status_code in NOT_ALLOWED:
            raise not_allowed(listing.name, listing.scope, listing.part)
    identity = str(told.get("id") or "unknown")
    return Account(name=str(told.get("name") or f"Salesloft team {identity}"), id=identity)
