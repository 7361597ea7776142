"""LiteLLM's answers, whole and streamed, in our terms. It imports nothing of LiteLLM: the module is handed in."""

from typing import Any

from headrace_llm.client import ToolCall
from headrace_llm.ports import Answer
from headrace_llm.registry import ModelEntry

_FINISH = {"length": "length", "content_filter": "content_filter", "tool_calls": "tool_calls"}


class Pieces:
    """Puts a streamed answer together: text as it came, tool calls by their index."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._calls: dict[int, list[str]] = {}
        self._usage: Any = None

    def add(self, chunk: Any) -> str | None:
        """What the chunk adds to the text; "" when it only adds to a tool call, None when to neither."""
        self._usage = getattr(chunk, "usage", None) or self._usage
        delta = chunk.choices[0].delta if chunk.choices else None
        if delta is None:
            return None
        if delta.content:
            self._texts.append(delta.content)
        calls = getattr(delta, "tool_calls", None) or ()
        for call in calls:
            self._add_call(call)
        return delta.content or ("" if calls else None)

    def answer(self, litellm: Any, entry: ModelEntry, finish: str | None) -> Answer:
        """The whole answer."""
        calls = [ToolCall(*parts) for _, parts in sorted(self._calls.items())]
        return answer(litellm, entry, "".join(self._texts), calls, finish, self._usage)

    def _add_call(self, call: Any) -> None:
        parts = self._calls.setdefault(call.index or 0, ["", "", ""])
        parts[0] = parts[0] or call.id or ""
        parts[1] += call.function.name or ""
        parts[2] += call.function.arguments or ""


def whole(litellm: Any, entry: ModelEntry, response: Any) -> Answer:
    """An answer that came in one piece."""
    choice = response.choices[0]
    asked = getattr(choice.message, "tool_calls", None) or ()
    calls = [ToolCall(one.id or "", one.function.name or "", one.function.arguments or "") for one in asked]
    return answer(litellm, entry, choice.message.content or "", calls, choice.finish_reason, response.get("usage"))


def answer(litellm: Any, entry: ModelEntry, text: str, calls: list[ToolCall], finish: str | None, usage: Any) -> Answer:
    """An answer with its cost, as far as LiteLLM's list knows it and the registry does not."""
    prompt = getattr(usage, "prompt_tokens", None)
    completion = getattr(usage, "completion_tokens", None)
    cost = None
    if entry.price is None and prompt is not None and completion is not None:
        cost = _listed_cost(litellm, entry.model, prompt, completion)
    # Some providers say "stop" to calls; whoever reads the reason alone would not make them.
    reason = "tool_calls" if calls and finish in ("stop", None) else _FINISH.get(finish or "", "stop")
    return Answer(text, reason, prompt, completion, cost, tuple(calls))


def _listed_cost(litellm: Any, model: str, prompt: int, completion: int) -> float | None:
    try:
        costs = litellm.cost_per_token(model=model, prompt_tokens=prompt, completion_tokens=completion)
    except Exception:  # noqa: BLE001 - LiteLLM raises several kinds for a model that its list does not have
        return None
    return float(sum(costs))
