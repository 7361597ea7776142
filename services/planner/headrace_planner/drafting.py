"""Asking a model for a plan, and for a better one, until it is valid or the time or the repairs are used up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson
from headrace_blueprint import validation
from headrace_blueprint.faults import Fault
from headrace_blueprint.tools import Tool
from headrace_llm.client import Message
from headrace_llm.usage import Usage

from headrace_planner import draft_schema, drafts, metrics, parsing, policy, questions, toolbox
from headrace_planner.draft_schema import Language
from headrace_planner.drafts import Blueprint
from headrace_planner.errors import DraftFailed
from headrace_planner.library import Library
from headrace_planner.model import RUNNABLE, Brief, Draft, Request
from headrace_planner.policy import Step
from headrace_planner.ports import Drafter


@dataclass(frozen=True, slots=True)
class Limits:
    """What one plan may cost."""

    plan_timeout_s: float = 45.0
    repairs: int = 2
    max_draft_tokens: int = 2_000


class Drafting:
    """One plan on its way. `usage` is what it has cost so far, whatever happens."""

    def __init__(
        self, request: Request, *, library: Library, drafter: Drafter, limits: Limits, clock: Callable[[], float]
    ) -> None:
        self._request = request
        self._library = library
        self._drafter = drafter
        self._limits = limits
        self._clock = clock
        self.usage = Usage()
        self.repairs = 0
        self.faults: Sequence[Fault] = ()
        """Of the last draft."""

    async def run(self, tools: tuple[Tool, ...], *, deadline: float) -> Blueprint | None:
        """A valid blueprint that uses only some of `tools`; None when the repairs did not help. Raises `DraftFailed`."""
        limits = self._limits
        context_tokens = self._drafter.context_tokens()
        language = Language.of(context_tokens)
        tools = toolbox.relevant(tools, self._request, most=language.most_tools)
        brief = questions.brief(self._library, tools, language)
        max_tokens = min(limits.max_draft_tokens, language.most_tokens)
        question = messages = questions.first(brief, self._request, context_tokens=context_tokens, max_tokens=max_tokens)
        last: str | None = None
        while True:
            draft = await self._ask(messages, brief, max_tokens, deadline)
            written, blueprint, faults = self._checked(draft, tools, language)
            self.faults = faults
            step = policy.next_step(
                faults=faults,
                repeated=written == last,
                repairs=self.repairs,
                max_repairs=limits.repairs,
                left_s=deadline - self._clock(),
            )
            if step is Step.ACCEPT:
                return blueprint
            if step is Step.GIVE_UP:
                return None
            self.repairs += 1
            metrics.REPAIRS.inc()
            last = written
            messages = questions.again(question, written, faults, prompt=self._library.repair_prompt)

    async def _ask(self, messages: Sequence[Message], brief: Brief, max_tokens: int, deadline: float) -> Draft:
        left_s = deadline - self._clock()
        if left_s < policy.LEAST_S:
            raise DraftFailed("no_time", "there was no time to ask")
        with metrics.DRAFTING.track_inprogress():
            draft = await self._drafter.draft(
                messages,
                schema=brief.schema,
                max_tokens=max_tokens,
                tenant_id=self._request.tenant_id,
                deadline_s=left_s,
                purpose="plan",
                context=self._request.context,
            )
        self.usage += draft.usage
        return draft

    def _checked(self, draft: Draft, tools: tuple[Tool, ...], language: Language) -> tuple[str, Blueprint, Sequence[Fault]]:
        """The draft as the model is shown it again, the whole blueprint, and its faults."""
        found, faults = (draft.document, ()) if draft.document is not None else parsing.document(draft.text)
        if found is None:
            return draft.text, {}, faults
        meant = parsing.draft(found)
        if faults := draft_schema.faults(meant, language, tools):
            return orjson.dumps(meant).decode(), {}, faults
        tidy = drafts.tidied(meant)
        made = drafts.blueprint(tidy, self._library.blueprints["build"], self._request.entities)
        blueprint = policy.fitted(made, self._request)
        faults = drafts.faults(tidy, self._request.entities) or validation.validate(
            blueprint, tools=toolbox.schemas(tools), kinds=RUNNABLE
        )
        return orjson.dumps(tidy).decode(), blueprint, faults
