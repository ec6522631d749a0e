"""Execution of GraphQL, with short ways for rows of metrics, plain attributes and references.

A dashboard is some thousand small cells: a team of 500 reps shows 70 rows of 33 metrics of five fields each, and
graphql-core spends microseconds on every field of every cell. The selection below a list of MetricValue is the same for
every row, so it is planned once for a request and then applied to each MetricRow at once. What the plan does not know
(a field that was added to the schema, an incremental directive) goes the ordinary way; a test holds the two ways to the
same answer.

The other objects' plain attributes and references are planned as well: see api/object_plans.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import isawaitable, signature
from itertools import repeat
from types import CoroutineType
from typing import Any

from graphql import GraphQLObjectType, get_named_type, get_nullable_type, is_leaf_type
from graphql.execution.values import get_argument_values
from opentelemetry import trace
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from api.object_plans import Keys, ObjectPlan, Place, begun, places_of, plan_object, references_of, type_of, wanted
from api.row_plans import RowPlanner
from api.schema.metrics import MetricRow, change, change_ratio, shown_goal
from api.schema.scalars import decimal_text
from api.traces import root_span, spanned
from domain.dashboards import TrendStep
from domain.goal_board import SubjectGoals
from domain.metrics import METRICS, Number, Sums, compute_all
from domain.pacing import Progress
from domain.periods import TrendInterval
from domain.traces import is_traced

_ProgressCell = Callable[[Progress], Any]
_TrendCell = Callable[[MetricRow, TrendStep, "SubjectGoals | None"], list[Any]]


@dataclass(frozen=True, slots=True)
class _Trend:
    interval: TrendInterval
    cells: tuple[tuple[str, _TrendCell], ...]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a selection of MetricValue asks for: (name in the answer, field), in order, and its trends."""

    fields: tuple[tuple[str, str], ...]
    trends: dict[str, _Trend]
    progress: dict[str, tuple[tuple[str, _ProgressCell], ...]]
    wants_values: bool
    wants_previous: bool
    wants_goals: bool

    def waits(self, row: MetricRow) -> bool:
        """Whether something has to be brought for a row first."""
        if self.wants_goals and row.known_goals is None:
            return True
        return any(trend.interval not in row.known_trends for trend in self.trends.values())


_PLAIN = frozenset(
    {
        "__typename",
        "metric",
        "value",
        "previous",
        "change",
        "changeRatio",
        "goal",
        "attainment",
        "available",
    }
)
_OF_GOALS = frozenset({"goal", "attainment", "progress"})
_OF_VALUES = frozenset({"value"})
_OF_PREVIOUS = frozenset({"previous", "change", "changeRatio"})


def _text(value: Number | None) -> str | None:
    return None if value is None else decimal_text(value)


_TREND_CELLS: dict[str, _TrendCell] = {
    "__typename": lambda row, _step, _goals: ["TrendPoint"] * len(row.keys),
    "start": lambda row, step, _goals: [step.days.first.isoformat()] * len(row.keys),
    "end": lambda row, step, _goals: [step.days.last.isoformat()] * len(row.keys),
    "value": lambda row, step, _goals: _texts(_shown(row.keys, row.available, step.sums)),
    "goal": lambda row, step, goals: _texts(
        None if goals is None else shown_goal(goals.target(key, step.days)) for key in row.keys
    ),
}
"""A column of a step: the cell of each metric."""
_PROGRESS_CELLS: dict[str, _ProgressCell] = {
    "__typename": lambda _progress: "GoalProgress",
    "periodStart": lambda progress: progress.days.first.isoformat(),
    "periodEnd": lambda progress: progress.days.last.isoformat(),
    "actual": lambda progress: _text(progress.actual),
    "target": lambda progress: _text(progress.target),
    "attainment": lambda progress: _text(progress.attainment),
    "expectedByNow": lambda progress: _text(progress.expected_by_now),
    "pace": lambda progress: _text(progress.pace),
    "forecast": lambda progress: _text(progress.forecast),
    "status": lambda progress: progress.status.value,
}


_BUILD = signature(StrawberryGraphQLCoreExecutionContext.build)


class SidelineExecutor(StrawberryGraphQLCoreExecutionContext):
    """Strawberry's executor, with the short ways."""

    @classmethod
    def build(cls, *args: Any, **kwargs: Any) -> Any:
        """Make one. Who may not ask for the schema gets no names of it with what is wrong with variables."""
        given = _BUILD.bind(*args, **kwargs)
        context = given.arguments.get("context_value")
        given.arguments["hide_suggestions"] = context is not None and not context.limits.introspection
        return super().build(*given.args, **given.kwargs)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # What is planned is kept with its plan, so that its id cannot be given to something else.
        self._metric_plans: dict[int, tuple[Any, _Plan | None]] = {}
        self._object_plans: dict[int, tuple[Any, ObjectPlan | None]] = {}
        self._rows = RowPlanner(self.schema, self.collect_subfields, self._metric_cells)
        self._reference_places: dict[tuple[int, type], tuple[Any, list[Place]]] = {}
        if is_traced():
            # Fields of a request that nobody traces go no way around.
            self.execute_field = self._traced_field  # type: ignore[method-assign]

    def execute_fields(
        self, parent_type: Any, source_value: Any, path: Any, grouped_field_set: Any, position_context: Any
    ) -> Any:
        """Execute the fields of an object: its plain attributes by their plan, the others one by one."""
        known = self._object_plans.get(id(grouped_field_set))
        if known is None:
            made = plan_object(parent_type, grouped_field_set)
            known = self._object_plans[id(grouped_field_set)] = (grouped_field_set, made)
        plan = known[1]
        read = None if plan is None else plan.read(source_value)
        if plan is None or read is None:
            return super().execute_fields(parent_type, source_value, path, grouped_field_set, position_context)
        if not plan.rest:
            return read
        rest = super().execute_fields(parent_type, source_value, path, plan.rest, position_context)
        return _awaited(plan, read, rest) if isawaitable(rest) else plan.whole(read, rest)

    def complete_list_value(
        self, return_type: Any, field_details_list: Any, info: Any, path: Any, result: Any, position_context: Any
    ) -> Any:
        """Complete a list; what its objects refer to is brought for all of them before."""
        ordinary = partial(
            super().complete_list_value, return_type, field_details_list, info, path, result, position_context
        )
        if type(result) is not list or not result or is_leaf_type(get_nullable_type(return_type.of_type)):
            return ordinary()
        keys = self._keys(return_type.of_type, field_details_list, result)
        # Within a fragment that comes later, fields have ways of their own.
        planner = self._rows if position_context is None else None
        complete = partial(_rows_of, planner, return_type, field_details_list, info, result, ordinary)
        return _brought(keys, complete) if keys else complete()

    def _keys(self, item_type: Any, field_details_list: Any, items: list[Any]) -> Sequence[Keys]:
        """What the objects of a list refer to and was not brought yet; they may be of several types."""
        nullable = get_nullable_type(item_type)
        by_class: dict[type, list[Any]] = {}
        for item in items:
            by_class.setdefault(type(item), []).append(item)
        found: list[tuple[Place, list[Any]]] = []
        for kind, some in by_class.items():
            key = (id(field_details_list), kind)
            known = self._reference_places.get(key)
            if known is None:
                places = self._places(nullable, kind, field_details_list)
                known = self._reference_places[key] = (field_details_list, places)
            found += [(place, some) for place in known[1]]
        return wanted(found, self.context_value) if found else ()

    def _places(self, item_type: Any, kind: type, field_details_list: Any) -> list[Place]:
        parent = type_of(self.schema, item_type, kind)
        if parent is None:
            return []
        grouped, deferred, _forbidden = self.collect_subfields(parent, field_details_list)
        return [] if deferred else places_of(parent, grouped, self.collect_subfields)

    def complete_awaitable_value(
        self, return_type: Any, field_details_list: Any, info: Any, path: Any, result: Any, position_context: Any
    ) -> Any:
        """Complete what a resolver brings; of one that refers to something the start is made at once."""
        if type(result) is CoroutineType and references_of(info.parent_type.fields[info.field_name]):
            try:
                ended, value = begun(result)
                if ended:
                    value = self.complete_value(return_type, field_details_list, info, path, value, position_context)
                    if not isawaitable(value):
                        return value
            except Exception as error:
                self.handle_field_error(error, return_type, field_details_list, path)
                return None
            if ended:
                return self._awaited_field(value, return_type, field_details_list, path)
            result = value
        return super().complete_awaitable_value(return_type, field_details_list, info, path, result, position_context)

    async def _awaited_field(
        self, completed: Awaitable[Any], return_type: Any, field_details_list: Any, path: Any
    ) -> Any:
        try:
            return await completed
        except Exception as error:
            self.handle_field_error(error, return_type, field_details_list, path)
            return None

    def _traced_field(
        self, parent_type: Any, source: Any, field_details_list: Any, path: Any, position_context: Any
    ) -> Any:
        """Execute a field; one of a root within a span of its own."""
        if path.prev is not None:
            return super().execute_field(parent_type, source, field_details_list, path, position_context)
        span = root_span(f"{parent_type.name}.{field_details_list[0].node.name.value}")
        with trace.use_span(span, end_on_exit=False):
            result = super().execute_field(parent_type, source, field_details_list, path, position_context)
        if isawaitable(result):
            return spanned(result, span)
        span.end()
        return result

    def complete_value(
        self,
        return_type: Any,
        field_details_list: Any,
        info: Any,
        path: Any,
        result: Any,
        position_context: Any,
    ) -> Any:
        """Complete a value; a row of metrics by its plan."""
        if type(result) is MetricRow:
            plan = self._metric_plan(return_type, field_details_list)
            if plan is not None:
                return (
                    _load_and_apply(plan, result)
                    if plan.waits(result)
                    else _apply(plan, result, result.known_trends, result.known_goals)
                )
        return super().complete_value(return_type, field_details_list, info, path, result, position_context)

    def _metric_cells(self, return_type: Any, field_details_list: Any, row: MetricRow) -> list[dict[str, Any]] | None:
        plan = self._metric_plan(return_type, field_details_list)
        return None if plan is None or plan.waits(row) else _apply(plan, row, row.known_trends, row.known_goals)

    def _metric_plan(self, return_type: Any, field_details_list: Any) -> _Plan | None:
        known = self._metric_plans.get(id(field_details_list))
        if known is None:
            plan = self._make_plan(get_named_type(return_type), field_details_list)
            known = self._metric_plans[id(field_details_list)] = (field_details_list, plan)
        return known[1]

    def _selection(self, parent: GraphQLObjectType, field_details_list: Any) -> list[tuple[str, str, Any]] | None:
        grouped, deferred, _forbidden = self.collect_subfields(parent, field_details_list)
        if deferred:
            return None
        found = []
        for response_name, details in grouped.items():
            if any(detail.defer_usage is not None or detail.fragment_variable_values for detail in details):
                return None
            found.append((response_name, details[0].node.name.value, details))
        return found

    def _make_plan(self, parent: GraphQLObjectType, field_details_list: Any) -> _Plan | None:
        selection = self._selection(parent, field_details_list)
        if selection is None:
            return None
        fields: list[tuple[str, str]] = []
        trends: dict[str, _Trend] = {}
        progress: dict[str, tuple[tuple[str, _ProgressCell], ...]] = {}
        wants_goals = False
        for response_name, name, details in selection:
            if name == "trend":
                definition = parent.fields["trend"]
                point = get_named_type(definition.type)
                below = self._selection(point, details)
                if below is None or any(cell not in _TREND_CELLS for _response, cell, _details in below):
                    return None
                arguments = get_argument_values(definition, details[0].node, self.variable_values)
                cells = tuple((response, _TREND_CELLS[cell]) for response, cell, _details in below)
                trends[response_name] = _Trend(TrendInterval(arguments.get("interval") or TrendInterval.DAY), cells)
                wants_goals = wants_goals or any(cell == "goal" for _response, cell, _details in below)
            elif name == "progress":
                below = self._selection(get_named_type(parent.fields["progress"].type), details)
                if below is None or any(cell not in _PROGRESS_CELLS for _response, cell, _details in below):
                    return None
                progress[response_name] = tuple((response, _PROGRESS_CELLS[cell]) for response, cell, _details in below)
            elif name not in _PLAIN:
                return None
            fields.append((response_name, name))
        names = {name for _response, name in fields}
        return _Plan(
            tuple(fields),
            trends,
            progress,
            wants_values=bool(names & (_OF_VALUES | _OF_PREVIOUS | _OF_GOALS)),
            wants_previous=bool(names & _OF_PREVIOUS),
            wants_goals=wants_goals or bool(names & _OF_GOALS),
        )


async def _awaited(plan: ObjectPlan, read: dict[str, Any], rest: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    return plan.whole(read, await rest)


def _rows_of(
    planner: RowPlanner | None, return_type: Any, details: Any, info: Any, items: list[Any], ordinary: Callable[[], Any]
) -> Any:
    if planner is None:
        return ordinary()
    try:
        return planner.read(return_type, details, info, items)
    except Exception:
        # What is wrong is met again, and told with its path.
        return ordinary()


async def _brought(keys: Iterable[Keys], complete: Callable[[], Any]) -> Any:
    await asyncio.gather(*(loader.bring(some) for loader, some in keys))
    completed = complete()
    return await completed if isawaitable(completed) else completed


async def _load_and_apply(plan: _Plan, row: MetricRow) -> list[dict[str, Any]]:
    intervals = list(dict.fromkeys(trend.interval for trend in plan.trends.values()))
    goals = row.known_goals
    if goals is None and plan.wants_goals:
        goals = await row.goals()
    found = await asyncio.gather(*(row.trend(interval) for interval in intervals))
    return _apply(plan, row, dict(zip(intervals, found, strict=True)), goals)


def _apply(
    plan: _Plan, row: MetricRow, steps: Mapping[TrendInterval, Any], goals: SubjectGoals | None
) -> list[dict[str, Any]]:
    """Column by column, so that the loops over cells are the interpreter's own."""
    keys, available = row.keys, row.available
    nothing: list[Any] = [None] * len(keys)
    values = _shown(keys, available, row.sums.current) if plan.wants_values else nothing
    previous = nothing
    if plan.wants_previous and row.sums.previous is not None:
        previous = _shown(keys, available, row.sums.previous)
    stands: list[Progress | None] = nothing
    if goals is not None and plan.wants_values:
        stands = [goals.progress(key, value) for key, value in zip(keys, values, strict=True)]
    columns: list[Iterable[Any]] = []
    for response_name, name in plan.fields:
        if name == "metric":
            columns.append(keys)
        elif name == "value":
            columns.append(_texts(values))
        elif name == "previous":
            columns.append(_texts(previous))
        elif name == "change":
            columns.append(_texts(map(change, values, previous)))
        elif name == "changeRatio":
            columns.append(_texts(map(change_ratio, values, previous)))
        elif name == "available":
            columns.append([key in available for key in keys])
        elif name == "trend":
            trend = plan.trends[response_name]
            columns.append(_trend(trend, row, steps, goals))
        elif name == "goal":
            columns.append(_texts(None if one is None else one.target for one in stands))
        elif name == "attainment":
            columns.append(_texts(None if one is None else one.attainment for one in stands))
        elif name == "progress":
            columns.append([_progress(plan.progress[response_name], one) for one in stands])
        elif name == "__typename":
            columns.append(["MetricValue"] * len(keys))
        else:
            columns.append(nothing)
    names = [response_name for response_name, _name in plan.fields]
    return _objects(names, columns, len(keys))


def _objects(names: Sequence[str], columns: Sequence[Iterable[Any]], count: int) -> list[dict[str, Any]]:
    """So many objects, of columns of so many cells; without a column they are empty."""
    if not columns:
        return [{} for _ in range(count)]
    return list(map(dict, map(zip, repeat(names), zip(*columns, strict=True))))


def _shown(keys: tuple[str, ...], available: frozenset[str], sums: Sums) -> list[Number | None]:
    values = compute_all(keys, sums)
    if len(available) < len(METRICS):
        return [value if key in available else None for key, value in zip(keys, values, strict=True)]
    return values


def _texts(values: Iterable[Number | None]) -> list[str | None]:
    # Most numbers are whole.
    return [value if value is None else str(value) if type(value) is int else decimal_text(value) for value in values]


def _trend(
    trend: _Trend, row: MetricRow, steps: Mapping[TrendInterval, Any], goals: SubjectGoals | None
) -> list[list[dict[str, Any]]]:
    """The points of each metric."""
    names = [response for response, _make in trend.cells]
    points = [
        _objects(names, [make(row, step, goals) for _response, make in trend.cells], len(row.keys))
        for step in steps[trend.interval]
    ]
    return [list(found) for found in zip(*points, strict=True)]


def _progress(cells: tuple[tuple[str, _ProgressCell], ...], progress: Progress | None) -> dict[str, Any] | None:
    return None if progress is None else {response: make(progress) for response, make in cells}
