"""The library's pools on a real Postgres: what their statements raise, and how they are planned."""

import pytest
from headrace_postgres.errors import StoreAway, StoreRefused
from headrace_postgres.pool import open_pool
from headrace_rag import errors as rag
from headrace_runtime.errors import ServiceError


@pytest.mark.parametrize("refused", [StoreRefused, rag.StoreRefused])
async def test_a_value_that_cannot_be_stored_is_refused_not_retried(postgres_url: str, refused: type[StoreRefused]) -> None:
    async with open_pool(
        postgres_url, application="test", size=1, statement_timeout_s=5, wait_s=5, refused=refused
    ) as pool:
        for query, value in (("SELECT $1::integer", "text"), ("SELECT $1::text", "nul \x00")):
            with pytest.raises(StoreRefused) as caught:
                await pool.fetch(query, value)
            assert type(caught.value) is refused
        with pytest.raises(StoreAway) as away:
            await pool.fetch("SELECT pg_terminate_backend(pg_backend_pid())")
        assert away.value.retry_after_s == 1
        assert await pool.fetch("SELECT 1")


def test_what_rag_is_refused_reaches_its_callers() -> None:
    error = rag.StoreRefused("why")
    assert isinstance(error, ServiceError)
    assert (error.message, error.reason, error.code.name) == ("why", "STORE_REFUSED", "INTERNAL")


async def test_a_statement_that_takes_too_long_is_broken_off(postgres_url: str) -> None:
    async with open_pool(postgres_url, application="test", size=1, statement_timeout_s=0.2, wait_s=5) as pool:
        with pytest.raises(StoreAway):
            await pool.execute("SELECT pg_sleep(30)")


@pytest.mark.parametrize(("fixed", "mode"), [(True, "force_generic_plan"), (False, "auto")])
async def test_only_the_hot_path_has_fixed_plans(postgres_url: str, fixed: bool, mode: str) -> None:
    async with open_pool(
        postgres_url, application="test", size=1, statement_timeout_s=5, wait_s=5, fixed_plans=fixed
    ) as pool:
        (row,) = await pool.fetch("SELECT current_setting('plan_cache_mode'), current_setting('application_name')")
        assert tuple(row) == (mode, "test")


async def test_a_database_that_never_answers_is_away_in_time() -> None:
    with pytest.raises(StoreAway):
        async with open_pool(
            "postgresql://127.0.0.1:1/none", application="test", size=1, statement_timeout_s=1, wait_s=0.2
        ):
            pass
