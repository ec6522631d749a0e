"""`python -m workers` runs a worker from the environment."""

import uvloop

from domain.logs import configure_log
from domain.settings import load_settings
from workers.main import work

settings = load_settings()
configure_log(settings)
uvloop.run(work(settings))
