"""`python -m api` serves the API from the environment."""

# ruff: noqa: E402 - what is imported lives as long as the process: to look for garbage among it costs a third of the start

import gc

gc.disable()

from api.server import serve
from domain.settings import load_settings

# api/collector.py starts it again.
serve(load_settings())
