"""Every key and timing of the workers, with its unit."""

MIGRATION_SECONDS = 2.0
"""How often a worker that is newer than the database looks whether `sideline migrate` has run."""
HINT_SECONDS = 10.0
"""How long what a hint asks for may take: to claim. A hint whose end Redis lost is taken up 10 s after that."""
SWEEP_SECONDS = 2.0
"""How often PostgreSQL is asked for work that no hint has brought."""
JOBS_AT_ONCE = 4
"""Jobs that keep a worker and the database busy."""
WAITING_JOBS_AT_ONCE = 16
"""Jobs that mostly wait for a vendor's answer."""
SCHEDULE_SECONDS = 5.0
"""How often integrations whose time has come are looked for."""
SCHEDULE_LOT = 500
"""Integrations that are scheduled in one transaction."""
RECONNECT_SECONDS = (0.5, 1.0, 2.0, 5.0)
STOP_SECONDS = 15.0
"""How long a job that is told to stop gets for its running transaction."""

LOOP_RETRY_SECONDS = (0.1, 0.5, 1.0, 2.0)
"""How long a loop waits after its first, second, ... failure in a row; the last one goes on."""
RELAY_SECONDS = 1.0
"""How often the relay looks without being notified."""
RELAY_EVENTS = 500
"""Events of one team that are handed on in one transaction."""
STREAM_EVENTS_KEPT = 20_000
"""About how many events the Redis stream keeps; who is further behind reads PostgreSQL."""
EVALUATION_SECONDS = 1.0
"""A team's goals are evaluated at most so often, and looked for as often without a notification."""
ACCOLADE_SECONDS = 5.0
"""A team is looked at for accolades at most so often."""
ACCOLADE_POLL_SECONDS = 1.0
"""How often teams that are due for accolades are looked for."""
DELIVERY_SECONDS = 1.0
"""How often the deliverer looks for webhooks that are due."""
DELIVERIES_AT_ONCE = 32
"""Endpoints that one worker delivers to at the same time."""
COACHING_SECONDS = 20.0
"""How often programs, series and invitations are looked after."""
UPKEEP_SECONDS = 3600.0
"""How often old events, keys and deliveries are forgotten."""
REDIS_SECONDS = 5.0
"""How long a loop waits for Redis while it holds a transaction open."""
GAUGE_SECONDS = 15.0
"""How often what waits is counted for Prometheus."""
ACTIONS_SECONDS = 1.0
"""How often the runner looks for scheduled actions that are due."""
MESSAGES_SECONDS = 1.0
"""How often messages that are to go out are looked for."""
