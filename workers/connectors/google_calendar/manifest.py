"""What the connector of Google Calendar is."""

from __future__ import annotations

from typing import Final

from domain.connectors import Audience, Budget, Manifest, OAuth, Scope, Setting
from domain.models.teams import Feed
from workers.connectors.calendars import SINCE

WRITE_SCOPE: Final = "https://www.googleapis.com/auth/calendar.events"
WRITE_INVITATIONS: Final = Setting(
    "writeInvitations",
    "Coaching sessions in this calendar",
    required=False,
    choices=("true", "false"),
    help="true puts the coaching sessions that you coach into this calendar and lets Google invite the others; it asks "
    "for the permission to change events. Sign in again after a change.",
)

MANIFEST: Final = Manifest(
    kind="google_calendar",
    label="Google Calendar",
    audience=Audience.PERSON,
    feeds=(Feed.CALENDAR,),
    settings=(SINCE, WRITE_INVITATIONS),
    oauth=OAuth(
        authorize_url="https://accounts.google.com/o/oauth2/v2/auth",
        token_url="https://oauth2.googleapis.com/token",
        scopes=(
            Scope(
                "https://www.googleapis.com/auth/calendar.events.readonly",
                "To read the meetings of your calendar: when they are, what they are called, who books and who is "
                "invited. Descriptions and attachments are not asked for.",
            ),
            Scope(
                "https://www.googleapis.com/auth/calendar.calendars.readonly",
                "To see whose calendar it is.",
            ),
            Scope(
                WRITE_SCOPE,
                "To put the coaching sessions that you coach into your calendar. It is asked for only if "
                "writeInvitations is true.",
                setting=WRITE_INVITATIONS.name,
            ),
        ),
        # Google gives a refresh token only to who asks for offline access, and again only if consent is asked anew.
        parameters={"access_type": "offline", "prompt": "consent"},
    ),
    base_url="https://www.googleapis.com",
    # "Per minute per user per project 600 requests" (Calendar API usage limits).
    budget=Budget(cost=600, seconds=60),
    keeps_documents=True,
)
