"""Structured lines on standard output: one JSON object a line, without secrets or variables of the program."""

from __future__ import annotations

import logging

import structlog

from domain.settings import Settings


def configure_log(settings: Settings) -> None:
    """Set up the log of a process."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
