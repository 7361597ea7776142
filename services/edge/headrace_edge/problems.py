"""Problems on the wire: RFC 9457 bodies, and FastAPI's handlers for every kind of error."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from headrace_runtime import context
from headrace_runtime.errors import ServiceError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from headrace_edge.openai import errors as openai
from headrace_edge.policy import INTERNAL_DETAIL, Fault, Problem, Refused, problem_of, problem_of_status

MEDIA_TYPE = "application/problem+json"
MAX_FAULTS = 100
"""Most faults that one problem lists."""


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


def response(problem: Problem, path: str) -> Response:
    """The HTTP answer to a request of `path`: below /v1 an error as OpenAI's clients read it."""
    headers = dict(problem.headers)
    if problem.retry_after_s is not None:
        headers["retry-after"] = str(problem.retry_after_s)
    if not path.startswith(openai.PREFIX):
        return Response(orjson.dumps(document(problem)), problem.status, headers, MEDIA_TYPE)
    error = openai.error_of(problem)
    if not error.worth_repeating:
        headers["x-should-retry"] = "false"
    return Response(orjson.dumps(error.document()), error.status, headers, "application/json")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return response(error.problem, request.url.path)


async def _service(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    return response(problem_of(error), request.url.path)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return response(problem_of_status(error.status_code, str(error.detail), error.headers or {}), request.url.path)


async def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = tuple(Fault(tuple(one["loc"]), one["msg"]) for one in error.errors()[:MAX_FAULTS])
    problem = Problem(422, "INVALID_ARGUMENT", "the request does not have the right form", faults)
    return response(problem, request.url.path)


async def _unhandled(request: Request, __: Exception) -> Response:
    return response(Problem(500, "INTERNAL", INTERNAL_DETAIL), request.url.path)


Handler = Callable[[Request, Exception], Awaitable[Response]]

HANDLERS: dict[int | type[Exception], Handler] = {
    Refused: _refused,
    ServiceError: _service,
    HTTPException: _http,
    RequestValidationError: _validation,
    Exception: _unhandled,
}
"""For FastAPI's `exception_handlers`; the request middleware logs what `_unhandled` answers."""
