"""How a model is asked to write a text anew by one sentence: it sees its prompt, what it wrote, and the sentence. Pure."""

from dataclasses import dataclass, replace

import orjson
from headrace_llm.client import Message

from headrace_executor.model import Json

TEXT_ONLY = "Answer with the whole new text only."
JSON_ONLY = "Answer with the whole new JSON only."


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A node's earlier output and the sentence that changes it."""

    earlier: Json
    """None when it has none."""
    instruction: str

    def of_item(self, index: int) -> "Rewrite":
        """The same for one item, from 0, of a map."""
        known = isinstance(self.earlier, list) and index < len(self.earlier)
        return replace(self, earlier=self.earlier[index] if known else None)


def messages(prompt: str, rewrite: Rewrite | None) -> tuple[Message, ...]:
    """What a compose node's model is asked."""
    if rewrite is None:
        return (Message("user", prompt),)
    if rewrite.earlier is None:
        return (Message("user", f"{prompt}\n\n{rewrite.instruction}"),)
    is_text = isinstance(rewrite.earlier, str)
    earlier = rewrite.earlier if is_text else orjson.dumps(rewrite.earlier).decode()
    asked = f"{rewrite.instruction}\n\n{TEXT_ONLY if is_text else JSON_ONLY}"
    return (Message("user", prompt), Message("assistant", earlier), Message("user", asked))
