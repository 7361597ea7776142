"""An error answer of the edge (RFC 9457) as one line and what to do about it. Pure."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import httpx

from headrace_cli.errors import EdgeProblem
from headrace_cli.report import duration

MAX_FAULTS = 5
"""Faults of a request's fields that an error's line names."""

LISTS = {"workflow-not-found": "headrace workflow list", "page-not-found": "headrace page list"}
"""What shows the things of which one was not found, by the problem's type."""

Json = Any


def decode(response: httpx.Response) -> EdgeProblem:
    """The problem (RFC 9457) that a response carries, as one line; anything else is told by its status."""
    try:
        body = response.json()
    except ValueError:
        body = None
    body = body if isinstance(body, dict) else {}
    title = str(body.get("title") or response.reason_phrase or "error")
    detail = str(body.get("detail") or "")
    faults = [
        f"{_place(fault.get('loc'))}: {fault.get('msg', '')}"
        for fault in body.get("errors") or ()
        if isinstance(fault, dict) and str(fault.get("msg", "")) not in detail
    ]
    more = f" and {len(faults) - MAX_FAULTS} more" if len(faults) > MAX_FAULTS else ""
    text = f"{title}: {detail}" if detail else f"{title} ({response.status_code})"
    if faults:
        text += f" [{'; '.join(faults[:MAX_FAULTS])}{more}]"
    retry = _seconds(response.headers.get("retry-after"))
    return EdgeProblem(text, status=response.status_code, hint=_what_to_do(response, body, retry), retry_after_s=retry)


def _place(loc: Json) -> str:
    """`["body", "/nodes/0"]` as /nodes/0, `["body", "message"]` as message."""
    parts = [str(part) for part in loc] if isinstance(loc, list) else [str(loc)]
    return ".".join(parts[1:] if parts[0] == "body" and len(parts) > 1 else parts)


def _what_to_do(response: httpx.Response, body: Mapping[str, Json], retry: float | None) -> str:
    status = response.status_code
    if status == HTTPStatus.UNAUTHORIZED:
        return "set HEADRACE_API_KEY to a key that this edge knows"
    if listing := LISTS.get(str(body.get("type", "")).rpartition(":")[2]):
        return f"`{listing}` shows those that there are"
    if any(_place(fault.get("loc")).startswith("/inputs") for fault in body.get("errors") or () if isinstance(fault, dict)):
        return "give inputs with -i NAME=VALUE; `headrace workflow list` shows those of saved workflows"
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        return f"try again in {duration(retry)}" if retry is not None else "try again"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        request_id = body.get("request_id") or response.headers.get("x-request-id", "unknown")
        return f"`headrace logs edge` has more; request id {request_id}"
    return ""


def _seconds(value: str | None) -> float | None:
    return float(value) if value is not None and value.isdecimal() else None
