"""Which requests may be answered from the cache, under which key, and which answers are kept. Pure."""

import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from headrace_llm.client import ChatRequest, Completion, ToolCall
from headrace_llm.registry import ModelEntry
from headrace_llm.usage import ModelUsage, Usage

VERSION = 1
"""Of the key and of what is kept under it; another version finds nothing of this one."""
REPEATABLE = frozenset(
    {
        "frequency_penalty",
        "logit_bias",
        "max_completion_tokens",
        "presence_penalty",
        "reasoning_effort",
        "response_format",
        "seed",
        "stop",
        "top_p",
        "user",
    }
)
"""Options with which temperature 0 still means the same answer again. Any other (n, logprobs, a search in the web …) is
only answered from the cache when the caller asks for it."""
PIECES = 4
"""A kept text is streamed in about as many."""
MIN_PIECE = 64
"""Characters of such a piece, at least."""
OVERHEAD_BYTES = 512
"""What an entry takes beside its texts."""


@dataclass(frozen=True, slots=True)
class Key:
    """Names a question of a tenant. Both parts are digests, so a key tells no text."""

    tenant: str
    digest: str
    """Of the tenant too: no two tenants share one."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer without what it cost."""

    text: str
    finish_reason: str = "stop"
    tool_calls: Sequence[ToolCall] = ()

    @staticmethod
    def of(completion: Completion) -> "Kept":
        """What of a completion is kept."""
        return Kept(completion.text, completion.finish_reason, tuple(completion.tool_calls))

    def completion(self, model: str) -> Completion:
        """The answer anew; it cost no tokens."""
        return Completion(self.text, model, free(model), self.finish_reason, self.tool_calls)

    @property
    def size(self) -> int:
        """Bytes of memory, about."""
        calls = sum(sys.getsizeof(part) for call in self.tool_calls for part in (call.id, call.name, call.arguments))
        return OVERHEAD_BYTES + sys.getsizeof(self.text) + calls


def free(model: str) -> Usage:
    """One call that the cache saved."""
    return Usage({model: ModelUsage(cached_calls=1)})


def cacheable(request: ChatRequest) -> bool:
    """Whether the request may be answered from the cache: as it says, or when the same answer would come again anyway."""
    if request.cache is not None:
        return request.cache
    return request.temperature == 0 and not request.tools and request.options.keys() <= REPEATABLE


def key(request: ChatRequest, entry: ModelEntry) -> Key | None:
    """Everything that the answer depends on; None for a request that cannot be written as JSON."""
    longest = min(request.max_tokens or entry.max_output_tokens, entry.max_output_tokens)
    parts = [
        VERSION,
        request.tenant_id,
        [entry.id, entry.model, entry.api_base, entry.structured],
        [[one.role, one.content, one.tool_call_id, one.tool_calls] for one in request.messages],
        longest,
        float(request.temperature) + 0.0,  # -0.0 is 0.0
        request.schema,
        request.tools,
        request.options,
    ]
    try:
        text = orjson.dumps(parts, _plain, orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        return None
    return Key(_digest(request.tenant_id.encode(), 12), _digest(text, 24))


def keeps(request: ChatRequest, entry: ModelEntry, completion: Completion) -> bool:
    """Whether an answer is kept: whole, not empty, and of the model that was asked, not of one that stood in for it."""
    whole = completion.finish_reason == "stop" or (completion.finish_reason == "tool_calls" and bool(request.cache))
    return whole and completion.model == entry.id and bool(completion.text or completion.tool_calls)


def pieces(text: str) -> list[str]:
    """A text as a stream would bring it; none is empty."""
    step = max(MIN_PIECE, -(-len(text) // PIECES))
    return [text[at : at + step] for at in range(0, len(text), step)]


def _digest(data: bytes, size: int) -> str:
    return hashlib.blake2b(data, digest_size=size).hexdigest()


def _plain(value: Any) -> Any:
    """What orjson does not know: mappings and sequences that are not dict, list or tuple."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError
