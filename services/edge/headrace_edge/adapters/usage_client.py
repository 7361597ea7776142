"""The executor's usage service as a port."""

from collections.abc import Mapping

import grpc
from headrace.executor.v1 import executor_pb2 as pb
from headrace.executor.v1 import executor_pb2_grpc as grpc_pb
from headrace_runtime import errors

from headrace_edge import policy
from headrace_edge.adapters import decoding
from headrace_edge.adapters.calls import Caller
from headrace_edge.usage import Budget, BudgetFigure, UsageQuery, UsageReport, UsageRow

_PARAMETERS: Mapping[str, str] = {"first_day": "from", "last_day": "to"}
"""What the client calls the service's fields, where the names differ."""
_FIELDS: Mapping[str, str] = {"session": "session_id", "run": "run_id"}
"""Which field of a row tells a dimension, where the names differ."""


class ExecutorUsage:
    """`ports.Usage` over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, caller: Caller) -> None:
        self._stub = grpc_pb.UsageServiceStub(channel)
        self._caller = caller

    async def report(self, tenant: str, query: UsageQuery) -> UsageReport:
        """See the port."""
        answer = await self._get(tenant, query, query.group_by)
        rows = [_row(one, query.group_by) for one in answer.rows]
        if answer.truncated:
            whole = await self._get(tenant, query, ())
            total = decoding.model_usage(whole.rows[0].usage)
        else:
            total = policy.total([row.usage for row in rows])
        return UsageReport(rows=rows, total=total, budget=_budget(answer), truncated=answer.truncated)

    async def _get(self, tenant: str, query: UsageQuery, group_by: tuple[str, ...]) -> pb.GetUsageResponse:
        request = pb.GetUsageRequest(
            tenant_id=tenant,
            first_day=query.first.isoformat(),
            last_day=query.last.isoformat(),
            group_by=[f"USAGE_DIMENSION_{name.upper()}" for name in group_by],
            session_id=query.session_id,
            run_id=query.run_id,
        )
        try:
            answer: pb.GetUsageResponse = await self._caller.repeatable(self._stub.GetUsage, request)
        except errors.InvalidArgument as error:
            raise _in_the_clients_words(error) from error
        return answer


def _row(row: pb.UsageRow, group_by: tuple[str, ...]) -> UsageRow:
    fields = [_FIELDS.get(name, name) for name in group_by]
    return UsageRow.model_validate(
        {**{name: getattr(row, name) or None for name in fields}, "usage": decoding.model_usage(row.usage)}
    )


def _budget(answer: pb.GetUsageResponse) -> Budget | None:
    if not answer.HasField("budget"):
        return None
    one = answer.budget
    return Budget(
        usd=BudgetFigure(limit=one.usd_limit if one.HasField("usd_limit") else None, used=one.usd),
        tokens=BudgetFigure(limit=one.tokens_limit if one.HasField("tokens_limit") else None, used=one.tokens),
        calls=BudgetFigure(limit=one.calls_limit if one.HasField("calls_limit") else None, used=one.calls),
    )


def _in_the_clients_words(error: errors.InvalidArgument) -> errors.InvalidArgument:
    message, violations = error.message, []
    for one in error.violations:
        said = one.message
        for field, parameter in _PARAMETERS.items():
            said, message = said.replace(field, parameter), message.replace(field, parameter)
        violations.append(errors.Violation(_PARAMETERS.get(one.field, one.field), said))
    return errors.InvalidArgument(message, reason=error.reason, violations=tuple(violations))
