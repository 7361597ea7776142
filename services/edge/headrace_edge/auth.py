"""Who may call: API keys read from a file, compared by digest; without keys, loopback callers only. No HTTP here."""

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

MAX_KEYS = 1_000
"""Most keys in a file; each request compares with all of them."""


class Scope(StrEnum):
    """What a key may do."""

    RUN = "run"
    """Start and cancel runs; make and remove sessions, workflows and pages."""
    READ = "read"
    """Read runs, events, sessions, workflows, pages, models, skills and the quota; validate blueprints."""
    DOCUMENTS = "documents"
    """Add, search, read and remove documents."""
    METRICS = "metrics"
    """Read /metrics."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who may call, and how much."""

    name: str
    tenant: str
    scopes: frozenset[Scope]
    requests_per_minute: int
    """0 means no limit."""
    max_streams: int


class KeyEntry(BaseModel):
    """One entry of the keys file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    tenant: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    key_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    key_env: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    scopes: frozenset[Scope] = frozenset({Scope.RUN, Scope.READ, Scope.DOCUMENTS})
    requests_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    max_streams: Annotated[int, Field(ge=1, le=100_000)] | None = None

    @model_validator(mode="after")
    def _one_source(self) -> "KeyEntry":
        if (self.key_sha256 is None) == (self.key_env is None):
            raise ValueError("give key_sha256 or key_env, and not both")
        return self


_ENTRIES = TypeAdapter(Annotated[list[KeyEntry], Field(min_length=1, max_length=MAX_KEYS)])


class KeysFileError(Exception):
    """The keys file cannot be used; the message names the entry and never a key."""


class Keys:
    """The configured keys. Keeps digests only."""

    def __init__(self, entries: Sequence[tuple[bytes, Caller]]) -> None:
        self._entries = tuple(entries)

    @property
    def tenants(self) -> int:
        """How many tenants have a key."""
        return len({caller.tenant for _, caller in self._entries})

    def find(self, key: str) -> Caller | None:
        """The caller whose key it is. Takes the same time whichever key it is, and if it is none."""
        digest = hashlib.sha256(key.encode()).digest()
        found: Caller | None = None
        for known, caller in self._entries:
            if hmac.compare_digest(known, digest):
                found = caller
        return found


def read_keys(path: Path, environ: Mapping[str, str], *, requests_per_minute: int, max_streams: int) -> Keys:
    """Read a keys file; the two limits are for entries without their own. Raises KeysFileError."""
    try:
        entries = _ENTRIES.validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise KeysFileError(f"{path}: cannot be read: {type(error).__name__}") from error
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise KeysFileError(f"{path}: {'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}") from error
    known: dict[bytes, Caller] = {}
    tenants: dict[str, str] = {}
    for entry in entries:
        digest = _digest(path, entry, environ)
        if tenants.setdefault(entry.name, entry.tenant) != entry.tenant:
            raise KeysFileError(f"{path}: {entry.name} is the name of keys of two tenants, which would share its limits")
        if digest in known:
            raise KeysFileError(f"{path}: {entry.name} and {known[digest].name} have the same key")
        known[digest] = Caller(
            entry.name,
            entry.tenant,
            entry.scopes,
            entry.requests_per_minute or requests_per_minute,
            entry.max_streams or max_streams,
        )
    return Keys(tuple(known.items()))


def _digest(path: Path, entry: KeyEntry, environ: Mapping[str, str]) -> bytes:
    if entry.key_sha256 is not None:
        return bytes.fromhex(entry.key_sha256)
    key = environ.get(entry.key_env or "", "")
    if len(key) < 16:
        raise KeysFileError(f"{path}: {entry.name}: the variable {entry.key_env} has no key of 16 characters or more")
    return hashlib.sha256(key.encode()).digest()


def bearer(header: str) -> str:
    """The key in an Authorization header, "" when it has none."""
    scheme, _, value = header.partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def is_loopback(host: str) -> bool:
    """Whether an address, or a Host header's name with or without a port, is this machine's own."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return _is_loopback_name(host)
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _is_loopback_name(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def from_this_machine(peer: str, host: str, origin: str) -> bool:
    """Whether a keyless request comes from a program here, and not from a web page that a browser here shows.

    `host` and `origin` are headers: a page of another site has a foreign Origin, and one that rebinds its name to
    127.0.0.1 has a foreign Host.
    """
    if not is_loopback(peer) or (host and not is_loopback(host)):
        return False
    return not origin or is_loopback(origin.partition("://")[2])
