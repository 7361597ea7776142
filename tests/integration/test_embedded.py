"""The embedded servers are real ones."""

import asyncio
import json
import urllib.request

import asyncpg
import redis.asyncio


async def test_postgres_has_pgvector_and_searches_filtered_indexes_to_the_end(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    try:
        await connection.execute("CREATE EXTENSION vector")
        assert await connection.fetchval("SELECT '[1,2]'::vector <-> '[1,2]'::vector") == 0
        assert await connection.fetchval("SHOW hnsw.iterative_scan") == "relaxed_order"
        assert (await connection.fetchval("SHOW server_version")).startswith("18")
    finally:
        await connection.close()


async def test_postgres_and_valkey_ask_for_a_password(postgres_url: str, redis_url: str) -> None:
    for wrong in (postgres_url.replace("headrace:", "headrace:x"),):
        try:
            await asyncpg.connect(wrong)
        except asyncpg.InvalidPasswordError:
            continue
        raise AssertionError("a wrong password was taken")
    client = redis.asyncio.from_url(redis_url.replace("redis://:", "redis://:x"))
    try:
        await client.ping()
    except redis.AuthenticationError:
        return
    finally:
        await client.aclose()
    raise AssertionError("a wrong password was taken")


async def test_the_local_model_answers(local_model_url: str) -> None:
    body = {"model": "smollm2", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8}
    request = urllib.request.Request(
        f"{local_model_url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    raw = await asyncio.to_thread(lambda: urllib.request.urlopen(request, timeout=60).read())
    assert json.loads(raw)["choices"][0]["message"]["content"].strip()
