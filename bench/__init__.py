"""Measurements against floors, as ratios of one run."""
