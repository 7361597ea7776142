"""Problems on the wire: RFC 9457 bodies, the exception that carries one, and FastAPI's handlers for every kind of error."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from headrace_runtime import context
from headrace_runtime.errors import ServiceError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from headrace_edge.policy import INTERNAL_DETAIL, Fault, Problem, problem_of, problem_of_status

MEDIA_TYPE = "application/problem+json"
MAX_FAULTS = 100
"""Most faults that one problem lists."""


class Refused(Exception):
    """Ends a request with a problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def document(problem: Problem) -> dict[str, Any]:
    """The problem's members, with the request id of this task."""
    body: dict[str, Any] = {
        "type": f"urn:headrace:problem:{problem.reason.lower().replace('_', '-')}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "request_id": context.request_id(),
        **problem.extra,
    }
    if problem.faults:
        body["errors"] = [{"loc": list(fault.loc), "msg": fault.msg} for fault in problem.faults[:MAX_FAULTS]]
    return body


def response(problem: Problem) -> Response:
    """The HTTP answer."""
    headers = dict(problem.headers)
    if problem.retry_after_s is not None:
        headers["retry-after"] = str(problem.retry_after_s)
    return Response(orjson.dumps(document(problem)), problem.status, headers, MEDIA_TYPE)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return response(error.problem)


async def _service(_: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    return response(problem_of(error))


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return response(problem_of_status(error.status_code, str(error.detail), error.headers or {}))


async def _validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = tuple(Fault(tuple(one["loc"]), one["msg"]) for one in error.errors()[:MAX_FAULTS])
    return response(Problem(422, "INVALID_ARGUMENT", "the request does not have the right form", faults))


async def _unhandled(_: Request, __: Exception) -> Response:
    return response(Problem(500, "INTERNAL", INTERNAL_DETAIL))


Handler = Callable[[Request, Exception], Awaitable[Response]]

HANDLERS: dict[int | type[Exception], Handler] = {
    Refused: _refused,
    ServiceError: _service,
    HTTPException: _http,
    RequestValidationError: _validation,
    Exception: _unhandled,
}
"""For FastAPI's `exception_handlers`; the request middleware logs what `_unhandled` answers."""
