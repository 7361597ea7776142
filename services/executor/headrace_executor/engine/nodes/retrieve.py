"""Nodes that search a workspace's documents. The output is that of `passages.output`."""

from headrace_blueprint.model import Retrieve

from headrace_executor.engine import passages, retrying
from headrace_executor.engine.nodes.attempt import Attempt, Result
from headrace_executor.errors import RunFailed
from headrace_executor.model import FailureCode, Json

MAX_QUERY = 8_192
"""Longest query that the rag service takes, in characters; the rest of a longer one is left out."""
TOP_K = 5


async def run(attempt: Attempt, node: Retrieve) -> Result:
    """Search as the node says."""
    workspace = attempt.text(node.workspace) if node.workspace else ""
    found = await search(
        attempt, query=attempt.text(node.query), workspace=workspace, mode=node.mode or "naive", top_k=node.top_k or TOP_K
    )
    return Result(found)


async def search(attempt: Attempt, *, query: str, workspace: str, mode: str, top_k: int) -> Json:
    """Search, waiting out an absence of the service. Raises `RunFailed`."""
    if not query.strip():
        raise RunFailed(FailureCode.INVALID_BLUEPRINT, "the query is empty.")
    parts = attempt.parts
    found = await retrying.until_deadline(
        lambda: parts.rag.search(attempt.run, query=query[:MAX_QUERY], workspace=workspace, mode=mode, top_k=top_k),
        part="the rag service",
        deadline_s=min(parts.limits.search_deadline_s, attempt.timeout_s),
        invalid=FailureCode.INVALID_BLUEPRINT,
        sleep=parts.sleep,
    )
    attempt.bill.add(found.usage)
    return passages.output(found)
