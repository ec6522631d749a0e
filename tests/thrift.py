"""What thousands of tests in one process would do again and again with the same outcome, done once.

The processes that `tests/running` starts do all of it as ever.
"""

from __future__ import annotations

import functools
import gc
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
from tortoise.apps import Apps
from tortoise.models import MetaInfo, Model

from api.collector import THRESHOLDS, Collector


@contextmanager
def no_garbage_is_sought() -> Iterator[None]:
    """While it holds, Python's collector rests: what is imported stays, and walking it again and again is in vain."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def keep_what_is_imported() -> None:
    """What has been imported by now stays: no collection of garbage needs to walk it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


@contextmanager
def once_a_process() -> Iterator[None]:
    """While it holds, an application's start and an HTTP client cost what is theirs alone."""
    with pytest.MonkeyPatch.context() as patch:
        # Each would have all of pytest walked (110 ms).
        patch.setattr(Collector, "start", lambda _self: None)
        patch.setattr(Collector, "stop", lambda _self: None)
        # Each HTTP client would read the system's certificates (20 ms).
        contexts = functools.cache(httpx.create_ssl_context)
        patch.setattr(httpx, "create_ssl_context", contexts)
        patch.setattr("httpx._transports.default.create_ssl_context", contexts)
        # Each HTTP request looks eight times for a module that is not there.
        if importlib.util.find_spec("sniffio") is None:
            patch.setitem(sys.modules, "sniffio", None)
        # Each connection to the database would have the models' filters and fields computed (40 ms), and the queries
        # that all others begin with (6 ms).
        patch.setattr(MetaInfo, "finalise_model", _finalised_once(MetaInfo.finalise_model))
        patch.setattr(Apps, "_build_initial_querysets", _built_once(Apps._build_initial_querysets))
        yield


def _finalised_once(finalise: object) -> object:
    done: set[type] = set()

    def finalise_model(self: MetaInfo) -> None:
        if self._model not in done:
            finalise(self)  # type: ignore[operator]
            if self._model.__module__.startswith("domain.models"):
                done.add(self._model)

    return finalise_model


def _built_once(build: Callable[[Apps], None]) -> Callable[[Apps], None]:
    done: set[type[Model]] = set()

    def build_initial_querysets(self: Apps) -> None:
        models = {model for app in self.apps.values() for model in app.values()}
        # Migrations make models of their own, each time others of the same names.
        if not models <= done:
            build(self)
            done.update(model for model in models if model.__module__.startswith("domain.models"))

    return build_initial_querysets
