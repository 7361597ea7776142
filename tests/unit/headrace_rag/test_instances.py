"""How many LightRAG instances are kept, and on which loop."""

import asyncio
from collections import Counter

import pytest
from headrace_rag.adapters.lightrag_index.asking import Asking, AskLimits
from headrace_rag.adapters.lightrag_index.instances import Instance, Instances
from headrace_rag.model import Space
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.models import ScriptedModels


class FakeRag:
    """Counts what an instance's end has to end."""

    def __init__(self, name: str, log: "Log") -> None:
        self.name, self.log = name, log
        self.role_llm_funcs = {"extract": self}
        self.embedding_func = self
        self.func = self

    async def shutdown(self, *, graceful: bool) -> None:
        self.log.shut[self.name] += 1

    async def finalize_storages(self) -> None:
        assert not self.log.used[self.name], "closed while in use"
        self.log.open.remove(self.name)


class Log:
    """What is open."""

    def __init__(self) -> None:
        self.open: list[str] = []
        self.used: Counter[str] = Counter()
        self.shut: Counter[str] = Counter()

    async def make(self, space: Space) -> Instance:
        await asyncio.sleep(0)
        assert space.workspace not in self.open, "two instances of one workspace"
        self.open.append(space.workspace)
        asking = Asking(ScriptedModels(), tenant_id="t", limits=AskLimits(1, 1))
        return Instance(FakeRag(space.workspace, self), asking)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 3)), max_size=30), st.integers(1, 3))
async def test_one_instance_per_workspace_and_no_more_kept_than_allowed(uses: list[tuple[str, int]], limit: int) -> None:
    log = Log()
    kept = Instances(log.make, limit=limit)

    async def use(name: str, turns: int) -> None:
        async with kept.use(Space("t", name)) as instance:
            assert instance.rag.name == name
            log.used[name] += 1
            for _ in range(turns):
                await asyncio.sleep(0)
            log.used[name] -= 1

    await asyncio.gather(*(use(name, turns) for name, turns in uses))

    assert len(log.open) <= limit
    await kept.aclose()
    assert log.open == []


async def test_an_instance_that_could_not_be_made_is_made_anew() -> None:
    log = Log()
    failures = [OSError()]

    async def make(space: Space) -> Instance:
        if failures:
            raise failures.pop()
        return await log.make(space)

    kept = Instances(make, limit=2)
    with pytest.raises(OSError):
        async with kept.use(Space("t", "a")):
            raise AssertionError
    async with kept.use(Space("t", "a")) as instance:
        assert instance.rag.name == "a"
    await kept.aclose()


def test_another_event_loop_is_refused() -> None:
    async def make() -> Instances:
        return Instances(Log().make, limit=1)

    async def use(kept: Instances) -> None:
        async with kept.use(Space("t", "a")):
            raise AssertionError

    kept = asyncio.run(make())
    with pytest.raises(RuntimeError, match="one event loop"):
        asyncio.run(use(kept))
