"""The tools that a conversation names, as SubmitRun takes and refuses them."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
import pytest
from headrace.executor.v1 import executor_pb2 as pb
from headrace_runtime.errors import InvalidArgument
from headrace_tools.model import ToolEntry
from headrace_tools.ports import NoTools

from tests.support.executor_durable import Executor, ScriptedPipeline, executor, refused, settings
from tests.support.toolbox import tool


class School(NoTools):
    """One connector of one tenant, with more tools than a model is given."""

    def tools(self, tenant_id: str) -> dict[str, ToolEntry]:
        names = ("school.grades", *(f"crm.tool{at}" for at in range(32))) if tenant_id == "t" else ()
        return {name: tool(name) for name in names}


@pytest.fixture
async def one(postgres_url: str) -> AsyncIterator[Executor]:
    async with executor(settings(postgres_url), ScriptedPipeline(), toolbox=School()) as value:
        yield value


async def ask(one: Executor, tools: Sequence[str], *, tenant: str = "t", **fields: Any) -> pb.Run:
    body = orjson.dumps({"message": "How is 3B?", "tools": tools, **fields})
    return await one.submit(tenant=tenant, body=body)


@pytest.mark.parametrize("mode", ["auto", "chat", "qa", "build", "quiz"])
async def test_a_tool_that_the_tenant_does_not_have_is_refused_before_there_is_a_run(one: Executor, mode: str) -> None:
    error = await refused(ask(one, ["calculator", "school.grade"], mode=mode))

    assert isinstance(error, InvalidArgument)
    (violation,) = error.violations
    assert violation.field == "/tools/1"
    assert violation.message == "there is no tool 'school.grade': did you mean 'school.grades'?"


async def test_another_tenants_tool_is_none(one: Executor) -> None:
    await ask(one, ["school.*"])
    error = await refused(ask(one, ["school.*", "school.grades"], tenant="other"))
    assert [violation.field for violation in error.violations] == ["/tools/0", "/tools/1"]


@pytest.mark.parametrize("mode", ["chat", "qa"])
async def test_more_tools_than_a_model_is_given_are_refused_where_one_answers(one: Executor, mode: str) -> None:
    await ask(one, ["crm.*"], mode=mode)
    await ask(one, ["*"], mode="build")
    error = await refused(ask(one, ["*"], mode=mode))
    (violation,) = error.violations
    assert violation.field == "/tools"
    assert "at most 32" in violation.message
