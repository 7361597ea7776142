"""The tools that a request names: one by one, all of a connector as `CONNECTOR.*`, or all that there are as `*`. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from headrace_blueprint.faults import Fault, pointer
from headrace_blueprint.model import MAX_TOOLS
from headrace_blueprint.shapes import nearest

ALL = "*"
OF_CONNECTOR = ".*"
MAX_SHOWN = 64
"""Characters of a name that a fault shows."""


@dataclass(frozen=True, slots=True)
class Named:
    """What a request's names stand for."""

    names: tuple[str, ...]
    """Each tool once, in the order of the request; those of a wildcard in the order of `known`."""
    unknown: tuple[str, ...] = ()
    """Names that stand for nothing."""
    faults: tuple[Fault, ...] = ()
    """What is wrong, with a hint; pointers begin with /tools."""


def read(names: Sequence[str], known: Collection[str]) -> Named:
    """What `names` stand for among the tools of a tenant, `known`, the built-in ones included."""
    found: dict[str, None] = {}
    unknown, faults = [], []
    for index, name in enumerate(names):
        these = _of(name, known)
        found |= dict.fromkeys(these)
        if not these:
            unknown.append(name)
            faults.append(_unknown(index, name, known))
    return Named(tuple(found), tuple(unknown), tuple(faults))


def for_a_model(names: Sequence[str], known: Collection[str]) -> Named:
    """Like `read`, with a fault when these are more tools than one model may be given."""
    wanted = read(names, known)
    if len(wanted.names) <= MAX_TOOLS:
        return wanted
    message = f"these are {len(wanted.names)} tools, and a model is given at most {MAX_TOOLS}"
    return replace(wanted, faults=(*wanted.faults, Fault("/tools", message, "name those that it needs")))


def _of(name: str, known: Collection[str]) -> Sequence[str]:
    if name == ALL:
        return list(known)
    if name.endswith(OF_CONNECTOR):
        return [one for one in known if one.startswith(name.removesuffix("*"))]
    return [name] if name in known else []


def _unknown(index: int, name: str, known: Collection[str]) -> Fault:
    place = pointer(("tools", index))
    if name.endswith(OF_CONNECTOR):
        connectors = {f"{one.partition('.')[0]}{OF_CONNECTOR}" for one in known if "." in one}
        return Fault(place, f"there are no tools {name[:MAX_SHOWN]!r}", nearest(name, connectors))
    return Fault(place, f"there is no tool {name[:MAX_SHOWN]!r}", nearest(name, known))
