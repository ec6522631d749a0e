"""Only a few places speak to PostgreSQL for all teams; whoever adds one writes it here, with its reason."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]

REASONS = {
    "api/authentication.py": "whose credential is this?",
    "api/hub.py": "events of all teams come by one stream",
    "api/live_calls.py": "whose dialer is this?",
    "api/live_feed.py": "in which teams have live calls changed?",
    "api/sessions.py": "signing in",
    "workers/accolades.py": "which teams are due?",
    "workers/actions.py": "which actions are due?",
    "workers/messages.py": "which messages are due?",
    "workers/gauges.py": "how much waits, of all teams?",
    "workers/goals.py": "which teams are due?",
    "workers/invitations.py": "which teams have coaching to look after?",
    "workers/demo_calls.py": "which is the demo team?",
    "workers/live_calls.py": "which joins and lines are due, and which calls fell silent?",
    "workers/main.py": "which jobs are due?",
    "workers/relay.py": "events of all teams go by one stream",
    "workers/retention.py": "which teams have something to forget?",
    "workers/sync.py": "which integrations are due, and which connectors are there?",
    "workers/webhooks.py": "which endpoints are due?",
}


def test_all_teams_are_spoken_for_only_where_there_is_a_reason() -> None:
    found = {
        str(path.relative_to(ROOT))
        for folder in ("api", "workers")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"\bALL_TEAMS\b", path.read_text())
    }
    assert found == set(REASONS)
