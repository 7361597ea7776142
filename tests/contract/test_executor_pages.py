"""PageService and GetOutput against their protos, through a real server and a real Postgres."""

from collections.abc import AsyncIterator, Awaitable
from typing import Any

import orjson
import pytest
from headrace.executor.v1 import executor_pb2 as run_pb
from headrace.executor.v1 import pages_pb2 as pb
from headrace_executor.adapters.postgres.parts import ROW_BYTES
from headrace_executor.model import ClaimedRun, Outcome
from headrace_executor.pages import MAX_FIELD_BYTES
from headrace_executor.ports import Gap, Journal, PageDraft, PageRef
from headrace_executor.runs import ids
from headrace_llm.usage import Usage
from headrace_runtime import channels, errors

from tests.support.executor_durable import Executor, executor, refused, settings
from tests.support.executor_pages import PAID, PageMaker, blueprint, draft

LARGE = "é" * (MAX_FIELD_BYTES // 2 - 8)
"""A node's output just below its limit, and above what a page's answer has room for beside others."""


def drafted(run: ClaimedRun) -> PageDraft:
    """A patch makes the next version of the page that it names, anything else a new page."""
    if run.kind.value != "patch":
        return draft({"a": LARGE, "b": {"k": [1, None]}, "c": None}, gaps=[Gap("node:c", "tool", "Away.")])
    page_id, _, version = run.body["instruction"].partition(" ")
    return draft({"a": LARGE, "b": "new"}, parent=PageRef(page_id, int(version)), instruction="Say it anew.")


@pytest.fixture
async def one(postgres_url: str) -> AsyncIterator[Executor]:
    async with executor(settings(postgres_url), PageMaker(draft=drafted)) as value:
        yield value


async def call(method: Any, request: Any) -> Any:
    return await channels.unary(method, request, timeout_s=20)


async def made(one: Executor, **fields: Any) -> run_pb.Run:
    body = orjson.dumps({"blueprint": {**blueprint("a"), "layout": None}})
    run = await one.submit(kind=run_pb.RUN_KIND_PAGE, body=body, **fields)
    return await one.get(run.run_id, wait_s=20, tenant=fields.get("tenant", "t"))


async def patched(one: Executor, page_id: str, parent: int) -> int:
    body = orjson.dumps({"page_id": page_id, "instruction": f"{page_id} {parent}"})
    run = await one.submit(kind=run_pb.RUN_KIND_PATCH, body=body)
    done = await one.get(run.run_id, wait_s=20)
    return int(orjson.loads(done.output)["page"]["version"])


def page_id(run: run_pb.Run) -> str:
    return str(orjson.loads(run.output)["page"]["page_id"])


async def get(one: Executor, page: str, version: int = 0, tenant: str = "t") -> pb.Page:
    request = pb.GetPageRequest(tenant_id=tenant, page_id=page, version=version)
    found: pb.Page = (await call(one.pages.GetPage, request)).page
    return found


async def output(one: Executor, page: str, step: str, version: int = 0, tenant: str = "t") -> Any:
    request = pb.GetPageOutputRequest(tenant_id=tenant, page_id=page, version=version, step=step)
    pieces = [one.data async for one in channels.stream(one.pages.GetPageOutput, request, timeout_s=20)]
    assert all(0 < len(piece) <= ROW_BYTES for piece in pieces)
    return orjson.loads(b"".join(pieces))


async def restore(one: Executor, page: str, tenant: str = "t", **fields: int) -> pb.Page:
    request = pb.RestorePageRequest(tenant_id=tenant, page_id=page, **fields)
    found: pb.Page = (await call(one.pages.RestorePage, request)).page
    return found


async def versions(one: Executor, page: str, tenant: str = "t") -> list[pb.Page]:
    request = pb.ListPageVersionsRequest(tenant_id=tenant, page_id=page)
    return list((await call(one.pages.ListPageVersions, request)).versions)


async def listed(one: Executor, tenant: str = "t", **fields: Any) -> list[str]:
    answer = await call(one.pages.ListPages, pb.ListPagesRequest(tenant_id=tenant, **fields))
    return [page.page_id for page in answer.pages]


async def test_a_page_is_kept_with_all_that_made_it(one: Executor) -> None:
    run = await made(one)
    page = await get(one, page_id(run))
    assert (page.version, page.current, page.parent_version, page.title) == (1, True, 0, "Report")
    assert (page.run_id, page.session_id) == (run.run_id, run.session_id)
    assert Usage.from_proto(page.usage) == PAID
    assert orjson.loads(page.blueprint) == blueprint("a", "b", "c")
    assert orjson.loads(page.inputs) == {"x": 1}
    assert orjson.loads(page.sources) == [{"document_id": "d"}]
    first, second, third = orjson.loads(page.slots)
    assert first["value"]["step"] == "node:a"
    assert first["value"]["bytes"] == len(orjson.dumps(LARGE))
    assert second == {"slot": "s_b", "title": "B", "node": "b", "value": {"k": [1, None]}}
    assert third["gap"] == {"code": "tool", "message": "Away."}


async def test_what_is_too_large_for_a_pages_answer_is_streamed_whole(one: Executor) -> None:
    page = page_id(await made(one))
    assert await output(one, page, "node:a") == LARGE
    assert await output(one, page, "node:c") is None
    assert await output(one, page, "inputs") == {"x": 1}
    assert await output(one, page, "blueprint", version=1) == blueprint("a", "b", "c")
    for step in ("node:gone", "gaps", "names", "node"):
        assert (await refused(output(one, page, step))).reason == "STEP_NOT_FOUND"
    for step in ("", "a\x00", "x" * 1025):
        assert isinstance(await refused(output(one, page, step)), errors.InvalidArgument)


async def test_versions_are_counted_undone_and_never_changed(one: Executor) -> None:
    page = page_id(await made(one))
    assert [await patched(one, page, 1), await patched(one, page, 2)] == [2, 3]
    before = [await get(one, page, version) for version in (1, 2, 3)]
    undone = await restore(one, page, expected_version=3)
    assert (undone.version, undone.current, undone.instruction) == (2, True, "Say it anew.")
    assert (await restore(one, page)).version == 1
    assert (await refused(restore(one, page))).reason == "NOTHING_TO_UNDO"
    assert (await refused(restore(one, page, version=2, expected_version=3))).reason == "PAGE_CHANGED"
    assert (await refused(restore(one, page, version=9))).reason == "PAGE_NOT_FOUND"
    assert (await restore(one, page, version=3)).version == 3
    history = await versions(one, page)
    assert [(v.version, v.parent_version, v.current) for v in history] == [(1, 0, False), (2, 1, False), (3, 2, True)]
    assert not any(v.slots or v.blueprint or v.inputs or v.sources for v in history)
    for old in before:
        new = await get(one, page, old.version)
        new.current = old.current
        assert new == old
    await restore(one, page, version=1)
    assert await patched(one, page, 1) == 4
    assert [(v.version, v.parent_version, v.current) for v in await versions(one, page)][3:] == [(4, 1, True)]


async def test_pages_are_listed_newest_first_by_session(one: Executor) -> None:
    first = await made(one)
    second = await made(one, session_id=first.session_id)
    third = await made(one)
    pages = [page_id(run) for run in (first, second, third)]
    await patched(one, pages[0], 1)
    assert await listed(one) == pages[::-1]
    assert await listed(one, session_id=first.session_id) == [pages[1], pages[0]]
    assert await listed(one, session_id="nonsense") == []
    seen: list[str] = []
    token = ""
    while True:
        answer = await call(one.pages.ListPages, pb.ListPagesRequest(tenant_id="t", page_size=2, page_token=token))
        seen += [page.page_id for page in answer.pages]
        token = answer.next_page_token
        if not token:
            break
    assert seen == pages[::-1]
    (newest,) = [page for page in answer.pages if page.page_id == pages[0]]
    assert (newest.version, newest.current, newest.slots) == (2, True, b"")


async def test_a_deleted_page_is_gone_with_its_versions(one: Executor) -> None:
    page, other = page_id(await made(one)), page_id(await made(one))
    await patched(one, page, 1)
    await call(one.pages.DeletePage, pb.DeletePageRequest(tenant_id="t", page_id=page))
    for attempt in (
        get(one, page),
        versions(one, page),
        restore(one, page),
        output(one, page, "node:a"),
        call(one.pages.DeletePage, pb.DeletePageRequest(tenant_id="t", page_id=page)),
        patched(one, page, 1),
    ):
        assert (await refused(attempt)).reason == "PAGE_NOT_FOUND"
    assert await listed(one) == [other]


@pytest.mark.parametrize("tenant", ["t", "u"])
async def test_another_tenants_pages_and_pages_that_never_were_do_not_exist(one: Executor, tenant: str) -> None:
    known = page_id(await made(one))
    body = {"instruction": "shorter"}
    for page in (known,) if tenant == "u" else (ids.new(), "nonsense"):
        attempts: list[Awaitable[Any]] = [
            get(one, page, tenant=tenant),
            get(one, page, 1, tenant=tenant),
            versions(one, page, tenant),
            restore(one, page, tenant),
            output(one, page, "node:a", tenant=tenant),
            call(one.pages.DeletePage, pb.DeletePageRequest(tenant_id=tenant, page_id=page)),
            one.submit(kind=run_pb.RUN_KIND_PATCH, body=orjson.dumps({**body, "page_id": page}), tenant=tenant),
        ]
        for attempt in attempts:
            error = await refused(attempt)
            assert (type(error), error.reason) == (errors.NotFound, "PAGE_NOT_FOUND")
    assert await listed(one, "u") == []
    assert await listed(one) == [known]


@pytest.mark.parametrize("fields", [{"version": -1}, {"expected_version": -1}, {"tenant": ""}])
async def test_a_page_that_cannot_be_asked_for_is_refused(one: Executor, fields: Any) -> None:
    assert isinstance(await refused(restore(one, ids.new(), **fields)), errors.InvalidArgument)


async def test_a_patch_of_a_page_that_a_body_brings_is_checked_like_a_blueprint(one: Executor) -> None:
    page = {"blueprint": {**blueprint("a"), "version": 2}, "slots": []}
    body = orjson.dumps({"page": page, "instruction": "shorter"})
    error = await refused(one.submit(kind=run_pb.RUN_KIND_PATCH, body=body))
    assert [violation.field for violation in error.violations] == ["/page/blueprint/version"]


class Steps:
    """Records outputs of many sizes, and ends."""

    sizes = (0, 1, ROW_BYTES - 2, ROW_BYTES - 1, 2 * ROW_BYTES - 2, 1024 * 1024 - 2)

    async def run(self, journal: Journal) -> Outcome:
        for size in self.sizes:
            await journal.checkpoint(f"node:m[{size}]", "x" * size, usage=PAID)
        return Outcome({})


async def test_a_steps_output_is_streamed_in_pieces_to_its_tenant_alone(postgres_url: str) -> None:
    async def read(run: str, step: str, tenant: str = "t") -> Any:
        request = run_pb.GetOutputRequest(tenant_id=tenant, run_id=run, step=step)
        pieces = [piece.data async for piece in channels.stream(served.runs.GetOutput, request, timeout_s=20)]
        assert all(0 < len(piece) <= ROW_BYTES for piece in pieces)
        return orjson.loads(b"".join(pieces))

    async with executor(settings(postgres_url), Steps()) as served:
        run = (await served.submit()).run_id
        await served.get(run, wait_s=20)
        for size in Steps.sizes:
            assert await read(run, f"node:m[{size}]") == "x" * size
        assert (await refused(read(run, "node:m"))).reason == "STEP_NOT_FOUND"
        for attempt in (read(run, "node:m[0]", "u"), read(ids.new(), "node:m[0]"), read("nonsense", "node:m[0]")):
            error = await refused(attempt)
            assert (type(error), error.reason) == (errors.NotFound, "RUN_NOT_FOUND")
        for wrong in (read(run, ""), read(run, "node:m[0]", "")):
            assert isinstance(await refused(wrong), errors.InvalidArgument)
