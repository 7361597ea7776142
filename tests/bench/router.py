"""How often and how fast the router is right: `python -m tests.bench.router`.

The held-out messages are only reported. What was chosen (TOP, TEMPERATURE, WORDS_WEIGHT, CLEAR_MARGIN) was chosen on the
examples' cross-validation, which is printed above them.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from headrace_llm.embeddings import open_embedder
from headrace_router import examples, policy
from headrace_router.asker import Asker
from headrace_router.examples import Example
from headrace_router.model import Decision, Intent, Question
from headrace_router.neighbourhood import Neighbourhood
from headrace_router.ports import Embedder
from headrace_router.service import Router

from tests.support.models import ScriptedModels

HELD_OUT = Path(__file__).with_name("router_heldout.yaml")
FOLDS = 5
ROUNDS = 300


@dataclass(frozen=True, slots=True)
class Outcome:
    """One labelled message and what the router would do with it."""

    example: Example
    clear: Decision | None
    """Decided without a model; None means that a model would be asked."""
    best: Decision
    """What is answered when no model can be asked."""

    @property
    def right(self) -> bool:
        return self.best.intent is self.example.intent


def held_out() -> tuple[Example, ...]:
    """Messages that the examples do not contain."""
    return examples.parse(HELD_OUT.read_text(encoding="utf-8"))


async def outcomes(neighbourhood: Neighbourhood, messages: Sequence[Example]) -> list[Outcome]:
    """Ask the policy, once as if a model could be asked and once as if not."""
    result = []
    for example in messages:
        question = Question(example.text)
        vote = await neighbourhood.vote(example.text)
        best = policy.decide(policy.Evidence(question, vote=vote, asked=True))
        assert best is not None
        result.append(Outcome(example, policy.decide(policy.Evidence(question, vote=vote)), best))
    return result


async def neighbourhood_of(known: Sequence[Example], embedder: Embedder | None) -> Neighbourhood:
    """A neighbourhood of some examples, by words alone without an embedder."""
    neighbourhood = Neighbourhood(known, timeout_s=10, slots=64)
    if embedder is not None:
        await neighbourhood.learn(embedder)
    return neighbourhood


class Remembered:
    """An embedder that computes each text once, because cross-validation asks for the same texts again and again."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._known: dict[str, np.ndarray] = {}

    async def embed(self, texts: Sequence[str]) -> np.ndarray:
        """The vectors, from memory where they are known."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self._known.update(zip(new, await self._embedder.embed(new), strict=True))
        return np.stack([self._known[text] for text in texts])


async def cross_validated(known: Sequence[Example], embedder: Embedder | None) -> list[Outcome]:
    """Each example judged by the others, in FOLDS parts."""
    order = list(known)
    random.Random(1).shuffle(order)
    result: list[Outcome] = []
    for fold in range(FOLDS):
        others = [example for at, example in enumerate(order) if at % FOLDS != fold]
        result += await outcomes(await neighbourhood_of(others, embedder), order[fold::FOLDS])
    return result


def report(title: str, all_outcomes: Sequence[Outcome]) -> None:
    """Print a table: right when decided by neighbours alone, share decided, right when no model can be asked."""
    print(f"\n{title}\n{'':14}{'messages':>9}{'decided':>9}{'right of these':>16}{'right without any model':>25}")
    groups = [("all", list(all_outcomes))]
    groups += [(language, [o for o in all_outcomes if o.example.language == language]) for language in ("en", "zh")]
    groups += [
        (f"{language} {intent.value}", [o for o in some if o.example.intent is intent])
        for language, some in groups[1:]
        for intent in Intent
    ]
    for name, some in groups:
        decided = [outcome for outcome in some if outcome.clear is not None]
        precision = f"{np.mean([o.right for o in decided]):.1%}" if decided else "-"
        share = len(decided) / len(some)
        print(f"{name:14}{len(some):9}{share:9.1%}{precision:>16}{np.mean([o.right for o in some]):25.1%}")


async def timed(name: str, call: Callable[[int], Awaitable[object]]) -> None:
    """Print the median and the 99th percentile of ROUNDS calls, each with a number of its own."""
    await call(-1)
    spent = []
    for number in range(ROUNDS):
        started = time.perf_counter()
        await call(number)
        spent.append(time.perf_counter() - started)
    p50, p99 = np.percentile(spent, [50, 99]) * 1e3
    print(f"{name:38}{p50:9.3f}{p99:9.3f}")


async def main() -> None:
    """Print everything."""
    known = examples.load()
    async with open_embedder() as embedder:
        remembered = Remembered(embedder)
        report(f"cross-validation of the {len(known)} examples", await cross_validated(known, remembered))
        report("the same by words alone (vectors not there)", await cross_validated(known, None))
        started = time.perf_counter()
        neighbourhood = await neighbourhood_of(known, embedder)
        ready_s = time.perf_counter() - started
        report("held out", await outcomes(neighbourhood, held_out()))
        print(f"\nexamples ready after {ready_s:.2f} s")
        asker = Asker(ScriptedModels(otherwise='{"intent": "chat"}'), timeout_s=5, slots=8)
        router = Router(neighbourhood, asker, clear_margin=0.0)
        print(f"{'a decision takes (ms)':38}{'p50':>9}{'p99':>9}")
        for name, text in (
            ("by rules", "/quiz the water cycle {}"),
            ("by neighbours, English", "Put together a page that shows the attendance of class {}"),
            ("by neighbours, English, 4,000 char.", "Summarise no. {} for me: " + "words of a pasted text " * 170),
            ("by neighbours, English, seen before", "Put together a page that shows the attendance of class 1"),
            ("by neighbours, Chinese", "给我做一个页面,展示本月{}班的出勤情况"),
        ):
            await timed(name, partial(route, router, text))


async def route(router: Router, text: str, number: int) -> None:
    """Route one message of a kind."""
    await router.route(Question(text.format(number)), tenant_id="bench", budget_s=5)


if __name__ == "__main__":
    asyncio.run(main())
