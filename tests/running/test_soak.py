"""Two minutes of mixed load with every kind of fault, on a real installation; `make soak` runs half an hour of it.

Invariant: nobody is told an error that trying again does not mend, every oracle agrees at the end, nothing is left
undone or held, and no process holds more and more. What each of them is asked: `tests/soak/`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.plan import KINDS, Plan
from tests.soak.run import Soak

SEED = 20_261_125


@pytest.mark.timeout(900)
async def test_two_minutes_of_everything(tmp_path: Path) -> None:
    soak = Soak(Plan.short(SEED), tmp_path, print)
    outcome = await soak.run()
    assert not outcome.wrong, "\n".join(outcome.wrong)
    # Everything of the mixture took part.
    assert len(outcome.told["faults"]) >= len(KINDS)
    assert min(outcome.told["events"].values()) > 0
    assert {"import", "upload", "sync", "set goals", "comment", "team dashboard", "people"} <= set(
        outcome.told["requests"]
    )
