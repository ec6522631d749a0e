"""What HubSpot is to a team: where it lets people in, what is asked of it, and how much it allows."""

from __future__ import annotations

from domain.connectors import Audience, Budget, Manifest, OAuth, Scope
from domain.models.teams import Feed

DEALS = "deals"
"""The object of the documents."""

MANIFEST = Manifest(
    kind="hubspot",
    label="HubSpot",
    audience=Audience.TEAM,
    feeds=(Feed.CRM, Feed.DEALS),
    oauth=OAuth(
        authorize_url="https://app.hubspot.com/oauth/authorize",
        # The older /oauth/v1/token ends on 2027-02-16 ("Migrate from the OAuth v1 API to the latest date-based
        # versioned API", HubSpot developer documentation).
        token_url="https://api.hubapi.com/oauth/2026-03/token",
        scopes=(
            Scope("oauth", "HubSpot asks it of every app; it tells which account this is, its currency and time zone."),
            Scope("crm.objects.deals.read", "Deals, the history of their stages and owners, and those archived."),
            Scope("crm.schemas.deals.read", "The properties of deals and the stages of pipelines, for the mapping."),
            Scope("crm.objects.owners.read", "Whose a deal is: the email addresses of owners."),
        ),
    ),
    base_url="https://api.hubapi.com",
    # HubSpot lets an app ask 110 times in 10 seconds, whenever those begin, for each account ("API usage guidelines and
    # limits", "Increasing our API limits"): a second's share at a time stays within it. Searches have a limit of their
    # own, 5 a second: each costs two.
    budget=Budget(cost=10, seconds=1.0),
    keeps_documents=True,
    opportunity_object=DEALS,
    default_mapping={
        "name": "dealname",
        "stage": "dealstage",
        "amount": "amount",
        "currency": "deal_currency_code",
        "createdOn": {"field": "createdate"},
        "pipeline": {"created": True},
        # The names of stages are an account's own; HubSpot itself says of each deal whether its stage is a closed one.
        "won": {"field": "hs_is_closed_won"},
        "lost": {"fields": {"closed": "hs_is_closed", "won": "hs_is_closed_won"}},
        # A deal's close date is what people expect while it is open, and may be edited after.
        "closedOn": {"history": True},
        "owner": "hubspot_owner_id",
        "credit": "CURRENT_OWNER",
    },
)
