"""What the connector of Google Calendar is."""

from __future__ import annotations

from typing import Final

from domain.connectors import Audience, Budget, Manifest, OAuth, Scope
from domain.models.teams import Feed
from workers.connectors.calendars import SINCE, writing_scope, writing_setting

WRITE_SCOPE: Final = "https://www.googleapis.com/auth/calendar.events"

MANIFEST: Final = Manifest(
    kind="google_calendar",
    label="Google Calendar",
    audience=Audience.PERSON,
    feeds=(Feed.CALENDAR,),
    settings=(SINCE, writing_setting("Google")),
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
            writing_scope(WRITE_SCOPE),
        ),
        # Google gives a refresh token only to who asks for offline access, and again only if consent is asked anew.
        parameters={"access_type": "offline", "prompt": "consent"},
    ),
    base_url="https://www.googleapis.com",
    # "Per minute per user per project 600 requests" (Calendar API usage limits).
    budget=Budget(cost=600, seconds=60),
    keeps_documents=True,
)
