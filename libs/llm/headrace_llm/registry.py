"""The models that can be asked, as models.yaml lists them. Pure: it reads no file, variable or key, only a text.

```yaml
default: qwen
roles: {cheap: turbo, planner: qwen, extract: turbo}     # what is not given is the default
models:
  qwen:
    model: dashscope/qwen-max                            # LiteLLM's name: PROVIDER/MODEL
    api_key_env: DASHSCOPE_API_KEY                       # default: the variable that LiteLLM reads for the provider
    context_tokens: 32768
    max_output_tokens: 4096
    price: {prompt_usd_per_million: 1.6, completion_usd_per_million: 6.4}
    limits: {rpm: 60, tpm: 100000, account: main}        # models of one provider and account share one limit
    fallbacks: [turbo]                                   # asked in this order when qwen fails or makes a call wait
    fallback_wait_s: 10                                  # for its turn longer than this
    timeout_s: 120
  turbo:
    model: openai/qwen-turbo
    api_base: https://example.com/v1
tenants:
  school-1: {weight: 2, daily: {usd: 5, tokens: 2000000, calls: 4000}}
  "*": {daily: {usd: 1}}                                 # every tenant that is not named; each has its own
```
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from headrace_llm.errors import UnknownModel

Role = Literal["cheap", "planner", "extract"]
"""What a part of Headrace asks a model for."""

ModelId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}$")]
ProviderName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]+/\S+$", max_length=256)]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]
Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]

DEFAULT_TIMEOUT_S = 120.0
"""How long one call may take when models.yaml does not say."""
DEFAULT_FALLBACK_WAIT_S = 10.0
"""How long a turn is waited for before a fallback is asked."""
DEFAULT_MAX_OUTPUT_TOKENS = 4096
"""The longest answer when models.yaml does not say: a model that repeats itself without end must not run for ever."""
DEFAULT_CONTEXT_TOKENS = 8192
"""A context that any model of today has."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Price(_Strict):
    """US dollars for a million tokens."""

    prompt_usd_per_million: Annotated[float, Field(ge=0)]
    completion_usd_per_million: Annotated[float, Field(ge=0)]

    def cost_usd(self, *, prompt_tokens: int, completion_tokens: int) -> float:
        """The price of one call."""
        prompt = prompt_tokens * self.prompt_usd_per_million
        return (prompt + completion_tokens * self.completion_usd_per_million) / 1_000_000


class Limits(_Strict):
    """The provider's quota. What is not given is not paced."""

    rpm: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    """Requests a minute."""
    tpm: Annotated[float, Field(gt=0, le=1_000_000_000)] | None = None
    """Tokens a minute, prompt and answer."""
    burst: Annotated[int, Field(ge=1, le=100)] = 1
    """Requests that may leave at once after silence."""
    account: Label | None = None
    """Models of one provider with the same account share one limit."""
    probe: bool = False
    """Whether to try, in small steps, if the provider grants more than is configured."""


class ModelEntry(_Strict):
    """One model: where it is, what it costs and how fast it may be asked."""

    id: ModelId
    model: ProviderName
    """LiteLLM's name, PROVIDER/MODEL."""
    api_base: Annotated[str, StringConstraints(pattern=r"^https?://\S+$")] | None = None
    api_key_env: VariableName | None = None
    """The environment variable that holds the key; None means the one that LiteLLM reads for the provider."""
    context_tokens: Annotated[int, Field(gt=0)] = DEFAULT_CONTEXT_TOKENS
    max_output_tokens: Annotated[int, Field(gt=0)] = DEFAULT_MAX_OUTPUT_TOKENS
    """The longest answer; a caller may ask for less."""
    price: Price | None = None
    limits: Limits = Limits()
    fallbacks: tuple[ModelId, ...] = ()
    fallback_wait_s: Annotated[float, Field(ge=0, le=3600)] = DEFAULT_FALLBACK_WAIT_S
    """With fallbacks: a call that would wait longer than this for its turn asks them first."""
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = DEFAULT_TIMEOUT_S
    structured: Literal["auto", "schema", "prompt"] = "auto"
    """How a JSON Schema is asked for: as response_format, or in words. auto: as the provider is known to understand."""

    @property
    def provider(self) -> str:
        """The part of the LiteLLM name before the first slash."""
        return self.model.partition("/")[0]

    @property
    def scope(self) -> str:
        """The name of the limit that this model counts against."""
        return f"{self.provider}:@{self.limits.account}" if self.limits.account else self.model.replace("/", ":", 1)


class DailyBudget(_Strict):
    """What a tenant may use from midnight to midnight, UTC. What is not given is not bounded."""

    usd: Annotated[float, Field(ge=0)] | None = None
    tokens: Annotated[int, Field(ge=0)] | None = None
    calls: Annotated[int, Field(ge=0)] | None = None


class TenantEntry(_Strict):
    """How one tenant is treated."""

    weight: Annotated[float, Field(ge=0.01, le=100)] = 1.0
    """Its turns at the gate beside another tenant's, within a priority."""
    daily: DailyBudget = DailyBudget()


ANY_TENANT = "*"
"""The entry of every tenant that has none of its own."""


@dataclass(frozen=True, slots=True)
class Registry:
    """The models by id. `parse` in `headrace_llm.models_file` reads one from YAML."""

    models: Mapping[str, ModelEntry]
    default: str
    roles: Mapping[Role, str]
    tenants: Mapping[str, TenantEntry] = field(default_factory=dict)

    @staticmethod
    def of(
        entries: Iterable[ModelEntry],
        *,
        default: str = "",
        roles: Mapping[Role, str] | None = None,
        tenants: Mapping[str, TenantEntry] | None = None,
    ) -> "Registry":
        """Make a registry of entries; the first is the default unless `default` says otherwise."""
        models = {entry.id: entry for entry in entries}
        return Registry(
            MappingProxyType(models),
            default or next(iter(models)),
            MappingProxyType(dict(roles or {})),
            MappingProxyType(dict(tenants or {})),
        )

    def tenant(self, tenant_id: str) -> TenantEntry:
        """How a tenant is treated; one that is not named is treated as "*" says, or by the defaults."""
        return self.tenants.get(tenant_id) or self.tenants.get(ANY_TENANT) or TenantEntry()

    @staticmethod
    def of_names(names: Iterable[str], *, rpm: float | None = None) -> "Registry":
        """Make a registry of bare LiteLLM names, such as dashscope/qwen-max; each is its own id, the first the default.

        Raises pydantic.ValidationError for what cannot be a name.
        """
        return Registry.of([ModelEntry(id=name, model=name, limits=Limits(rpm=rpm)) for name in names])

    def resolve(self, model: str = "", role: Role | None = None) -> ModelEntry:
        """Find a model by id; "" means the role's model, or the default. Raises `UnknownModel`."""
        wanted = model or (self.roles.get(role, self.default) if role else self.default)
        entry = self.models.get(wanted)
        if entry is None:
            raise UnknownModel(f"no model {wanted[:128]!r}; {self._known(wanted)}")
        return entry

    def to_json(self) -> dict[str, Any]:
        """The content of a models.yaml that parses to this registry."""
        models = {
            name: entry.model_dump(mode="json", exclude={"id"}, exclude_defaults=True)
            for name, entry in self.models.items()
        }
        tenants = {name: one.model_dump(mode="json", exclude_defaults=True) for name, one in self.tenants.items()}
        known = {"default": self.default, "roles": dict(self.roles), "models": models}
        return {**known, "tenants": tenants} if tenants else known

    def _known(self, wanted: str) -> str:
        near = difflib.get_close_matches(wanted, self.models, n=3, cutoff=0.5)
        return f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(sorted(self.models)[:10])}"
