"""The demo team: the same people and the same year of history every time, current up to the start of today."""

from domain.demo.seed import SeedOutcome, seed_demo

__all__ = ["SeedOutcome", "seed_demo"]
