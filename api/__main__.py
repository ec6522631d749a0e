"""`python -m api` serves the API from the environment."""

from api.server import serve
from domain.settings import load_settings

serve(load_settings())
