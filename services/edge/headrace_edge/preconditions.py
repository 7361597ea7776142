"""What a writer believes to be there: If-Match and If-None-Match read, and refusals that say what to send. Pure."""

from dataclasses import dataclass
from typing import Literal

from headrace_edge import etags
from headrace_edge.policy import Fault, Problem, Refused

MAX_DIGITS = 18
"""Longest revision that an int64 surely holds."""


@dataclass(frozen=True, slots=True)
class Precondition:
    """What must be there for a write to happen."""

    kind: Literal["unsaid", "absent", "present", "revision"]
    revision: int = 0
    """For `revision`; 0 when the tag is none of ours, so that nothing has it."""


def read(if_match: str | None, if_none_match: str | None) -> Precondition:
    """Read the two headers. Raises Refused (400)."""
    if if_match is not None and if_none_match is not None:
        raise malformed("If-Match", "send If-Match or If-None-Match, and not both")
    if if_none_match is not None:
        if if_none_match.strip() != "*":
            raise malformed("If-None-Match", "a write takes If-None-Match: * only, for what is to be new")
        return Precondition("absent")
    if if_match is None:
        return Precondition("unsaid")
    if if_match.strip() == "*":
        return Precondition("present")
    tag = etags.single(if_match) or ""
    known = tag.isascii() and tag.isdigit() and len(tag) <= MAX_DIGITS
    return Precondition("revision", int(tag) if known else 0)


def required(what: str, revision: int | None) -> Problem:
    """Refuses to replace something, such as `workflow weekly-report`, by a write that names no revision."""
    tag = etags.of_revision(revision) if revision is not None else '"REVISION"'
    detail = f"the {what} exists: to replace it as you read it, send its ETag as If-Match: {tag}"
    return Problem(428, "PRECONDITION_REQUIRED", detail, headers=_headers(revision))


def failed(what: str, precondition: Precondition, revision: int | None) -> Problem:
    """A write that is based on something else than what is there."""
    if revision is None:
        detail = f"there is no {what}: to make it, send If-None-Match: *"
    elif precondition.kind == "absent":
        detail = f"the {what} exists, at revision {revision}: to replace it, send its ETag as If-Match"
    else:
        detail = (
            f"the {what} is at revision {revision}: read it again, and send its ETag, "
            f"{etags.of_revision(revision)}, as If-Match"
        )
    return Problem(412, "PRECONDITION_FAILED", detail, headers=_headers(revision))


def _headers(revision: int | None) -> dict[str, str]:
    return {} if revision is None else {"etag": etags.of_revision(revision)}


def malformed(header: str, message: str) -> Refused:
    """A header that cannot be followed."""
    return Refused(Problem(400, "INVALID_HEADER", message, (Fault(("header", header), message),)))
