"""What the Salesforce connector is, and where it starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain.connectors import Audience, Manifest, OAuth, Scope
from domain.models.teams import Feed

OBJECT = "Opportunity"

DEFAULT_MAPPING: Mapping[str, Any] = {
    "name": "Name",
    "stage": "StageName",
    "amount": "Amount",
    "currency": "CurrencyIsoCode",
    "createdOn": {"field": "CreatedDate"},
    "pipeline": {"created": True},
    "won": {"field": "IsWon"},
    "lost": {"fields": {"closed": "IsClosed", "won": "IsWon"}},
    # What Salesforce's own reports count by; the history of stages is the other way.
    "closedOn": {"field": "CloseDate"},
    "owner": "OwnerId",
    "credit": "CURRENT_OWNER",
    "creator": "CreatedById",
}
"""The fields that every organization has. Without several currencies there is no CurrencyIsoCode: documents then hold
null there, which is the team's currency."""

MANIFEST = Manifest(
    kind="salesforce",
    label="Salesforce",
    audience=Audience.TEAM,
    feeds=(Feed.CRM, Feed.DEALS),
    oauth=OAuth(
        authorize_url="https://login.salesforce.com/services/oauth2/authorize",
        token_url="https://login.salesforce.com/services/oauth2/token",
        scopes=(
            Scope("api", "To read opportunities, the history of their stages and owners, users' addresses and rates."),
            Scope("refresh_token", "To go on reading while nobody is signed in."),
        ),
        base_url_field="instance_url",
    ),
    base_url="https://login.salesforce.com",
    # Requests are limited a day, for the organization with all that it uses: no rule that Sideline could keep alone.
    budget=None,
    keeps_documents=True,
    opportunity_object=OBJECT,
    default_mapping=DEFAULT_MAPPING,
)
