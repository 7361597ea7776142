"""How long a prompt is, before anybody has counted. Pure."""

from collections.abc import Iterable, Iterator, Mapping

from headrace_llm.client import ChatRequest
from headrace_llm.registry import ModelEntry


def prompt_tokens(request: ChatRequest, entry: ModelEntry) -> int:
    """About how many tokens the model reads: messages with their tool calls, tools, and a schema that is put into words."""
    return estimate_tokens(_texts(request, entry))


def estimate_tokens(texts: Iterable[str]) -> int:
    """About how many tokens texts have: four ASCII letters or one other character each, and four for each text."""
    total = 0
    for text in texts:
        wide = sum(1 for char in text if char > "\x7f") if not text.isascii() else 0
        total += 4 + wide + (len(text) - wide + 3) // 4
    return total


def _texts(request: ChatRequest, entry: ModelEntry) -> Iterator[str]:
    for message in request.messages:
        yield message.content
        for call in message.tool_calls:
            yield call.name + call.arguments
    # As Python writes them they are about as long as the JSON that is sent.
    for tool in request.tools:
        yield str(tool)
    form = request.options.get("response_format")
    schema = form.get("json_schema") if request.schema is None and isinstance(form, Mapping) else request.schema
    # Whether a model without an address of its own takes schemas, only its adapter knows: then it counts.
    if schema is not None and (entry.structured == "prompt" or (entry.structured == "auto" and entry.api_base is None)):
        yield str(schema)
