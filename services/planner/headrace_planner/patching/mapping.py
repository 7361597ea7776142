"""Asking a model what a sentence changes, and once more when that cannot be made."""

from collections.abc import Callable, Sequence

import orjson
from headrace_blueprint.faults import Fault, InvalidBlueprint
from headrace_llm.client import Message
from headrace_llm.usage import Usage

from headrace_planner import metrics, toolbox
from headrace_planner import policy as planning
from headrace_planner import questions as asking
from headrace_planner.draft_schema import Language
from headrace_planner.errors import DraftFailed
from headrace_planner.library import Library
from headrace_planner.model import Brief, Draft
from headrace_planner.patching import naming, policy, questions
from headrace_planner.patching.model import Patched, PatchRequest
from headrace_planner.policy import Step
from headrace_planner.ports import Drafter

REPAIRS = 1
"""How often a model is shown what is wrong with its change."""


class Mapping:
    """One sentence on its way; raises `UnknownModel`. `usage` is what it has cost so far, whatever happens."""

    def __init__(self, request: PatchRequest, *, library: Library, drafter: Drafter, clock: Callable[[], float]) -> None:
        self._request = request
        self._library = library
        self._drafter = drafter
        self._clock = clock
        self._context_tokens = drafter.context_tokens(request.model)
        self._able = Language.of(self._context_tokens) is Language.FULL
        self.usage = Usage()
        self.repairs = 0

    async def run(self, *, deadline: float) -> Patched | None:
        """The changed page; None when the repair did not help. Raises `DraftFailed` and `PatchTooLong`."""
        brief = questions.brief(self._library.patch_prompt, self._request.page, may_remove=self._able)
        question = messages = questions.first(brief, self._request, context_tokens=self._context_tokens)
        last = ""
        while True:
            draft = await self._ask(messages, brief, deadline)
            written, patched, faults = self._checked(draft)
            step = planning.next_step(
                faults=faults,
                repeated=written == last,
                repairs=self.repairs,
                max_repairs=REPAIRS,
                left_s=deadline - self._clock(),
            )
            if step is Step.ACCEPT:
                return patched
            if step is Step.GIVE_UP:
                return None
            self.repairs += 1
            metrics.REPAIRS.inc()
            last = written
            messages = asking.again(question, written, faults, prompt=self._library.patch_repair_prompt)

    async def _ask(self, messages: Sequence[Message], brief: Brief, deadline: float) -> Draft:
        left_s = deadline - self._clock()
        if left_s < planning.LEAST_S:
            raise DraftFailed("no_time", "there was no time to ask")
        with metrics.DRAFTING.track_inprogress():
            draft = await self._drafter.draft(
                messages,
                schema=brief.schema,
                max_tokens=questions.MAX_TOKENS,
                tenant_id=self._request.tenant_id,
                deadline_s=left_s,
                purpose="patch",
                model=self._request.model,
                context=self._request.context,
            )
        self.usage += draft.usage
        return draft

    def _checked(self, draft: Draft) -> tuple[str, Patched | None, Sequence[Fault]]:
        """The answer as the model is shown it again, the changed page, and what is wrong."""
        if draft.document is None:
            return draft.text, None, draft.faults
        written = orjson.dumps(draft.document).decode()
        request = self._request
        change = questions.change(draft.document)
        tools = toolbox.schemas((*request.tools, *toolbox.BUILTIN))
        try:
            patched = policy.applied(request.page, change, request.instruction, tools=tools)
        except InvalidBlueprint as error:
            return written, None, error.faults
        layout = request.page.layout
        if not self._able and len(layout) > 1 and not naming.agrees(change, request.instruction, layout):
            # So small a model changes the first slot, or all, rather than none: asking back is better than a wrong change.
            raise DraftFailed("doubtful", "what the planner's small model answered has nothing to do with the sentence")
        return written, patched, ()
