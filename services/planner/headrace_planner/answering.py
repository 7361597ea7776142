"""The built-in blueprints of chat and qa: one node answers; its prompt has a section for each thing that there is. Pure."""

from collections.abc import Iterator, Sequence

from headrace_planner.drafts import Blueprint
from headrace_planner.model import Intent, Request

TOP_K = 5
"""Passages that an answer is made from."""
MEMORIES = (
    "What is remembered from earlier, the nearest first; use what helps and leave the rest aside:\n${inputs.memories}"
)
HISTORY = "The conversation so far:\n${inputs.history}"
PASSAGES = "Passages:\n${nodes.passages.output.text}"


def blueprint(request: Request, tools: Sequence[str] = ()) -> Blueprint:
    """The blueprint that answers a message; its model may call `tools`. No word of the user is in it, only references."""
    nodes: list[Blueprint] = []
    if request.intent is Intent.QA:
        nodes.append(
            {
                "id": "passages",
                "kind": "retrieve",
                "query": "${inputs.message}",
                "workspace": "${inputs.workspace}",
                "top_k": TOP_K,
            }
        )
    nodes.append({"id": "answer", "kind": "compose", "prompt": "\n\n".join(_sections(request, tools))})
    texts = ["history", "workspace", *(["memories"] if request.recalled else [])]
    properties = {"message": {"type": "string"}} | {name: {"type": "string", "default": ""} for name in texts}
    return {
        "version": 1,
        "name": request.intent.value,
        "inputs": {"type": "object", "properties": properties, "required": ["message"]},
        "nodes": nodes,
        "output": "${nodes.answer.output}",
    }


def _sections(request: Request, tools: Sequence[str]) -> Iterator[str]:
    asks = request.intent is Intent.QA
    if asks:
        yield _rules(recalled=request.recalled, tools=bool(tools))
    if request.recalled:
        yield MEMORIES
    if request.history:
        yield HISTORY
    if asks:
        yield PASSAGES
        yield "Question: ${inputs.message}"
    elif request.recalled or request.history:
        yield "Answer the user's next message:\n${inputs.message}"
    else:
        yield "${inputs.message}"


def _rules(*, recalled: bool, tools: bool) -> str:
    """What a question is answered from, and how that is cited."""
    sources = [
        "from the numbered passages",
        *(["from what is remembered"] if recalled else []),
        *(["from what your tools return"] if tools else []),
    ]
    rules = [f"Answer the question {', '.join(sources)} and from nothing else."]
    if tools:
        rules.append("Call a tool when the rest does not suffice.")
    rules.append("After each statement from a passage cite it, such as [1]; nothing else has a number.")
    rules.append("When none of that holds the answer, say so. Answer in the question's language.")
    return " ".join(rules)
