"""The list of requests to have answered before somebody asks. Pure: it reads no file, only a text.

```yaml
- tenant: school-1                                       # whose cache; an answer is never another tenant's
  model: turbo                                           # default: the registry's
  messages:
    - {role: system, content: You are a patient teacher.}
    - {role: user, content: What can you do?}
  max_tokens: 300                                        # these and what is left out as the caller will ask it
- {tenant: school-1, messages: [{role: user, content: Tell a joke.}], temperature: 0.7, cache: true}
```
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import yaml
from headrace_runtime import yaml_lines
from headrace_runtime.settings import Fault
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from headrace_llm.cache import policy
from headrace_llm.client import ChatRequest, Message, Priority
from headrace_llm.errors import InvalidWarmUp, UnknownModel
from headrace_llm.registry import Registry

MAX_BYTES = 8 * 1024 * 1024
"""A larger list is a mistake."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Turn(_Strict):
    role: Literal["system", "user", "assistant"]
    content: str


class _Entry(_Strict):
    tenant: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    model: str = ""
    messages: Annotated[tuple[_Turn, ...], Field(min_length=1, max_length=1000)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    output: Annotated[Mapping[str, Any] | None, Field(alias="schema")] = None
    tools: tuple[Mapping[str, Any], ...] = ()
    options: Mapping[str, Any] = Field(default_factory=dict)
    cache: Literal[True] | None = None

    def request(self, *, deadline_s: float) -> ChatRequest:
        return ChatRequest(
            messages=tuple(Message(one.role, one.content) for one in self.messages),
            tenant_id=self.tenant,
            deadline_s=deadline_s,
            model=self.model,
            priority=Priority.BACKGROUND,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            schema=self.output,
            purpose="warm_up",
            tools=self.tools,
            options=self.options,
            cache=self.cache,
        )


def parse(
    text: str, registry: Registry, *, max_entries: int, deadline_s: float, source: str = "warm_up.yaml"
) -> Sequence[ChatRequest]:
    """The requests of a list, each with that deadline. Raises `InvalidWarmUp` with every fault."""
    if len(text.encode()) > MAX_BYTES:
        raise InvalidWarmUp(source, [Fault(0, "", f"larger than {MAX_BYTES} bytes")])
    root, value, faults = yaml_lines.load(text)
    if not faults:
        faults += yaml_lines.repeated(root)
        if not isinstance(value, list):
            faults.append(Fault(1, "", "must be a list of requests, each with tenant and messages"))
        elif len(value) > max_entries:
            faults.append(Fault(1, "", f"has {len(value)} requests; HEADRACE_LLM_WARM_UP_ENTRIES allows {max_entries}"))
    if faults:
        raise InvalidWarmUp(source, faults)
    requests = [_request(one, at, registry, root, faults, deadline_s) for at, one in enumerate(value)]
    if faults:
        raise InvalidWarmUp(source, sorted(set(faults), key=lambda fault: (fault.line, fault.path)))
    return [request for request in requests if request is not None]


def _request(
    value: Any, at: int, registry: Registry, root: yaml.Node | None, faults: list[Fault], deadline_s: float
) -> ChatRequest | None:
    entry = yaml_lines.validate(_Entry, value, (at,), root, faults)
    if entry is None:
        return None
    request = entry.request(deadline_s=deadline_s)
    try:
        model = registry.resolve(entry.model)
    except UnknownModel as error:
        faults.append(yaml_lines.fault(root, (at, "model"), error.message))
        return None
    if not policy.cacheable(request):
        message = (
            "would not be kept: it has a temperature, tools or options that vary answers; say `cache: true` to keep it"
        )
        faults.append(yaml_lines.fault(root, (at,), message))
    elif policy.key(request, model) is None:
        faults.append(yaml_lines.fault(root, (at,), "has what JSON cannot say"))
    return request
