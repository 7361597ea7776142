"""Finds out who calls, and holds the caller to the key's limits. Routes say which scope they need."""

import time
from collections.abc import Callable
from typing import Annotated

from fastapi import Depends
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from headrace_edge import auth, metrics, problems
from headrace_edge.auth import Caller
from headrace_edge.limits import KeyWork, Rates
from headrace_edge.middleware.requests import CALLER_KEY
from headrace_edge.policy import Problem, Refused
from headrace_edge.sse import LEAVE_KEY

OPEN_PATHS = frozenset({"/api/health", "/api/health/live", "/api/health/ready", "/openapi.json", "/docs"})
OPEN_FOLDER = "/docs/assets/"
"""What needs no key: health, the description of the API and the page that shows it."""
"""Paths that need no key."""

_CHALLENGE = {"www-authenticate": "Bearer"}


class AuthenticationMiddleware:
    """Puts the caller into the scope, or answers 401 or 429."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: auth.Keys | None,
        loopback: Caller,
        rates: Rates,
        work: KeyWork,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._app = app
        self._keys = keys
        self._loopback = loopback
        self._rates = rates
        self._work = work
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Identify, count and pass on."""
        if scope["path"] in OPEN_PATHS or scope["path"].startswith(OPEN_FOLDER):
            await self._app(scope, receive, send)
            return
        try:
            caller = self._identify(scope)
            self._rates.admit(caller, now=self._clock())
            leave = self._work.enter(caller)
        except Refused as error:
            await problems.response(error.problem, scope["path"])(scope, receive, send)
            return
        scope[CALLER_KEY] = caller
        leave_all = scope.get(LEAVE_KEY)

        def become_stream() -> None:
            leave()
            if leave_all is not None:
                leave_all()

        scope[LEAVE_KEY] = become_stream
        try:
            await self._app(scope, receive, send)
        finally:
            leave()

    def _identify(self, scope: Scope) -> Caller:
        headers = Headers(scope=scope)
        if self._keys is None:
            peer = (scope.get("client") or ("",))[0]
            if auth.from_this_machine(peer, headers.get("host", ""), headers.get("origin", "")):
                return self._loopback
            raise _unauthenticated(
                "no API keys are configured: only programs of this machine, by its loopback address, may call"
            )
        key = auth.bearer(headers.get("authorization", ""))
        if not key:
            raise _unauthenticated("send an API key as Authorization: Bearer KEY")
        caller = self._keys.find(key)
        if caller is None:
            raise _unauthenticated("the API key is not known")
        return caller


def _unauthenticated(detail: str) -> Refused:
    metrics.REFUSED.labels("authentication").inc()
    return Refused(Problem(401, "UNAUTHENTICATED", detail, headers=_CHALLENGE))


def _needing(scope: auth.Scope) -> Callable[[Request], object]:
    async def caller(request: Request) -> Caller:
        found: Caller = request.scope[CALLER_KEY]
        if scope not in found.scopes:
            raise Refused(Problem(403, "SCOPE_MISSING", f"this key lacks the scope `{scope}`"))
        return found

    return caller


Runner = Annotated[Caller, Depends(_needing(auth.Scope.RUN))]
Reader = Annotated[Caller, Depends(_needing(auth.Scope.READ))]
Librarian = Annotated[Caller, Depends(_needing(auth.Scope.DOCUMENTS))]
Observer = Annotated[Caller, Depends(_needing(auth.Scope.METRICS))]
