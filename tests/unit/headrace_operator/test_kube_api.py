"""The client of the API server, against a server that says what a test wants."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import kopf
import pytest
import yaml
from aiohttp import web
from headrace_operator.adapters import kube, watch
from headrace_operator.errors import ApiError, FieldConflict, NotFound
from headrace_runtime.settings import InvalidSettings

Handler = Callable[[web.Request], Awaitable[web.Response]]
CONFLICT = {
    "message": "Apply failed with 1 conflict",
    "details": {
        "causes": [
            {
                "reason": "FieldManagerConflict",
                "message": 'conflict with "kubectl" with subresource "scale" using apps/v1',
                "field": ".spec.replicas",
            }
        ]
    },
}


def write_kubeconfig(path: Path, url: str, token: str) -> None:
    config = {
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(config), encoding="utf-8")


@asynccontextmanager
async def serving(handler: Handler, home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A server for any request, in KUBECONFIG with the token "old"."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    write_kubeconfig(home / "config", url, "old")
    monkeypatch.setenv("KUBECONFIG", str(home / "config"))
    try:
        yield url
    finally:
        await runner.cleanup()


async def test_a_token_that_was_replaced_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.headers["Authorization"])
        return web.json_response({"items": []}, status=200 if seen[-1] == "Bearer new" else 401)

    async with serving(handler, tmp_path, monkeypatch) as url, kube.open_cluster(None, timeout_s=5) as cluster:
        with pytest.raises(ApiError) as refused:
            await cluster.scalers()
        assert refused.value.code == 401
        write_kubeconfig(tmp_path / "config", url, "new")
        assert await cluster.scalers() == []
        assert await cluster.quotas("shop") == []
    assert seen == ["Bearer old", "Bearer old", "Bearer old", "Bearer new", "Bearer new"]


async def test_a_conflict_names_the_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def handler(request: web.Request) -> web.Response:
        assert (request.query["force"], request.query["fieldManager"]) == ("false", "headrace-operator")
        assert await request.json() == {
            "apiVersion": "autoscaling/v1",
            "kind": "Scale",
            "metadata": {"name": "executor", "namespace": "shop"},
            "spec": {"replicas": 3},
        }
        return web.json_response(CONFLICT, status=409)

    async with serving(handler, tmp_path, monkeypatch), kube.open_cluster(None, timeout_s=5) as cluster:
        with pytest.raises(FieldConflict) as conflict:
            await cluster.scale("shop", "executor", 3, take_over=False)
    assert conflict.value.owners == ("kubectl",)


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (404, b'{"message": "not found"}', NotFound, "404 not found"),
        (409, b'{"message": "the object has been modified"}', ApiError, "409 the object has been modified"),
        (502, b"<html>bad gateway</html>", ApiError, "502 b'<html>bad gateway</html>'"),
        (500, b"[]", ApiError, "500 b'\\[\\]'"),
        (503, b"{}", ApiError, "503 b'{}'"),
    ],
)
async def test_every_refusal_is_an_api_error(
    status: int, body: bytes, kind: type[ApiError], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body)

    async with serving(handler, tmp_path, monkeypatch), kube.open_cluster(None, timeout_s=5) as cluster:
        with pytest.raises(kind, match=said) as refused:
            await cluster.deployment("shop", "executor")
    assert (type(refused.value), refused.value.code) == (kind, status)


async def test_an_answer_that_does_not_come_has_a_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def handler(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    async with serving(handler, tmp_path, monkeypatch), kube.open_cluster(None, timeout_s=0.05) as cluster:
        with pytest.raises(ApiError, match="does not answer") as away:
            await cluster.scalers()
    assert away.value.code == 0


def test_no_way_to_an_api_server_names_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    with pytest.raises(InvalidSettings, match=r"^KUBECONFIG: is not set"):
        kube.login()
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    with pytest.raises(InvalidSettings, match=r"^KUBECONFIG: cannot be used"):
        kube.login()


@pytest.mark.parametrize(("failure", "raised"), [(None, RuntimeError), (LookupError("a bug of kopf"), LookupError)])
async def test_kopf_that_ends_is_an_error(
    failure: Exception | None, raised: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watch that is not there must not look like one without news."""

    async def operator(**_: Any) -> None:
        if failure is not None:
            raise failure

    monkeypatch.setattr(kopf, "operator", operator)
    with pytest.raises(raised):
        await asyncio.wait_for(watch.watch(("shop",), changed=lambda *_: None, request_timeout_s=1), 5)


async def test_cancelling_the_watch_ends_kopf(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def operator(*, stop_flag: Any, **_: Any) -> None:
        loop.call_soon_threadsafe(begun.set)
        stop_flag.wait(5)
        loop.call_soon_threadsafe(ended.set)

    monkeypatch.setattr(kopf, "operator", operator)
    task = asyncio.create_task(watch.watch(("shop",), changed=lambda *_: None, request_timeout_s=1))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
