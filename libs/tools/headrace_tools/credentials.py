"""Secrets in use. Their values come from the environment and go into requests, and nowhere else."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from headrace_tools.connectors import Auth

_HIDDEN = b"***"
_SCHEMES = frozenset({"", "Basic", "Bearer"})


@dataclass(frozen=True, slots=True)
class Credential:
    """What a call to a connector's own server carries."""

    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    query: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    secret: str = field(default="", repr=False)

    def hidden(self, body: bytes) -> bytes:
        """A body in which the secret, should it have come back, is not to be seen."""
        words = {self.secret, *(word for value in self.headers.values() for word in value.split())}
        for word in sorted(words - _SCHEMES, key=len, reverse=True):
            body = body.replace(word.encode(), _HIDDEN)
        return body


def credential(auth: Auth | None, environment: Mapping[str, str]) -> Credential:
    """Read the secret that `auth` names; `tools_file` has checked that it is there."""
    if auth is None:
        return Credential()
    secret = environment[auth.secret]
    if auth.kind == "query":
        return Credential(query={str(auth.name): secret}, secret=secret)
    if auth.kind == "header":
        return Credential({str(auth.name): secret}, secret=secret)
    if auth.kind == "basic":
        token = base64.b64encode(f"{auth.username}:{secret}".encode()).decode()
        return Credential({"Authorization": f"Basic {token}"}, secret=secret)
    return Credential({"Authorization": f"Bearer {secret}"}, secret=secret)
