"""Every key and timing of the workers, with its unit."""

SWEEP_SECONDS = 2.0
"""How often PostgreSQL is asked for work that no hint has brought."""
JOBS_AT_ONCE = 4
RECONNECT_SECONDS = (0.5, 1.0, 2.0, 5.0)
STOP_SECONDS = 15.0
"""How long a job that is told to stop gets for its running transaction."""
