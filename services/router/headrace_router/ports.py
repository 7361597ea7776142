"""What the router needs from outside, as protocols. `headrace_llm` implements them; tests fake them."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from headrace_llm.client import ChatRequest, Completion
from headrace_llm.registry import Registry


class Embedder(Protocol):
    """Makes vectors whose dot product is their texts' likeness."""

    async def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return an array [len(texts), dimensions] of unit vectors, off the event loop."""


class Models(Protocol):
    """The part of `headrace_llm.client.ModelClient` that routing uses."""

    @property
    def registry(self) -> Registry:
        """The models that can be asked."""

    async def complete(self, request: ChatRequest) -> Completion:
        """Ask for a whole answer. Every failure is a `headrace_runtime.errors.ServiceError`."""
