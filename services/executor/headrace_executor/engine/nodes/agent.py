"""The small agent inside a compose node: its model may call tools for a bounded number of rounds, then it answers.

A round is one question to the model. What the model said in it (`STEP#ROUND`) and each result (`STEP#ROUND.INDEX`) are
steps of the run: an owner that takes over goes on after them and neither pays for a round nor makes a call again.

    ask ──▶ text and calls ──▶ checkpoint ──▶ calls, some at once ──▶ record each ──▶ ask …
     └────▶ text without calls: the answer. In the last round no call is allowed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import orjson
from headrace_blueprint.model import Compose
from headrace_llm import answers
from headrace_llm.client import ChatRequest, Completion, Message, ToolCall
from headrace_llm.usage import Usage
from headrace_tools.errors import ToolFailed
from headrace_tools.model import ToolEntry

from headrace_executor.engine import searches, tool_calls, wishes
from headrace_executor.engine.metrics import AGENT_REFUSED, AGENT_ROUNDS
from headrace_executor.engine.nodes import asking
from headrace_executor.engine.nodes.attempt import Attempt, Result
from headrace_executor.engine.scheduler import run_graph
from headrace_executor.engine.wishes import Turn
from headrace_executor.errors import RunFailed
from headrace_executor.model import FailureCode, Json
from headrace_executor.ports import Event

NO_ROOM = "there is no room for this result; answer with what you have"
_FORM = "\n\nWhen you are done with the tools, answer with one JSON value that satisfies this JSON Schema:\n"


async def run(attempt: Attempt, node: Compose, messages: Sequence[Message]) -> Result:
    """What the model answers once it has called what it wanted. Raises `RunFailed`, and what the model's client raises."""
    return await _Loop(attempt, node).run(messages)


@dataclass(slots=True)
class _Loop:
    """One attempt at one node."""

    attempt: Attempt
    node: Compose
    functions: Mapping[str, ToolEntry] = field(default_factory=dict)
    made: dict[tuple[str, bytes], int] = field(default_factory=dict)
    """How often each call was wished, by function and arguments."""
    ids: set[str] = field(default_factory=set)
    """Of the calls so far."""
    parent: str = ""
    """The message that this round's calls came with."""

    async def run(self, asked: Sequence[Message]) -> Result:
        self.functions = wishes.named(self._entries())
        rounds = self.node.max_iterations or self.attempt.parts.limits.agent_iterations
        messages = list(asked)
        if self.node.schema_ is not None:
            text = f"{messages[-1].content}{_FORM}{orjson.dumps(self.node.schema_).decode()}"
            messages[-1] = replace(messages[-1], content=text)
        for number in range(1, rounds):
            turn = await self._turn(number, messages)
            if not turn.calls:
                return await self._answered(turn.text, messages)
            messages.append(Message("assistant", turn.text, turn.calls))
            messages += await self._results(number, turn, room=self._room(messages))
        return await self._last(messages, rounds)

    def _entries(self) -> Sequence[ToolEntry]:
        entries = []
        for name in dict.fromkeys(self.node.tools or ()):
            try:
                entries.append(tool_calls.find(self.attempt, name))
            except ToolFailed as error:
                raise tool_calls.failure(name, error) from error
        return entries

    async def _turn(self, number: int, messages: Sequence[Message]) -> Turn:
        """What the model says in a round. Only a turn with calls is recorded; one without ends the node."""
        step = f"{self.attempt.step}#{number}"
        record = self.attempt.journal.steps.get(step)
        if record is not None:
            turn = Turn.from_json(record.output)
            self.ids.update(call.id for call in turn.calls)
            return turn
        completion = await self._ask(self._request(messages))
        turn = Turn(completion.text, tuple(self._identified(number, completion.tool_calls)))
        if turn.calls:
            AGENT_ROUNDS.labels("called").inc()
            wishes.require_small(turn, self.attempt.parts.limits.max_output_bytes)
            self.parent = self.attempt.message_id
            closing = self.attempt.close_message()
            await self.attempt.journal.checkpoint(step, turn.to_json(), usage=self._spent(), events=closing)
        return turn

    async def _ask(self, asked: ChatRequest) -> Completion:
        """Ask with tools. A text is streamed as it comes, as nobody knows yet whether calls follow; JSON is not."""
        if self.node.schema_ is None:
            return await asking.speak(self.attempt, asked)
        return await self.attempt.parts.models.complete(asked)

    def _request(self, messages: Sequence[Message], *, final: bool = False) -> ChatRequest:
        """A question with tools, and without the schema: many providers take one or the other.

        The final one has the schema and forbids calls. The tools stay in view, as what was called refers to them.
        """
        asked = asking.request(self.attempt, self.node, tuple(messages))
        tools = [wishes.function(name, entry) for name, entry in self.functions.items()]
        if final:
            return replace(asked, tools=tools, options={"tool_choice": "none"})
        return replace(asked, tools=tools, schema=None)

    def _identified(self, number: int, calls: Sequence[ToolCall]) -> Iterator[ToolCall]:
        """The calls, each with an id of its own: not every provider gives one."""
        for index, call in enumerate(calls):
            fresh = call if call.id and call.id not in self.ids else replace(call, id=f"call_{number}_{index}")
            self.ids.add(fresh.id)
            yield fresh

    async def _answered(self, text: str, messages: Sequence[Message]) -> Result:
        """End with a text that the model gave instead of calls; JSON is mended once."""
        AGENT_ROUNDS.labels("answered").inc()
        schema = self.node.schema_
        if schema is None:
            return Result(text, self.attempt.close_message())
        plain = answers.unfence(text)
        faults = answers.faults(plain, answers.validator(schema))
        if not faults:
            return Result(asking.loaded(plain))
        AGENT_ROUNDS.labels("repaired").inc()
        asked = self._request((*messages, *asking.repair(text, faults)), final=True)
        return Result(await asking.mended(self.attempt, asked, repairs=0))

    async def _last(self, messages: Sequence[Message], rounds: int) -> Result:
        """The round in which the model has to answer."""
        asked = self._request(messages, final=True)
        AGENT_ROUNDS.labels("answered").inc()
        if self.node.schema_ is not None:
            return Result(await asking.mended(self.attempt, asked))
        completion = await asking.speak(self.attempt, asked)
        if completion.tool_calls and not completion.text:
            text = f"its model called tools for {rounds} rounds and gave no answer; raise max_iterations or ask for less."
            raise RunFailed(FailureCode.PROVIDER, text)
        return Result(completion.text, self.attempt.close_message())

    def _room(self, messages: Sequence[Message]) -> int:
        """Bytes that the conversation may still grow by."""
        written = sum(
            wishes.size(one.content) + sum(wishes.size(call.arguments) for call in one.tool_calls) for one in messages
        )
        return self.attempt.parts.limits.max_prompt_bytes - written

    async def _results(self, number: int, turn: Turn, *, room: int) -> Sequence[Message]:
        """The results of a round in the order of its calls, in `room` bytes together."""
        at_once = self.attempt.parts.limits.max_parallel_tool_calls
        refusals = [self._refusal(index, call) for index, call in enumerate(turn.calls)]

        contents = [""] * len(turn.calls)

        async def one(index: int) -> None:
            contents[index] = await self._content(f"{number}.{index}", turn.calls[index], refusals[index])

        await run_graph(dict.fromkeys(range(len(turn.calls)), ()), one, max_parallel=at_once)
        shown = []
        for call, result in zip(turn.calls, contents, strict=True):
            size = wishes.size(result)
            content = result if size <= room else wishes.error(NO_ROOM)
            room -= min(size, room)
            shown.append(Message("tool", content, tool_call_id=call.id))
        return shown

    def _refusal(self, index: int, call: ToolCall) -> str:
        """Why a call is not made, "" when it is. The same wishes are refused whoever owns the run."""
        limits = self.attempt.parts.limits
        if index >= limits.max_calls_per_round:
            AGENT_REFUSED.labels("too_many").inc()
            return f"at most {limits.max_calls_per_round} calls are made at once; make this one again"
        key = (call.name, wishes.canonical(call.arguments))
        before = self.made.get(key, 0)
        self.made[key] = before + 1
        if before >= limits.max_repeated_calls:
            AGENT_REFUSED.labels("repeated").inc()
            return f"you have made this very call {before} times before; go on with its result, or answer"
        return ""

    async def _content(self, place: str, call: ToolCall, refusal: str) -> str:
        """A call's result as the model reads it. A recorded one is not made again; what fails is told to the model."""
        step = f"{self.attempt.step}#{place}"
        record = self.attempt.journal.steps.get(step)
        if record is not None:
            return searches.content(record.output)
        entry = self.functions.get(call.name)
        event_id = f"{self.attempt.unique_id}#{place}"
        name = entry.tool.name if entry is not None else call.name[: wishes.MAX_NAME]
        tool_calls.announce(self.attempt, event_id, name, call.arguments or "{}", parent=self.parent)
        output: Json
        try:
            output = await self._called(entry, call, refusal, call_id=f"{self.attempt.run.run_id}:{step}")
            content = wishes.cut(output, self.attempt.parts.limits.max_tool_result_bytes)
        except ToolFailed as error:
            output, content = {"error": str(error)}, wishes.error(str(error))
        except RunFailed as error:
            if error.failure.code is FailureCode.BUDGET:
                raise
            output, content = {"error": str(error)}, wishes.error(str(error))
        recorded = searches.of_a_model(content, output) if entry is not None and entry.tool.name == "search" else content
        await self._record(step, recorded, tool_calls.told(self.attempt, event_id, output), entry)
        return content

    async def _called(self, entry: ToolEntry | None, call: ToolCall, refusal: str, *, call_id: str) -> Json:
        """Make a call that a model wished. Raises `ToolFailed` and `RunFailed`."""
        if refusal:
            raise ToolFailed(refusal, reason="invalid")
        if entry is None:
            known = ", ".join(self.functions)
            raise ToolFailed(f"there is no function {call.name[: wishes.MAX_NAME]!r}; there are {known}", reason="invalid")
        arguments = wishes.arguments(call.arguments)
        await tool_calls.check(entry, arguments)
        if entry.tool.name == "search":
            arguments = {**self._workspace(), **arguments}
        at_most_s = self.attempt.parts.limits.node_timeout_s["data"]
        return await tool_calls.make(self.attempt, entry, arguments, call_id=call_id, at_most_s=at_most_s)

    def _workspace(self) -> Mapping[str, Json]:
        """Where the run's own searches look: a model knows no workspace's name."""
        workspace = self.attempt.scope.inputs.get("workspace")
        return {"workspace": workspace} if isinstance(workspace, str) else {}

    async def _record(self, step: str, content: Json, told: Event, entry: ToolEntry | None) -> None:
        """Record a result. One that cost something, or must not be had twice, is waited for until it is stored."""
        usage, journal = self._spent(), self.attempt.journal
        if usage.models or (entry is not None and not entry.idempotent):
            await journal.checkpoint(step, content, usage=usage, events=(told,))
        else:
            journal.record(step, content, usage=usage, events=(told,))
            await journal.drained()

    def _spent(self) -> Usage:
        """What the attempt has spent since the last step: it goes with this one, and not with the node's."""
        bill = self.attempt.bill
        usage, bill.usage = bill.usage, Usage()
        return usage
