"""The labelled examples, read from examples.yaml."""

from dataclasses import dataclass
from importlib import resources

import yaml

from headrace_router.model import Intent


@dataclass(frozen=True, slots=True)
class Example:
    """One message whose intent is known."""

    text: str
    intent: Intent
    language: str
    """en or zh."""


def parse(text: str) -> tuple[Example, ...]:
    """Read `intent: {language: [message, …]}`. Raises ValueError for an intent that does not exist."""
    content: dict[str, dict[str, list[str]]] = yaml.safe_load(text)
    return tuple(
        Example(message, Intent(intent), language)
        for intent, languages in content.items()
        for language, messages in languages.items()
        for message in messages
    )


def load() -> tuple[Example, ...]:
    """The examples of this package."""
    return parse(resources.files("headrace_router").joinpath("examples.yaml").read_text(encoding="utf-8"))
