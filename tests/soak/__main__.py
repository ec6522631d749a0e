"""`python -m tests.soak --minutes 30`: run it, print what came of it. The exit code is 1 if anything was wrong."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.services import VARIABLE, Services
from tests.soak.journal import lines_of
from tests.soak.plan import Plan
from tests.soak.run import Outcome, Soak


def summary(outcome: Outcome) -> str:
    """What came of a run, for people."""
    told = outcome.told
    lines = lines_of(told)
    lines.append(f"events     {told['events']}, records {told['records']}")
    lines.append(f"jobs       {told['jobs']}  (how many, most attempts)")
    lines.append("memory, MB at 1/3, 2/3 and the end of each life; descriptors")
    lines += [_life(life) for life in told["memory"] if life["to"] - life["from"] >= 30]
    lines.append("held and lag (p50, p99, max)")
    for name, values in told["series"].items():
        if values:
            lines.append(f"  {name:<48} {values['p50']:>9} {values['p99']:>9} {values['max']:>9}")
    lines.append(f"errors in logs: {told['errors in logs']}")
    lines += [f"WRONG  {one}" for one in outcome.wrong]
    lines.append(f"{len(outcome.wrong)} wrong" if outcome.wrong else "all is well")
    return "\n".join(lines)


def _life(life: dict[str, Any]) -> str:
    shown = "  ".join(f"{value:7.1f}" for value in life["megabytes"])
    return f"  {life['process']:<8} {life['from']:>7.0f} to {life['to']:>5.0f} s  {shown}   {life['descriptors']}"


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long the load lasts (30)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="what is left to chance follows from it")
    parser.add_argument("--json", type=Path, help="a file for everything that was counted")
    given = parser.parse_args()
    for name in [name for name in os.environ if name.startswith("SIDELINE_") and name != VARIABLE]:
        del os.environ[name]
    folder = Path(tempfile.mkdtemp(prefix="sideline-soak-"))
    services = Services()
    try:
        os.environ[VARIABLE] = json.dumps(services.start())
        print(f"seed {given.seed}", flush=True)
        soak = Soak(Plan.of(given.minutes, given.seed), folder, lambda text: print(text, flush=True))
        outcome = asyncio.run(soak.run())
    finally:
        services.stop()
    print(summary(outcome))
    if given.json:
        given.json.write_text(json.dumps({**outcome.told, "wrong": outcome.wrong}, indent=1))
    if outcome.wrong:
        print(f"the logs are in {folder}")
    else:
        shutil.rmtree(folder)
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
