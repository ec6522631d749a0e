"""What docs/ says of metrics and settings, written from the code: `python -m cli.definitions`, with `--check` compares.

docs/metrics.md is made whole; of docs/operating.md the table between the two marks is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from pydantic_core import PydanticUndefined

from domain.metrics import BASE_SUMS, METRICS, BaseSum, Direction, MetricDefinition, MetricUnit
from domain.models.teams import Feed
from domain.settings import Settings

DOCS = Path(__file__).parents[1] / "docs"
MARKS = ("<!-- settings: python -m cli.definitions -->", "<!-- end of settings -->")

_AREAS: dict[str, tuple[Feed, ...]] = {
    "Email": (Feed.EMAIL,),
    "Calls": (Feed.CALLS,),
    "Meetings": (Feed.CALENDAR,),
    "Conversations": (Feed.CONVERSATIONS,),
    "Cadences and tasks": (Feed.CADENCE,),
    "Pipeline": (Feed.CRM, Feed.DEALS),
}
_SOURCES: dict[Feed, str] = {
    Feed.EMAIL: "an engagement platform, or records of the kind `email`",
    Feed.CALLS: "an engagement platform or dialer, or records of the kind `call`",
    Feed.CALENDAR: "people's calendars, or records of the kind `meeting`",
    Feed.CONVERSATIONS: "a recorder, or records of the kind `conversation`",
    Feed.CADENCE: "an engagement platform, or records of the kinds `cadence_step` and `task`",
    Feed.CRM: "the sync of opportunities, or records of the kind `opportunity`",
    Feed.DEALS: "the sync of deals, or records of the kind `opportunity`",
}
_UNITS: dict[MetricUnit, str] = {
    MetricUnit.COUNT: "a number",
    MetricUnit.SECONDS: "seconds",
    MetricUnit.MONEY: "money",
    MetricUnit.RATIO: "a share of 1",
    MetricUnit.DAYS: "days",
}
_BETTER: dict[Direction, str] = {
    Direction.HIGHER: "more",
    Direction.LOWER: "less",
    Direction.BAND: "neither",
}
_DAYS: dict[str, str] = {
    "occurred_at": "`occurredAt`",
    "starts_at": "`startsAt`",
    "completed_at": "`completedAt`",
    "created_on": "`createdOn`",
    "pipeline_on": "`pipelineOn`",
    "closed_on": "`closedOn`",
}
_INTRODUCTION = """\
# Metrics

This page is written by `python -m cli.definitions` from `domain/metrics.py`; `make check` fails when they differ. The
API tells the same, and whether your team has what a metric needs:

```graphql as=rep@demo.test
{ metrics { key label unit direction goalable available unavailableReason definition } }
```

```json answer
{"data": {"metrics": [
  {"key": "REPLY_RATE", "label": "Reply rate", "unit": "RATIO", "direction": "HIGHER", "goalable": true,
   "available": true, "unavailableReason": null, "definition": "Emails replied per email delivered."}, "…"]}}
```

## What holds for all

- **Which day.** A number belongs to a local day: a day of the team's time zone. The last table says which instant or
  date of the activity decides it. An email that is answered a week later counts as replied on the day that it was
  *sent*.
- **Whose.** Each activity belongs to one rep: the `user` of its record, or whom the connector gives the credit
  ([integrations.md](integrations.md)). A comment or a scorecard counts for the rep whose conversation it is.
- **Groups.** A group's numbers are those of the people who are in it, or in a group below it, *now*, over the whole
  range. Who moves takes their past along.
- **Ratios** are the quotient of the sums over all days and people of the range, never a mean of ratios:
  2 replies to 20 emails and 9 to 30 are 11 of 50, so 0.22. Six decimals, half to even. With nothing
  to divide by, a ratio is null, not 0.
- **Money** is in the team's currency, at the day's rate.
- **Corrections.** A late, corrected or deleted activity mends the day that it belongs to, in the same transaction, and
  every number that is made of it. `tests/oracle/recount.py` counts all of it again from the activities by other means.
- **Goals** can be set where more is better.
- **Not connected** is not 0: `available` is false, the value null, and `unavailableReason` tells the next step.
"""
_SUMS = """\
## Base sums

Each metric is a base sum, or a quotient of base sums. A base sum is kept for each rep and local day (`rollup_days`, and
months of them in `rollup_months`); a range adds them up. *When* is SQL over the activity `a`. What is weighted by
duration is kept as a whole number, and divided by what it was multiplied with: one minute of talk ratio 0.5 adds
500,000 x 60 to `talk_ratio_weighted` and 60 to `talk_ratio_seconds`.

| sum | kind of activity | day of | adds | when |
| --- | --- | --- | --- | --- |
"""


def _formula(metric: MetricDefinition) -> str:
    if not metric.denominators:
        return f"`{metric.numerator}`"
    divisor = " + ".join(metric.denominators)
    if len(metric.denominators) > 1:
        divisor = f"({divisor})"
    scale = f" / {metric.scale:,}" if metric.scale != 1 else ""
    return f"`{metric.numerator} / {divisor}`{scale}"


def _metric_row(metric: MetricDefinition) -> str:
    goal = "yes" if metric.goalable else "no"
    unit = "a mean" if metric.unit is MetricUnit.COUNT and metric.is_quotient else _UNITS[metric.unit]
    return (
        f"| `{metric.key}` | **{metric.label}.** {metric.definition} | {unit} | {_formula(metric)} "
        f"| {_BETTER[metric.direction]} | {goal} |"
    )


def _sum_row(base: BaseSum) -> str:
    when = f"`{base.when}`" if base.when else "always"
    if base.money:
        when = f"{when}, and an amount is known" if base.when else "an amount is known"
    return f"| `{base.name}` | `{base.kind.value}` | {_DAYS[base.day]} | `{base.amount}` | {when} |"


def metrics_page() -> str:
    """docs/metrics.md."""
    lines = [_INTRODUCTION]
    for area, feeds in _AREAS.items():
        lines.append(f"## {area}\n")
        for feed in feeds:
            here = [metric for metric in METRICS.values() if metric.feed is feed]
            lines.append(f"Comes by {_SOURCES[feed]}.\n")
            lines.append("| metric | what it counts | unit | made of | better is | goals |")
            lines.append("| --- | --- | --- | --- | --- | --- |")
            lines += [_metric_row(metric) for metric in here]
            lines.append("")
    return "\n".join(lines) + "\n" + _SUMS + "\n".join(_sum_row(base) for base in BASE_SUMS) + "\n"


def variables() -> frozenset[str]:
    """The environment variables that set an installation up."""
    return frozenset(f"SIDELINE_{name.upper()}" for name in Settings.model_fields) | {"PORT"}


def _default(value: object) -> str:
    if value is None or value is PydanticUndefined or value == "":
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" if isinstance(value, Path | str) else f"{value:,}" if isinstance(value, int) else f"{value:g}"


def settings_table() -> str:
    """The table of docs/operating.md."""
    lines = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        variable = f"`SIDELINE_{name.upper()}`"
        if name == "port":
            variable += ", `PORT`"
        elif name in {"oauth_clients", "connector_urls"}:
            variable = f"`SIDELINE_{name.upper()}__…`"
        default = "8000" if name == "port" else _default(field.default)
        assert field.description, name
        lines.append(f"| {variable} | {default} | {field.description.replace('|', '/')} |")
    return "\n".join(lines)


def pages() -> Iterable[tuple[Path, str]]:
    """The files, and what they are to hold.

    Raises:
        ValueError: the marks are not in docs/operating.md.
    """
    yield DOCS / "metrics.md", metrics_page()
    book = DOCS / "operating.md"
    text = book.read_text()
    before, begin, rest = text.partition(MARKS[0])
    _old, end, after = rest.partition(MARKS[1])
    if not begin or not end:
        raise ValueError(f"{book.name} lacks the marks {MARKS[0]} and {MARKS[1]}")
    yield book, f"{before}{begin}\n{settings_table()}\n{end}{after}"


def main(arguments: list[str]) -> int:
    """Write or check the files. Returns the exit code."""
    code = 0
    for file, text in pages():
        if "--check" not in arguments:
            file.write_text(text)
        elif not file.exists() or file.read_text() != text:
            print(f"docs/{file.name} is not what the code says: run `python -m cli.definitions`.", file=sys.stderr)
            code = 1
    return code


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
