"""Which version of a page a client means, by If-Match or by its body, and what it is told when another is current. Pure."""

from headrace_runtime import errors

from headrace_edge import etags
from headrace_edge.pages.bodies import MAX_VERSION
from headrace_edge.policy import Fault, Problem

CHANGED = "PAGE_CHANGED"
HEADER = "If-Match"


class Unmet(Exception):
    """The header cannot be followed, or no page can fit it; it carries a Problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def meant(if_match: str | None, said: int | None) -> int | None:
    """The version that must be current, None for whichever is. Raises Unmet."""
    if if_match is None or if_match.strip() == "*":
        return said
    tag = etags.single(if_match) or ""
    version = int(tag) if tag.isascii() and tag.isdigit() and len(tag) <= len(str(MAX_VERSION)) else 0
    if not 1 <= version <= MAX_VERSION:
        raise Unmet(_failed(f"no page has the ETag {if_match[:64]}: read the page, and send its ETag as {HEADER}"))
    if said not in (None, version):
        message = "names another version than the body: send one of them"
        raise Unmet(Problem(400, "INVALID_HEADER", f"{HEADER} {message}", (Fault(("header", HEADER), message),)))
    return version


def refusal(if_match: str | None, error: errors.ServiceError) -> Problem | None:
    """What a client that sent If-Match is told when another version is current; None when it is the error as it is."""
    if if_match is None or error.reason != CHANGED:
        return None
    return _failed(f"{error.message}; its ETag goes into {HEADER}")


def _failed(detail: str) -> Problem:
    return Problem(412, "PRECONDITION_FAILED", detail)
