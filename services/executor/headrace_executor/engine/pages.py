"""Runs a plan and keeps what it made of a blueprint with a layout: a page, or a new version of the one that it changed."""

from collections.abc import Mapping
from dataclasses import replace

from headrace_blueprint.plan import Plan
from headrace_llm.usage import Usage

from headrace_executor.engine import answers, retrying
from headrace_executor.engine.execution import NOTHING, Executed, Start, execute
from headrace_executor.engine.nodes.attempt import Parts
from headrace_executor.engine.steps import Done, once
from headrace_executor.model import Json
from headrace_executor.ports import Journal, PageDraft, PageRef


async def made(
    journal: Journal,
    plan: Plan,
    *,
    inputs: Mapping[str, Json],
    parts: Parts,
    start: Start = NOTHING,
    workflow_id: str = "",
    parent: PageRef | None = None,
    instruction: str = "",
) -> Executed:
    """Run a plan, save its page as the run's last step, once, and name it. Raises `RunFailed`.

    `start` and `workflow_id` are those of `execute`. A blueprint without a layout makes no page.
    """
    executed = await execute(journal, plan, inputs=inputs, parts=parts, start=start, workflow_id=workflow_id)
    pages, blueprint = parts.pages, executed.plan.blueprint
    if pages is None or not blueprint.layout:
        return executed
    draft = PageDraft(
        blueprint=blueprint.to_json(),
        inputs=inputs,
        outputs=executed.outputs,
        gaps=executed.gaps,
        sources=answers.sources(executed),
        usage=sum((step.usage for step in journal.steps.values()), Usage()),
        parent=parent,
        instruction=instruction,
    )

    async def save() -> Done:
        ref = await retrying.until_deadline(
            lambda: pages.save(journal.run, draft),
            part="the page store",
            deadline_s=parts.limits.store_deadline_s,
            sleep=parts.sleep,
        )
        return Done({"page_id": ref.page_id, "version": ref.version})

    ref = await once(journal, "page", save)
    return replace(executed, page=PageRef(ref["page_id"], ref["version"]))
