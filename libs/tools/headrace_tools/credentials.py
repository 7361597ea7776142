"""Secrets in use. Their values come from the environment and go into requests, and nowhere else."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import parse_qsl, quote, quote_plus, urlencode, urlsplit

import orjson

from headrace_tools.connectors import Auth
from headrace_tools.errors import ToolFailed
from headrace_tools.requests import Request

MIN_HIDDEN_CHARACTERS = 8
"""A shorter variable of a server's process may be any word, and is not looked for in what it says."""

_HIDDEN = b"***"
_SCHEMES = frozenset({"", "Basic", "Bearer"})


@dataclass(frozen=True, slots=True)
class Credential:
    """What a call to a connector's own server carries."""

    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    query: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    secrets: Sequence[str] = field(default=(), repr=False)

    def hidden(self, body: bytes) -> bytes:
        """A body with the secrets blotted out, in case the server has sent them back."""
        words = {*self.secrets, *(word for value in self.headers.values() for word in value.split())} - _SCHEMES
        forms = {form for word in words for form in _forms(word)}
        for form in sorted(forms, key=len, reverse=True):
            body = body.replace(form.encode(), _HIDDEN)
        return body

    def hidden_text(self, text: str) -> str:
        """The same of a text."""
        return self.hidden(text.encode(errors="replace")).decode(errors="replace")

    def check(self, request: Request) -> None:
        """Raise `ToolFailed` for arguments that would stand in the credential's place, or beside it."""
        names = (
            {name for name, _ in parse_qsl(urlsplit(request.url).query, keep_blank_values=True)} if self.query else set()
        )
        own = {name.lower() for name in self.headers}
        taken = [name for name in self.query if name in names] + [one for one in request.headers if one.lower() in own]
        if taken:
            raise ToolFailed(f"{taken[0][:64]} is the connector's to say, not an argument's", reason="invalid")

    def beside(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Headers with the credential's, which win."""
        own = {name.lower() for name in self.headers}
        return {**{name: value for name, value in headers.items() if name.lower() not in own}, **self.headers}

    def at(self, url: str) -> str:
        """A URL with the credential's part of the query, once, even if it has come back in a redirect."""
        if not self.query:
            return url
        parts = urlsplit(url)
        kept = [pair for pair in parts.query.split("&") if pair and pair.partition("=")[0] not in self.query]
        return parts._replace(query="&".join((*kept, urlencode(self.query)))).geturl()


def _forms(word: str) -> Iterable[str]:
    """How a word may be written in an answer: as it is, in a URL, in JSON."""
    return {word, quote(word, safe=""), quote_plus(word), orjson.dumps(word).decode()[1:-1]}


def credential(auth: Auth | None, environment: Mapping[str, str]) -> Credential:
    """Read the secret that `auth` names; `tools_file` has checked that it is there."""
    if auth is None:
        return Credential()
    secret = environment[auth.secret]
    if auth.kind == "query":
        return Credential(query={str(auth.name): secret}, secrets=(secret,))
    if auth.kind == "header":
        return Credential({str(auth.name): secret}, secrets=(secret,))
    if auth.kind == "basic":
        token = base64.b64encode(f"{auth.username}:{secret}".encode()).decode()
        return Credential({"Authorization": f"Basic {token}"}, secrets=(secret,))
    return Credential({"Authorization": f"Bearer {secret}"}, secrets=(secret,))


def of_process(variables: Mapping[str, str]) -> Credential:
    """What a server's process is given in its environment, to be hidden in what it says."""
    return Credential(secrets=tuple(value for value in variables.values() if len(value) >= MIN_HIDDEN_CHARACTERS))
