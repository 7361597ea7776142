"""What a tenant may use of a day, as arithmetic. Pure: times come in as seconds since 1970, money is counted in whole
nano-dollars so that sums are exact. `budget.lua` does `reserve` and `correct` inside Redis: a test compares them.
"""

import math
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from headrace_llm import policy
from headrace_llm.client import ChatRequest
from headrace_llm.registry import DailyBudget, ModelEntry
from headrace_llm.usage import Usage

Figure = Literal["calls", "tokens", "usd"]
FIGURES: tuple[Figure, ...] = ("calls", "tokens", "usd")

DAY_S = 86_400
NANO = 1_000_000_000
COUNTABLE = 2**53
"""Redis' scripts count exactly up to here; a limit beyond it does not bound."""


class Amount(NamedTuple):
    """Calls, tokens (prompt and answer) and money. Never compared as a whole."""

    calls: int = 0
    tokens: int = 0
    nano_usd: int = 0

    @property
    def usd(self) -> float:
        """The money in dollars."""
        return self.nano_usd / NANO

    def plus(self, other: "Amount") -> "Amount":
        """Figure by figure."""
        return Amount(*(a + b for a, b in zip(self, other, strict=True)))

    def minus(self, other: "Amount") -> "Amount":
        """Figure by figure; may be below zero."""
        return Amount(*(a - b for a, b in zip(self, other, strict=True)))

    def at_least(self, other: "Amount") -> "Amount":
        """The larger of each figure."""
        return Amount(*(max(a, b) for a, b in zip(self, other, strict=True)))


class Ceiling(NamedTuple):
    """A budget as an amount; None does not bound."""

    calls: int | None = None
    tokens: int | None = None
    nano_usd: int | None = None

    @staticmethod
    def of(daily: DailyBudget) -> "Ceiling | None":
        """A budget's ceiling, None for one that bounds nothing."""
        usd = None if daily.usd is None or math.isinf(daily.usd) else round(daily.usd * NANO)
        tops = [None if top is None or top > COUNTABLE else top for top in (daily.calls, daily.tokens, usd)]
        return None if tops == [None] * 3 else Ceiling(*tops)

    def part(self, share: float, *, above: Amount) -> "Ceiling":
        """The ceiling for who may use only a share of what is left above `above`."""
        parts = [
            None if top is None else base + math.floor(max(0, top - base) * share)
            for top, base in zip(self, above, strict=True)
        ]
        return Ceiling(*parts)


def passed(used: Amount, wanted: Amount, ceiling: Ceiling) -> Figure | None:
    """The first figure of which one more `wanted` would be too much, None when all of it fits."""
    for figure, have, more, top in zip(FIGURES, used, wanted, ceiling, strict=True):
        if top is not None and have + more > top:
            return figure
    return None


def reserve(used: Amount, wanted: Amount, ceiling: Ceiling) -> tuple[Amount, Figure | None]:
    """Add what a call may use, or leave all as it is and say which figure refuses it."""
    figure = passed(used, wanted, ceiling)
    return (used, figure) if figure else (used.plus(wanted), None)


def correct(used: Amount, change: Amount) -> Amount:
    """Add a difference; no figure falls below zero (the counter may have been emptied in between)."""
    return used.plus(change).at_least(Amount())


def estimate(request: ChatRequest, entry: ModelEntry, *, default_max_tokens: int) -> Amount:
    """What a call may use: its prompt, and an answer as long as it may be or as answers are taken to be.

    A model without a price counts no money.
    """
    prompt = policy.prompt_tokens(request, entry)
    answer = min(request.max_tokens or default_max_tokens, entry.max_output_tokens)
    return priced(entry, prompt_tokens=prompt, completion_tokens=answer)


def priced(entry: ModelEntry, *, prompt_tokens: int, completion_tokens: int) -> Amount:
    """One call of so many tokens at the model's price."""
    cost = entry.price.cost_usd(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens) if entry.price else 0.0
    return Amount(1, prompt_tokens + completion_tokens, nano(cost))


def actual(used: Usage) -> Amount:
    """What calls used; an unknown cost counts no money."""
    total = used.total
    usd = sum(one.cost_usd or 0.0 for one in used.models.values())
    return Amount(total.llm_calls, total.prompt_tokens + total.completion_tokens, nano(usd))


def nano(usd: float) -> int:
    """Dollars as nano-dollars, rounded up so that no call is free by rounding."""
    return math.ceil(round(usd * NANO, 3))


def day_of(now_s: float) -> str:
    """The day in UTC, as 2026-01-31."""
    return datetime.fromtimestamp(now_s, UTC).date().isoformat()


def left_of_day_s(now_s: float) -> float:
    """Seconds until midnight, UTC."""
    return DAY_S - now_s % DAY_S


def refusal(tenant_id: str, entry: str, daily: DailyBudget, figure: Figure, used: Amount, wanted: Amount) -> str:
    """Why a call is refused and what would let it through; `entry` is the key of the budget in models.yaml."""
    limit, have, more = {
        "calls": (f"{daily.calls} calls", f"{used.calls}", "one more"),
        "tokens": (f"{daily.tokens} tokens", f"{used.tokens}", f"about {wanted.tokens} more"),
        "usd": (f"${daily.usd or 0:g}", f"${used.usd:.4f}", f"about ${wanted.usd:.4f} more"),
    }[figure]
    key = f'"{entry}"' if entry == "*" else entry
    return (
        f"tenant {tenant_id} has used {have} of its {limit} for today (UTC) and this call takes {more}; "
        f"tenants.{key}.daily.{figure} in models.yaml raises it"
    )
