"""Which version of a page a client means, by If-Match or by its body, and what it is told when another is current. Pure."""

from headrace_runtime import errors

from headrace_edge import preconditions
from headrace_edge.pages.bodies import MAX_VERSION
from headrace_edge.policy import Problem, Refused

CHANGED = "PAGE_CHANGED"


def meant(if_match: str | None, version: int | None) -> int | None:
    """The version that must be current, None for whichever is; `version` is that of the body. Raises Refused (400, 412)."""
    when = preconditions.read(if_match, None)
    if when.kind != "revision":
        return version
    if not 1 <= when.revision <= MAX_VERSION:
        raise Refused(_failed("no page has the ETag in If-Match: read the page, and send its ETag"))
    if version not in (None, when.revision):
        raise preconditions.malformed("If-Match", "names another version than the body: send one of them")
    return when.revision


def refusal(if_match: str | None, error: errors.ServiceError) -> Problem | None:
    """What to answer a client that sent If-Match when another version is current; None keeps the executor's error."""
    if if_match is None or error.reason != CHANGED:
        return None
    return _failed(f"{error.message}; its ETag goes into If-Match")


def _failed(detail: str) -> Problem:
    return Problem(412, "PRECONDITION_FAILED", detail)
