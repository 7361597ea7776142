"""A model that calls functions in turn, one a round, and then answers with what they returned."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.support.openai_server import Reply

Json = Any


def calling(
    *wishes: tuple[str, Mapping[str, Json]], said: str = "They say: ", delay_s: float = 0.0, pace_s: float = 0.0
) -> Callable[[Mapping[str, Json]], Reply]:
    """Answers for `OpenAiServer.worked_out`: each of `wishes` is a function and its arguments.

    `delay_s` and `pace_s` are those of the last answer. A request that offers no tools is answered at once.
    """

    def answer(request: Mapping[str, Json]) -> Reply:
        told = results(request)
        if not request.get("tools") or len(told) >= len(wishes):
            return Reply(text=said + " ".join(told), delay_s=delay_s, pace_s=pace_s)
        name, arguments = wishes[len(told)]
        call = (f"call-{len(told)}", name, json.dumps(arguments))
        return Reply(text="", tool_calls=(call,), finish_reason="tool_calls")

    return answer


def results(request: Mapping[str, Json]) -> Sequence[str]:
    """What a request tells of calls that were made."""
    return [str(message["content"]) for message in request["messages"] if message["role"] == "tool"]


def functions(request: Mapping[str, Json]) -> Sequence[str]:
    """The functions that a request offers."""
    return [one["function"]["name"] for one in request.get("tools") or ()]
