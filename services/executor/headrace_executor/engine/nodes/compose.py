"""Nodes that ask a model: text that readers see as it is written, or JSON that satisfies a schema."""

from headrace_blueprint.model import Compose
from headrace_runtime import errors

from headrace_executor.engine import failures, rewriting
from headrace_executor.engine.nodes import agent, asking
from headrace_executor.engine.nodes.attempt import Attempt, Result
from headrace_executor.errors import RunFailed
from headrace_executor.model import FailureCode


async def run(attempt: Attempt, node: Compose) -> Result:
    """The model's answer: a text, or a JSON value when the node has a schema. Raises `RunFailed`."""
    prompt = attempt.text(node.prompt)
    limit = attempt.parts.limits.max_prompt_bytes
    if len(prompt.encode()) > limit:
        raise RunFailed(FailureCode.INVALID_BLUEPRINT, f"the prompt has more than {limit} bytes; refer to less.")
    messages = rewriting.messages(prompt, attempt.rewrite)
    try:
        if node.tools:
            return await agent.run(attempt, node, messages)
        asked = asking.request(attempt, node, messages)
        if node.schema_ is not None:
            return Result(await asking.mended(attempt, asked))
        attempt.open_message()
        completion = await asking.speak(attempt, asked)
        return Result(completion.text, attempt.close_message())
    except errors.ServiceError as error:
        raise failures.from_service(error, part="the model", invalid=FailureCode.INVALID_BLUEPRINT) from error
