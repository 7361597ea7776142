"""What model calls cost, added up per model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.llm.v1 import usage_pb2


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """One model's calls and tokens. `cost_usd` is None when the model's price is unknown."""

    llm_calls: int = 0
    cached_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = 0.0

    def __add__(self, other: "ModelUsage") -> "ModelUsage":
        """Add figure by figure; an unknown cost makes the sum unknown."""
        cost = None if self.cost_usd is None or other.cost_usd is None else self.cost_usd + other.cost_usd
        return ModelUsage(
            self.llm_calls + other.llm_calls,
            self.cached_calls + other.cached_calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            cost,
        )


@dataclass(frozen=True, slots=True)
class Usage:
    """The calls of a step or a run, per registry model. `Usage()` is the neutral element of `+`."""

    models: Mapping[str, ModelUsage] = field(default_factory=dict)

    def __add__(self, other: "Usage") -> "Usage":
        """Add model by model."""
        if not other.models:
            return self
        if not self.models:
            return other
        merged = dict(self.models)
        for name, one in other.models.items():
            merged[name] = merged[name] + one if name in merged else one
        return Usage(merged)

    @property
    def total(self) -> ModelUsage:
        """All models together."""
        return sum(self.models.values(), ModelUsage())

    def to_json(self) -> dict[str, Any]:
        """docs/api.md's Usage."""
        return {**_figures(self.total), "models": {name: _figures(one) for name, one in self.models.items()}}

    def to_proto(self) -> usage_pb2.Usage:
        """The wire form."""
        message = usage_pb2.Usage(**_known(self.total))
        for name, one in self.models.items():
            message.models[name].CopyFrom(usage_pb2.ModelUsage(**_known(one)))
        return message

    @staticmethod
    def from_proto(message: usage_pb2.Usage) -> "Usage":
        """Decode the wire form."""
        return Usage({name: _decode(one) for name, one in message.models.items()})

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "Usage":
        """Decode `to_json`."""
        return Usage({name: ModelUsage(**one) for name, one in value.get("models", {}).items()})


def unheard(_: Usage) -> None:
    """Tell nobody of a cost."""


@dataclass(slots=True)
class Bill:
    """Adds up what work costs. `add` can be a request's `ChatRequest.on_cost`."""

    also: Callable[[Usage], None] = unheard
    """Told each cost too."""
    usage: Usage = field(default_factory=Usage)
    """So far."""

    def add(self, usage: Usage) -> None:
        """Count a cost."""
        self.usage += usage
        self.also(usage)


def _figures(one: ModelUsage) -> dict[str, Any]:
    return {
        "llm_calls": one.llm_calls,
        "cached_calls": one.cached_calls,
        "prompt_tokens": one.prompt_tokens,
        "completion_tokens": one.completion_tokens,
        "cost_usd": one.cost_usd,
    }


def _known(one: ModelUsage) -> dict[str, Any]:
    return {name: value for name, value in _figures(one).items() if value is not None}


def _decode(one: usage_pb2.ModelUsage) -> ModelUsage:
    cost = one.cost_usd if one.HasField("cost_usd") else None
    return ModelUsage(one.llm_calls, one.cached_calls, one.prompt_tokens, one.completion_tokens, cost)
