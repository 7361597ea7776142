"""What would do something else when it was done twice is never repeated by itself."""

from typing import Any

from headrace.executor.v1 import pages_pb2
from headrace_runtime import errors

from tests.support import edge_suite
from tests.support.edge_fakes import FakeExecutor


class Forgetful(FakeExecutor):
    """Does what it is asked and loses its answer."""

    restored = 0

    async def RestorePage(self, request: pages_pb2.RestorePageRequest, context: Any) -> pages_pb2.RestorePageResponse:  # noqa: N802
        await super().RestorePage(request, context)
        self.restored += 1
        raise errors.Unavailable("the database does not answer", reason="STORE_AWAY")


async def test_an_undo_whose_answer_is_lost_undoes_one_version() -> None:
    executor = Forgetful()
    async with edge_suite.suite(executor) as edge:
        page = executor.put("default")
        for _ in range(3):
            executor.put("default", page_id=page.page_id)

        lost = await edge.client.post(f"/api/pages/{page.page_id}/restore", json={})

        assert lost.status_code == 503
        assert executor.restored == 1
        assert (await edge.client.get(f"/api/pages/{page.page_id}")).json()["version"] == 3
