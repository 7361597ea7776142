"""Texts of the command line as a scenario. Every fault names its option."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from headrace_llm.client import Priority
from headrace_llm.gate.pace import Quota

from headrace_cli.capacity.model import Kind, Scenario
from headrace_cli.errors import CliError

MOST_KINDS = 20
_NAME = re.compile(r"[\w-]{1,40}")
RANGES = {
    "--rpm": (1, 1e6),
    "--tpm": (0, 1e9),
    "--mix": (0.001, 1e9),
    "--think": (0, 86_400),
    "--calls": (1, 1000),
    "--seconds": (0.001, 3600),
    "--tokens": (1, 1e7),
    "--patience": (0.1, 86_400),
    "--target-wait": (0, 86_400),
    "--spread": (0, 10),
}
"""The least and the most that each number may be."""
CALLS: Mapping[str, float] = {"chat": 1, "workflow": 1.6, "build": 4}
SECONDS: Mapping[str, float] = {"chat": 7.5, "workflow": 10, "build": 10}
TOKENS: Mapping[str, float] = {"chat": 1500, "workflow": 2000, "build": 3000}
PRIORITIES = {"chat": Priority.INTERACTIVE}
"""What is not named is standard."""
PATIENCE: Mapping[str, float] = {"interactive": 60, "standard": 180, "background": 900}


@dataclass(frozen=True, slots=True)
class Texts:
    """The options as they were written; "" where the defaults are meant."""

    mix: str
    calls: str = ""
    seconds: str = ""
    tokens: str = ""
    priority: str = ""
    patience: str = ""


def scenario(texts: Texts, *, rpm: float, tpm: float, think_s: float, slots: int) -> Scenario:
    """Read the options. Raises `CliError`."""
    return Scenario(_kinds(texts), checked("--think", think_s), Quota(checked("--rpm", rpm), checked("--tpm", tpm)), slots)


def _kinds(texts: Texts) -> list[Kind]:
    mix = _numbers("--mix", texts.mix)
    if not mix:
        raise CliError("--mix names no kind of request", hint="for example --mix chat=60,workflow=25,build=15")
    if len(mix) > MOST_KINDS:
        raise CliError(f"--mix names {len(mix)} kinds of requests; {MOST_KINDS} are the most")
    calls = _profile("--calls", texts.calls, CALLS, mix)
    seconds = _profile("--seconds", texts.seconds, SECONDS, mix)
    tokens = _profile("--tokens", texts.tokens, TOKENS, mix)
    priorities = _priorities(texts.priority, mix)
    patience = {**PATIENCE, **_numbers("--patience", texts.patience)}
    _known("--patience", patience, PATIENCE)
    return [
        Kind(
            name,
            share / sum(mix.values()),
            calls[name],
            seconds[name],
            tokens[name],
            priorities[name],
            patience[priorities[name].name.lower()],
        )
        for name, share in mix.items()
    ]


def _profile(option: str, text: str, defaults: Mapping[str, float], mix: Iterable[str]) -> dict[str, float]:
    """A number for each kind of the mix: as given, or else its default."""
    given = _numbers(option, text)
    _known(option, given, mix)
    missing = [name for name in mix if name not in given and name not in defaults]
    if missing:
        known = ", ".join(defaults)
        raise CliError(
            f"--mix names {missing[0]!r}, of which nothing is known", hint=f"add {option} {missing[0]}=…; known are {known}"
        )
    return {name: given.get(name, defaults.get(name, 0.0)) for name in mix}


def _priorities(text: str, mix: Iterable[str]) -> dict[str, Priority]:
    given = dict(_pairs("--priority", text))
    _known("--priority", given, mix)
    for name, value in given.items():
        if value.upper() not in Priority.__members__:
            raise CliError(f"--priority {name}={value} is none of {', '.join(PATIENCE)}")
    return {
        name: Priority[given[name].upper()] if name in given else PRIORITIES.get(name, Priority.STANDARD) for name in mix
    }


def _known(option: str, given: Iterable[str], known: Iterable[str]) -> None:
    names = list(known)
    for name in given:
        if name not in names:
            raise CliError(f"{option} names {name!r}, which is none of {', '.join(names)}")


def _numbers(option: str, text: str) -> dict[str, float]:
    return {name: checked(option, _number(option, name, value), name) for name, value in _pairs(option, text)}


def _number(option: str, name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise CliError(f"{option} {name}={value} is not a number") from None


def _pairs(option: str, text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not (name and equals and value):
            raise CliError(f"{option} {pair!r} is not KIND=VALUE", hint=f"several are written {option} chat=…,build=…")
        if not _NAME.fullmatch(name):
            raise CliError(f"{option} {name!r} is no name: 1 to 40 letters, digits, _ and - are")
        if name in dict(found):
            raise CliError(f"{option} names {name!r} twice")
        found.append((name, value))
    return found


def checked(option: str, value: float, name: str = "") -> float:
    """The value of an option, of its part `name` if it has parts. Raises `CliError` when it is out of `RANGES`."""
    least, most = RANGES[option]
    if not least <= value <= most:
        what = f"{option} {name}={value:g}" if name else f"{option} {value:g}"
        raise CliError(f"{what} is not from {least:g} to {most:g}")
    return value
