"""The probes: /healthz for whether to start the process anew, /readyz for whether the API server is reached."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import orjson
from aiohttp import web

from headrace_operator.vitals import Vitals


@asynccontextmanager
async def serve(listen: str, read: Callable[[], Vitals]) -> AsyncIterator[int]:
    """Answer on HOST:PORT for the length of the block; yields the port."""

    def answer(sound: bool, vitals: Vitals) -> web.Response:
        return web.Response(body=orjson.dumps(vitals), content_type="application/json", status=200 if sound else 503)

    async def healthz(_: web.Request) -> web.Response:
        vitals = read()
        return answer(not vitals.faults, vitals)

    async def readyz(_: web.Request) -> web.Response:
        vitals = read()
        return answer(vitals.reached, vitals)

    application = web.Application()
    application.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    host, _, port = listen.rpartition(":")
    site = web.TCPSite(runner, host.strip("[]") or None, int(port))
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
