"""Salesloft: emails, calls, cadences, recorded conversations, meetings and tasks of a team, by API v2 (Platform).

What comes of what, object by object:

| Salesloft | Sideline |
| --- | --- |
| users | ids by which owners are found: the number and the GUID, both as `salesloft:…` |
| groups | nothing: groups are kept in Sideline |
| emails that were sent | `email`: bounces, opens, cadence; subject with `email_contents:read`; body if asked for |
| calls logged | `call`: duration, disposition, sentiment; connected as Salesloft says, else if `Connected` |
| cadence memberships | `cadence_step` with status `added`, on the day on which the person was added last |
| emails sent and calls logged from a step | `cadence_step` with status `completed`, beside the email or call |
| conversations | `conversation`: duration. The API tells no talk ratio, monologue, questions or patience |
| meetings booked in Salesloft | `meeting`: booked, held, cancelled, no show, rescheduled |
| tasks that were completed | `task` |
| tasks, open and completed | upcoming work of their owners, done once they are completed (domain/upcoming.py) |

Upcoming steps of cadences (actions) that are emails or calls become upcoming work of their reps, done once the email or
call that names them has come.

The API has no list of completed steps (actions vanish from it when they are completed), so that steps which are neither
an email nor a call, such as a visit to a profile, are not counted. It does not tell of deleted emails, calls or tasks
either.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain.connectors import Account, Cursor, Document, Mapped, MappingContext, Page
from workers.connectors.base import Session
from workers.connectors.salesloft import checking, mapping, pulling
from workers.connectors.salesloft.manifest import MANIFEST


class Salesloft:
    """The connector."""

    manifest = MANIFEST

    async def check(self, session: Session) -> Account:
        """Whose team it is, and whether everything that is to be read may be."""
        return await checking.check(session)

    async def pull(self, session: Session, cursor: Cursor | None) -> Page:
        """The next page."""
        return await pulling.pull(session, cursor)

    def map(self, document: Document, context: MappingContext, state: Mapping[str, Any] | None) -> Mapped:
        """What a document comes to."""
        return mapping.map_document(document, context)


connector = Salesloft()
