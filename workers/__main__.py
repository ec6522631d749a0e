"""`python -m workers` runs a worker from the environment."""

# ruff: noqa: E402 - what is imported lives as long as the process: to look for garbage among it costs a third of the start

import gc

gc.disable()

import uvloop

from domain.logs import configure_log
from domain.settings import load_settings
from workers.main import work

gc.freeze()
gc.enable()
settings = load_settings()
configure_log(settings)
uvloop.run(work(settings))
