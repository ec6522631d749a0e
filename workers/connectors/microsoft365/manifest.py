"""What the connector of Microsoft 365 is."""

from __future__ import annotations

from typing import Final

from domain.connectors import Audience, Budget, Manifest, OAuth, Scope
from domain.models.teams import Feed
from workers.connectors.calendars import SINCE, writing_scope, writing_setting

WRITE_SCOPE: Final = "Calendars.ReadWrite"

MANIFEST: Final = Manifest(
    kind="microsoft365",
    label="Microsoft 365",
    audience=Audience.PERSON,
    feeds=(Feed.CALENDAR,),
    settings=(SINCE, writing_setting("Microsoft 365")),
    oauth=OAuth(
        authorize_url="https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
        token_url="https://login.microsoftonline.com/common/oauth2/v2.0/token",
        scopes=(
            Scope(
                "Calendars.Read",
                "To read the meetings of your calendar: when they are, what they are called, who books and who is "
                "invited, and whose calendar it is. Nothing else of them is kept.",
            ),
            Scope("offline_access", "To go on reading while you are away, without asking you to sign in each hour."),
            writing_scope(WRITE_SCOPE),
        ),
    ),
    base_url="https://graph.microsoft.com",
    # "10,000 API requests in a 10 minute period" for each app and mailbox (Outlook service limits).
    budget=Budget(cost=10_000, seconds=600),
    keeps_documents=True,
)
