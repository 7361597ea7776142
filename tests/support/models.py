"""A `ModelClient` that answers from a script. For tests of what calls models, never of how they are called."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from headrace_llm.client import ChatRequest, Completion, ModelSignals, Restarted, ToolCall
from headrace_llm.registry import ModelEntry, Registry
from headrace_llm.usage import ModelUsage, Usage


@dataclass(frozen=True, slots=True)
class Scripted:
    """One answer: pieces of text, then perhaps an error."""

    pieces: Sequence[str] = ("ok",)
    error: Exception | None = None
    """Raised after the pieces."""
    delay_s: float = 0.0
    """Before each piece."""
    gate: asyncio.Event | None = None
    """Waited for before the second piece, so that a test can stop in the middle of a stream."""
    finish_reason: str = "stop"
    prompt_tokens: int = 10
    tool_calls: Sequence[ToolCall] = ()
    restarted_at: int | None = None
    """Before this piece a Restarted says that those before it are void."""


Answer = str | Exception | Scripted
"""A text (streamed word by word), an error, or a full script."""


def registry() -> Registry:
    """Two models, `big` (the default) and `small` (the cheap role)."""
    entries = [ModelEntry(id=name, model=f"scripted/{name}", context_tokens=4096) for name in ("big", "small")]
    return Registry.of(entries, roles={"cheap": "small", "extract": "small", "planner": "big"})


@dataclass
class ScriptedModels:
    """Answers the calls in turn from `answers`, then for ever with `otherwise` (an answer or a function of the request).

    `requests` has what was asked; `len(requests)` is the number of calls, streams included; `closed_early` counts the
    streams whose reader left before the end.
    """

    answers: Sequence[Answer] = ()
    otherwise: Answer | Callable[[ChatRequest], Answer] = "ok"
    registry: Registry = field(default_factory=registry)
    gate_signals: Sequence[ModelSignals] = ()
    requests: list[ChatRequest] = field(default_factory=list)
    closed_early: int = 0

    def __post_init__(self) -> None:
        self._left = deque(self.answers)

    async def complete(self, request: ChatRequest) -> Completion:
        """The next answer, whole."""
        async for item in self.stream(request):
            if isinstance(item, Completion):
                return item
        raise AssertionError("a stream ends with a Completion")

    async def stream(self, request: ChatRequest) -> AsyncIterator[str | Restarted | Completion]:
        """The next answer, piece by piece."""
        entry = self.registry.resolve(request.model)
        self.requests.append(request)
        script = _script(self._next(request))
        finished, given = False, 0
        try:
            for at, piece in enumerate(script.pieces):
                await asyncio.sleep(script.delay_s)
                if at == script.restarted_at:
                    yield Restarted(entry.id)
                if at == 1 and script.gate is not None:
                    await script.gate.wait()
                given += 1
                yield piece
            finished = True
            if script.error is not None:
                raise script.error
        finally:
            self.closed_early += not finished
            usage = getattr(script.error, "usage", None)
            if usage is None and (given or not script.error):
                usage = Usage({entry.id: ModelUsage(1, 0, script.prompt_tokens, given, 0.0)})
            if usage is not None:
                request.on_cost(usage)
        assert usage is not None
        text = "".join(script.pieces[script.restarted_at or 0 :])
        yield Completion(text, entry.id, usage, script.finish_reason, script.tool_calls)

    def signals(self) -> Sequence[ModelSignals]:
        """What the test set."""
        return self.gate_signals

    def calls_by_model(self) -> Mapping[str, int]:
        """How often each registry model was asked."""
        names = [self.registry.resolve(request.model).id for request in self.requests]
        return {name: names.count(name) for name in names}

    def _next(self, request: ChatRequest) -> Answer:
        if self._left:
            return self._left.popleft()
        return self.otherwise(request) if callable(self.otherwise) else self.otherwise


def _script(answer: Answer) -> Scripted:
    if isinstance(answer, Scripted):
        return answer
    if isinstance(answer, Exception):
        return Scripted(pieces=(), error=answer)
    words = answer.split(" ")
    return Scripted(pieces=tuple(word + " " for word in words[:-1]) + ((words[-1],) if words[-1] else ()))
