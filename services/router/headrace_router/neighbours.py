"""How labelled examples vote on a message. Pure: from likenesses to a vote."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from headrace_router.model import Intent, Vote

TOP = 12
"""The examples of each intent that speak: its nearest ones."""
TEMPERATURE = 0.01
"""A difference of mean likeness this large is a factor of e between two intents' shares. Fitted by cross-validation on the
examples (log loss), so that a confidence of 0.9 is right about nine times in ten."""

Likeness = npt.NDArray[np.float32]
"""One number for each example, 1 for the same text, about 0 for nothing in common."""

INTENTS: tuple[Intent, ...] = tuple(Intent)


Kinds = npt.NDArray[np.intp]
"""The examples' intents, as indices into INTENTS."""


def kinds(intents: Iterable[Intent]) -> Kinds:
    """The form in which `vote` takes the examples' intents."""
    return np.array([INTENTS.index(intent) for intent in intents], dtype=np.intp)


def vote(likeness: Likeness, examples: Kinds, *, top: int = TOP, temperature: float = TEMPERATURE) -> Vote:
    """Let the `top` nearest examples of each intent speak for it, and share the vote out by softmax.

    `likeness` and `examples` have one entry for each example. An intent without examples gets no share. Of equals the
    first in `Intent`'s order wins. Raises ValueError when there are no examples or the lengths differ.
    """
    if len(examples) != len(likeness) or len(examples) == 0:
        raise ValueError(f"{len(likeness)} likenesses for {len(examples)} examples")
    scores = np.full(len(INTENTS), -np.inf)
    for kind in range(len(INTENTS)):
        own = likeness[examples == kind]
        if len(own):
            scores[kind] = (np.partition(own, -top)[-top:] if len(own) > top else own).mean(dtype=np.float64)
    shares = np.exp((scores - scores.max()) / temperature)
    shares /= shares.sum()
    first = int(shares.argmax())
    rest = np.delete(shares, first)
    return Vote(
        intent=INTENTS[first],
        confidence=float(shares[first]),
        margin=float(shares[first] - rest.max()),
        nearest=float(likeness.max()),
    )
