"""The provider without its wire: lets calls in or refuses them, keeps the books, and can be changed while it runs.

Times come from the clock that it is given, in seconds from `epoch`, a full minute of the wall clock.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from headrace_simulator import fate, reply
from headrace_simulator.ask import Ask
from headrace_simulator.books import Book, Outcome
from headrace_simulator.fate import Fate
from headrace_simulator.policy import Limit, Quota, Refusal
from headrace_simulator.profile import Profile, Rule
from headrace_simulator.reply import Reply

MAX_ACCOUNTS = 256
"""Different pairs of key and model."""
MAX_TAGS = 64
"""Different tags; calls with more of them count as `OTHER`."""
MAX_CHANGES = 1000
"""Changes of the rates that the report remembers."""
OTHER = "(other)"
LONGEST_SHOWN_KEY = 16

Clock = Callable[[], float]


class TooManyAccounts(Exception):
    """There is no room for another key and model."""


@dataclass(slots=True)
class Account:
    """One key and model."""

    key: str
    model: str
    quota: str
    """The name of what it counts against."""
    book: Book


@dataclass(slots=True)
class Call:
    """A call that was let in. It is ended by `Simulator.end`, once."""

    ordinal: int
    """Among the accepted calls of its key and model, from 0."""
    at: float
    fate: Fate
    reply: Reply
    quota: Quota
    books: tuple[Book, ...]


@dataclass(slots=True)
class _Entry:
    """A quota, with what it grants when nothing has dropped, and its own count."""

    nominal: Limit
    quota: Quota
    accepted: int = 0
    tokens: int = 0


class Simulator:
    """All keys and models."""

    def __init__(self, profile: Profile, clock: Clock, epoch: float = 0.0) -> None:
        self.profile = profile
        self._clock = clock
        self._epoch = epoch
        self.reset()

    def reset(self) -> None:
        """Begin anew with these settings: full quotas, empty books, the first ordinal. Calls in hand are forgotten."""
        self._since: float | None = None
        self._total = Book()
        self._accounts: dict[tuple[str, str], Account] = {}
        self._tags: dict[str, Book] = {}
        self._entries: dict[str, _Entry] = {}
        self._factor = 1.0
        self._changes: list[tuple[float, float]] = []
        self._edges: list[float] = []

    def configure(self, profile: Profile) -> None:
        """Other settings, from now on."""
        now = self._clock()
        self._follow_drops(now)
        self.profile = profile
        self._begin_factor(now)
        wanted = {}
        for account in self._accounts.values():
            account.quota, nominal = self._quota_of(account.key, account.model)
            wanted[account.quota] = nominal
        for name, nominal in wanted.items():
            entry = self._entries.get(name)
            if entry is None:
                self._entries[name] = _Entry(nominal, Quota(now, nominal.times(self._factor)))
            else:
                entry.nominal = nominal
                entry.quota.change(now, nominal.times(self._factor))
        self._entries = {name: self._entries[name] for name in wanted}

    def arrive(self, key: str, tag: str, ask: Ask) -> Call | Refusal:
        """A call comes. Raises `TooManyAccounts`."""
        now = self._clock()
        account = self._account(now, key, ask.model)
        self._follow_drops(now)
        books = (self._total, account.book, *self._tagged(tag))
        for book in books:
            book.arrived(now)
        entry = self._entries[account.quota]
        refusal = entry.quota.refusal(now)
        if refusal is not None:
            for book in books:
                book.refuse(now, refusal.cause)
            return refusal
        profile, ordinal = self.profile, account.book.accepted
        drawn = fate.draw(profile.seed, key, ask.model, ordinal, profile.latency, profile.answer, profile.faults)
        composed = reply.compose(ask, drawn)
        entry.quota.enter(now, ask.prompt_tokens + composed.tokens)
        entry.accepted += 1
        entry.tokens += ask.prompt_tokens + composed.tokens
        for book in books:
            book.accept(now, ask.prompt_tokens, composed.tokens)
        return Call(ordinal, now, drawn, composed, entry.quota, books)

    def now(self) -> float:
        """The clock's time."""
        return self._clock()

    def end(self, call: Call, outcome: Outcome) -> None:
        """A call that was let in has ended."""
        now = self._clock()
        call.quota.leave()
        for book in call.books:
            book.end(now, outcome)

    def nominal(self, key: str, model: str) -> tuple[Limit, Quota]:
        """What an account is said to have, and what it has. It must have called."""
        entry = self._entries[self._accounts[key, model].quota]
        return entry.nominal, entry.quota

    def report(self, series_s: int = 0) -> dict[str, Any]:
        """The books, with the last `series_s` seconds one by one."""
        now = self._clock()
        self._follow_drops(now)
        return {
            "now": self._epoch + now,
            "since": None if self._since is None else self._epoch + self._since,
            "elapsed_s": 0.0 if self._since is None else now - self._since,
            "factor": self._factor,
            "factors": [{"at": self._epoch + at, "factor": factor} for at, factor in self._changes],
            "total": self._total.to_json(self._epoch, series_s),
            "quotas": {name: self._quota_json(entry, now) for name, entry in self._entries.items()},
            "accounts": [
                {
                    "key": _shown(one.key),
                    "model": one.model,
                    "quota": one.quota,
                    **one.book.to_json(self._epoch, series_s),
                }
                for one in self._accounts.values()
            ],
            "tags": {tag: book.to_json(self._epoch, series_s) for tag, book in self._tags.items()},
        }

    def _quota_json(self, entry: _Entry, now: float) -> dict[str, Any]:
        allowed = entry.quota.allowance(now)
        limit = entry.quota.limit
        return {
            "enforcement": limit.enforcement,
            "rpm": entry.nominal.rpm,
            "tpm": entry.nominal.tpm,
            "concurrency": limit.concurrency,
            "rpm_now": limit.rpm,
            "tpm_now": limit.tpm,
            "accepted": entry.accepted,
            "tokens": entry.tokens,
            "allowed_requests": allowed.requests,
            "allowed_requests_smooth": allowed.requests_smooth,
            "allowed_tokens": allowed.tokens,
            "allowed_tokens_smooth": allowed.tokens_smooth,
            "goodput": _used(entry, allowed.requests, allowed.tokens),
            "goodput_smooth": _used(entry, allowed.requests_smooth, allowed.tokens_smooth),
        }

    def _account(self, now: float, key: str, model: str) -> Account:
        account = self._accounts.get((key, model))
        if account is None:
            if len(self._accounts) >= MAX_ACCOUNTS:
                raise TooManyAccounts(
                    f"the simulator keeps {MAX_ACCOUNTS} pairs of key and model, and there are as many: reset it"
                )
            if self._since is None:
                self._since = now
                self._begin_factor(now)
            self._follow_drops(now)
            name, nominal = self._quota_of(key, model)
            account = self._accounts[key, model] = Account(key, model, name, Book())
            if name not in self._entries:
                self._entries[name] = _Entry(nominal, Quota(now, nominal.times(self._factor)))
        return account

    def _tagged(self, tag: str) -> tuple[Book, ...]:
        if not tag:
            return ()
        if tag not in self._tags:
            tag = tag if len(self._tags) < MAX_TAGS else OTHER
            self._tags.setdefault(tag, Book())
        return (self._tags[tag],)

    def _quota_of(self, key: str, model: str) -> tuple[str, Limit]:
        profile = self.profile
        top = Limit(profile.enforcement, profile.rpm, profile.tpm, profile.concurrency, profile.refused_count)
        for rule in profile.quotas:
            if fnmatchcase(key, rule.key) and fnmatchcase(model, rule.model):
                return rule.group or f"{_shown(key)} {model}", _override(top, rule)
        return f"{_shown(key)} {model}", top

    def _begin_factor(self, now: float) -> None:
        """What holds now, and when that changes next."""
        since = self._since if self._since is not None else now
        edges = {since + at for drop in self.profile.drops for at in (drop.at_s, drop.at_s + drop.for_s)}
        self._edges = sorted((edge for edge in edges if edge > now and self._since is not None), reverse=True)
        self._factor = self._factor_at(now)
        self._note(now)

    def _follow_drops(self, now: float) -> None:
        """Change the rates as of the times at which drops began and ended."""
        while self._edges and self._edges[-1] <= now:
            at = self._edges.pop()
            self._factor = self._factor_at(at)
            self._note(at)
            for entry in self._entries.values():
                entry.quota.change(at, entry.nominal.times(self._factor))

    def _factor_at(self, now: float) -> float:
        passed = 0.0 if self._since is None else now - self._since
        active = [
            one.factor
            for one in self.profile.drops
            if self._since is not None and one.at_s <= passed < one.at_s + one.for_s
        ]
        return self.profile.factor * min(active, default=1.0)

    def _note(self, now: float) -> None:
        self._changes.append((now, self._factor))
        del self._changes[:-MAX_CHANGES]


def _override(top: Limit, rule: Rule) -> Limit:
    given = rule.model_fields_set
    return Limit(
        enforcement=rule.enforcement or top.enforcement,
        rpm=rule.rpm if "rpm" in given else top.rpm,
        tpm=rule.tpm if "tpm" in given else top.tpm,
        concurrency=rule.concurrency if "concurrency" in given else top.concurrency,
        refused_count=top.refused_count,
    )


def _used(entry: _Entry, requests: float | None, tokens: float | None) -> float | None:
    parts = [used / of for used, of in ((entry.accepted, requests), (entry.tokens, tokens)) if of]
    return max(parts, default=None)


def _shown(key: str) -> str:
    """A made-up key as it is; one as long as a real one is not shown."""
    if len(key) <= LONGEST_SHOWN_KEY:
        return key
    return f"{key[:4]}…{hashlib.sha256(key.encode()).hexdigest()[:8]}"
