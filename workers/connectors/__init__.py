"""The connectors: a folder each, found by being here. Nothing else knows of any one of them."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache

from workers.connectors.base import Connector


@cache
def all_connectors() -> Mapping[str, Connector]:
    """Every connector by its kind: what the folders beside this file hold as `connector`."""
    found: dict[str, Connector] = {}
    for module in pkgutil.iter_modules(__path__):
        if module.ispkg:
            connector: Connector = importlib.import_module(f"{__name__}.{module.name}").connector
            found[connector.manifest.kind] = connector
    return found
