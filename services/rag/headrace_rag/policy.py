"""What is allowed, what things are called, and which passages are cited. Pure."""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import orjson
from headrace_runtime.errors import InvalidArgument, Violation

from headrace_rag.model import Entity, Found, Mark, Passage, Relation, Source, Space

DEFAULT_WORKSPACE = "default"
"""The workspace of a request that names none; it exists for every tenant."""
MAX_TEXT_BYTES = 2 * 1024 * 1024
MAX_TITLE_CHARS = 512
MAX_QUERY_CHARS = 8192
MAX_TOP_K, DEFAULT_TOP_K = 50, 5
MAX_PAGE, DEFAULT_PAGE = 200, 50
MAX_EMBED_TEXTS, MAX_EMBED_CHARS, MAX_EMBED_CHARS_TOGETHER = 32, 8192, 16_384
"""Of one call for vectors; the last is some 3 s of one core in Chinese, 1 s in English."""
MAX_DESCRIPTION_CHARS = 2000
"""Of an entity or a relation; an entity that many documents speak of has a long one."""
INDEX_PREFIX = "d-"
"""Before a document's id in the index, where ids of other beginnings have meanings of their own."""

_TENANT = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")
_WORKSPACE = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_DOCUMENT = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_CHUNK_NUMBER = re.compile(r"-chunk-\d+\Z")

Fault = Violation | None


def space(tenant_id: str, workspace: str) -> tuple[Space, Iterator[Violation]]:
    """The workspace that a request means, and what is wrong with its names."""
    named = workspace or DEFAULT_WORKSPACE
    faults = (
        _matches("tenant_id", tenant_id, _TENANT, "1 to 128 of A-Z a-z 0-9 . _ -"),
        _matches("workspace", named, _WORKSPACE, "1 to 64 of A-Z a-z 0-9 _ -"),
    )
    return Space(tenant_id, named), (fault for fault in faults if fault)


def document_faults(document_id: str) -> Iterator[Violation]:
    """What is wrong with a document's id."""
    fault = _matches("document_id", document_id, _DOCUMENT, "1 to 128 of A-Z a-z 0-9 . _ -")
    return iter((fault,) if fault else ())


def source_faults(title: str, text: str) -> Iterator[Violation]:
    """What is wrong with a document's content."""
    if len(title) > MAX_TITLE_CHARS:
        yield Violation("title", f"has {len(title)} characters, at most {MAX_TITLE_CHARS} are taken")
    if not clean(text).strip():
        yield Violation("text", "must not be empty")
    size = len(text.encode())
    if size > MAX_TEXT_BYTES:
        yield Violation("text", f"has {size} bytes in UTF-8, at most {MAX_TEXT_BYTES} are taken")


def query_faults(query: str, top_k: int) -> Iterator[Violation]:
    """What is wrong with a search."""
    if not clean(query).strip():
        yield Violation("query", "must not be empty")
    if len(query) > MAX_QUERY_CHARS:
        yield Violation("query", f"has {len(query)} characters, at most {MAX_QUERY_CHARS} are taken")
    if not 0 <= top_k <= MAX_TOP_K:
        yield Violation("top_k", f"must be 1 to {MAX_TOP_K}, or 0 for {DEFAULT_TOP_K}")


def page_faults(page_size: int) -> Iterator[Violation]:
    """What is wrong with a page's size."""
    if not 0 <= page_size <= MAX_PAGE:
        yield Violation("page_size", f"must be 1 to {MAX_PAGE}, or 0 for {DEFAULT_PAGE}")


def embed_faults(texts: Sequence[str]) -> Iterator[Violation]:
    """What is wrong with texts that are to have vectors."""
    if not 1 <= len(texts) <= MAX_EMBED_TEXTS:
        yield Violation("texts", f"must be 1 to {MAX_EMBED_TEXTS}")
    for at, text in enumerate(texts[:MAX_EMBED_TEXTS]):
        if not 1 <= len(text) <= MAX_EMBED_CHARS:
            yield Violation(f"texts[{at}]", f"has {len(text)} characters, 1 to {MAX_EMBED_CHARS} are taken")
    together = sum(map(len, texts))
    if together > MAX_EMBED_CHARS_TOGETHER:
        yield Violation("texts", f"have {together} characters together, at most {MAX_EMBED_CHARS_TOGETHER} are taken")


def refuse(faults: Iterable[Violation]) -> None:
    """Raise `InvalidArgument` with all the faults, if there are any."""
    found = tuple(faults)
    if found:
        raise InvalidArgument("; ".join(f"{fault.field}: {fault.message}" for fault in found), violations=found)


def clean(text: str) -> str:
    """The text without control characters, which no database and no model takes."""
    return _CONTROL.sub("", text)


def source(document_id: str, title: str, text: str) -> Source:
    """A document as it is stored: cleaned, titled by its id where it has no title, with a digest of both."""
    named, body = " ".join(clean(title).split()) or document_id, clean(text)
    digest = hashlib.sha256(f"{len(named)}:{named}{body}".encode()).digest()
    return Source(document_id, named, body, digest)


def index_name(of: Space) -> str:
    """What the index calls a workspace. No two are called the same: neither part may contain the `~`."""
    return f"{of.tenant_id}~{of.workspace}"


def index_id(document_id: str) -> str:
    """What the index calls a document."""
    return INDEX_PREFIX + document_id


def document_of(chunk_id: str) -> str | None:
    """The document that a chunk of the index belongs to; None when it is not one of ours."""
    owner, found = _CHUNK_NUMBER.subn("", chunk_id)
    return owner.removeprefix(INDEX_PREFIX) if found and owner.startswith(INDEX_PREFIX) else None


def cite(found: Found, titles: Mapping[str, str], *, top_k: int) -> Found:
    """Keep what may be cited: passages of titled documents, each once, at most `top_k`, and twice as much around them."""
    passages: dict[tuple[str, str], Passage] = {}
    for passage in found.passages:
        if passage.document_id in titles:
            passages.setdefault((passage.document_id, passage.text), replace(passage, title=titles[passage.document_id]))
    around = 2 * top_k
    return Found(
        passages=tuple(passages.values())[:top_k],
        entities=tuple(_entities(found.entities[:around])),
        relations=tuple(_relations(found.relations[:around])),
    )


def page_token(last: Mark) -> str:
    """An opaque token for the page behind a document."""
    micros = round(last.created_at.timestamp() * 1_000_000)
    return base64.urlsafe_b64encode(orjson.dumps([micros, last.document_id])).decode().rstrip("=")


def read_page_token(token: str) -> Mark | None:
    """Where a page begins; None for the first. Raises `InvalidArgument` for what `page_token` did not make."""
    if not token:
        return None
    mark = _mark(token)
    if mark is None:
        raise InvalidArgument(
            "page_token: unknown", violations=(Violation("page_token", "is not one that this service gave"),)
        )
    return mark


def _mark(token: str) -> Mark | None:
    try:
        micros, document_id = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        seconds, rest = divmod(int(micros), 1_000_000)
        created = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)
        return Mark(created, document_id) if _DOCUMENT.match(document_id) else None
    except (binascii.Error, ValueError, TypeError, OverflowError, OSError):
        return None


def _matches(field: str, value: str, pattern: re.Pattern[str], allowed: str) -> Fault:
    return None if pattern.match(value) else Violation(field, f"must be {allowed}")


def _entities(found: Sequence[Entity]) -> Iterator[Entity]:
    for one in found:
        yield replace(one, description=one.description[:MAX_DESCRIPTION_CHARS])


def _relations(found: Sequence[Relation]) -> Iterator[Relation]:
    for one in found:
        yield replace(one, description=one.description[:MAX_DESCRIPTION_CHARS])
