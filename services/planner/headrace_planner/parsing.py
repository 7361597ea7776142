"""What a model wrote, read as a draft. Pure. Only what can be meant in one way is mended; the rest is a fault to repair.

Models put words around their JSON, leave a comma at a list's end, write other templates' references, capitals in names and
keys that the language does not have. Asking again for these costs a call of the quota and often brings them again.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from headrace_blueprint.faults import Fault
from headrace_blueprint.model import NODE_TYPES, field_names

from headrace_planner.drafts import fresh

MAX_CHARS = 65_536
"""Longest answer that is looked through."""
MAX_DEPTH = 32
"""Deepest JSON that is read."""
MAX_TITLE = 60
MAX_NAME = 20

Json = Any
Node = dict[str, Any]

_ID = re.compile(r"[a-z][a-z0-9_]{0,19}")
_PART = r"[^\s.{}\[\]$()\"',;:!?，。；：！？、（）]+"
_PATH = rf"{_PART}(?:\.{_PART}|\[\d{{1,3}}\])*"
_MARKED = re.compile(rf"\{{\{{\s*({_PATH})\s*\}}\}}|\$?\$\{{\s*({_PATH})\s*\}}|\$((?:nodes|inputs)\.{_PATH})")
_STEP = re.compile(rf"\.?({_PART})|(\[\d+\])")
_FOUND = frozenset({"chunks", "entities", "relations", "text"})
"""What the output of a search has."""
_KEYS = frozenset(name for kind in NODE_TYPES.values() for name in field_names(kind)) - {"needs"} | {"title", "then"}
"""Keys that mean something in some node. `needs` does not: a draft's order is that of its references."""
_CEL = ("expr", "when")
_TEXTS = ("prompt", "query", "args", "over")

NO_JSON = Fault("", "there is no JSON object in the answer", "write the JSON object and nothing else")
CUT_OFF = Fault("", "the JSON ends before it is whole", "write fewer nodes and shorter prompts, without line breaks")


class _Plain(yaml.SafeLoader):
    """Reads what is nearly JSON: commas at the end, single quotes. No aliases: a few of them can be gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """See PyYAML. Raises `yaml.YAMLError`."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias")
        return super().compose_node(parent, index)


def document(text: str) -> tuple[Json, Sequence[Fault]]:
    """The JSON object of an answer, and why there is none."""
    text = text[:MAX_CHARS]
    spans, cut = _objects(text)
    for span in sorted(spans, key=len, reverse=True):
        if isinstance(value := _loaded(span), dict):
            return value, ()
    return None, (CUT_OFF if cut else NO_JSON,)


def draft(value: Mapping[str, Json]) -> Json:
    """A draft in the planner's own language, as far as it is clear what is meant."""
    nodes = _nodes(value.get("nodes"))
    if nodes is None:
        return value
    names = _names(nodes)
    kinds = {names[str(node["id"])]: str(node.get("kind")) for node in nodes if "id" in node}
    made = [_node(node, names, kinds) for node in nodes]
    titles = (str(node["title"]) for node in made if "title" in node)
    name = value.get("name") or next(titles, "Plan")
    return {"name": name[:MAX_TITLE] if isinstance(name, str) else name, "nodes": made}


def _objects(text: str) -> tuple[list[str], bool]:
    """The outermost `{…}` of a text, and whether one has no end. Braces inside strings do not count."""
    spans, depth, start, quoted, at = [], 0, 0, False, 0
    while at < len(text):
        char = text[at]
        if quoted:
            at += char == "\\"
            quoted = char != '"'
        elif char == '"' and depth:
            quoted = True
        elif char in "{[" and (depth or char == "{"):
            start, depth = (at, 1) if not depth else (start, depth + 1)
        elif char in "}]" and depth:
            depth -= 1
            if not depth:
                spans.append(text[start : at + 1])
        at += 1
    return spans, depth > 0


def _loaded(text: str) -> Json:
    """A text's value; None for what is no JSON, nor nearly."""
    if _depth(text) > MAX_DEPTH:
        return None
    try:
        return json.loads(text, strict=False)  # line breaks inside strings are taken
    except ValueError:
        pass
    try:
        value = yaml.load(text, _Plain)  # noqa: S506 - a SafeLoader
        return json.loads(json.dumps(value))
    except (yaml.YAMLError, ValueError, TypeError):
        return None


def _depth(text: str) -> int:
    depth = most = 0
    for char in text:
        depth += (char in "{[") - (char in "}]")
        most = max(most, depth)
    return most


def _nodes(value: Json) -> list[Node] | None:
    """The nodes as a list; an object's keys are their ids. None for anything else."""
    if isinstance(value, Mapping) and all(isinstance(one, Mapping) for one in value.values()):
        value = [{"id": name, **one} for name, one in value.items()]
    if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
        return None
    return [_flat(dict(one)) for one in value]


def _flat(node: Node) -> Node:
    """A node with its kind under `kind`, and what its map runs in itself."""
    kind = node.pop("type", None) if "kind" not in node else node["kind"]
    if isinstance(kind, str):
        node["kind"] = kind.strip().lower()
    inner = node.get("node")
    if node.get("kind") == "map" and isinstance(inner, Mapping) and inner.get("kind", "compose") in ("compose", "data"):
        item = node.pop("as", None)
        taken = {key: one for key, one in inner.items() if key not in ("id", "kind", "on_error")}
        if isinstance(item, str):
            taken = _replaced(taken, lambda text: re.sub(rf"\$\{{\s*{re.escape(item)}\b", "${item", text))
        node = {**{key: one for key, one in node.items() if key not in ("node", "max", "concurrency")}, **taken}
    return node


def _names(nodes: Sequence[Node]) -> Mapping[str, str]:
    """Each id as the language writes it."""
    ids = dict.fromkeys(str(node["id"]) for node in nodes if "id" in node)
    taken = {one for one in ids if _ID.fullmatch(one)}
    names = {}
    for one in ids:
        names[one] = one
        if one not in taken:
            bare = re.sub(r"[^a-z0-9_]+", "_", one.lower()).strip("_")
            bare = bare if bare[:1].isalpha() else f"node_{bare}".strip("_")
            names[one] = fresh(bare[: MAX_NAME - 3 if bare[:MAX_NAME] in taken else MAX_NAME], taken)
            taken.add(names[one])
    return names


def _node(node: Node, names: Mapping[str, str], kinds: Mapping[str, str]) -> Node:
    made = {key: one for key, one in node.items() if key in _KEYS}
    kind = made.get("kind")
    if "id" in made:
        made["id"] = names[str(made["id"])]
    if made.get("on_error") == "fail" or made.get("on_error", "") is None:
        del made["on_error"]
    for key in _TEXTS:
        if key in made:
            made[key] = _replaced(made[key], lambda text: _referring(text, names, kinds))
    for key in _CEL:
        if isinstance(made.get(key), str):
            made[key] = _bare(made[key], names, kinds)
    if kind == "map" and isinstance(made.get("over"), str):
        path = _meant(made["over"], names, kinds) if re.fullmatch(_PATH, made["over"]) else None
        made["over"] = f"${{{path}}}" if path else made["over"]
    if kind == "branch":
        made |= {way: _renamed(made.get(way, []), names) for way in ("then", "else")}
    if kind == "data":
        made.setdefault("args", {})
    if "prompt" in made and kind in ("compose", "map"):
        title = made.get("title") or str(made.get("id", "")).replace("_", " ").capitalize()
        made["title"] = title[:MAX_TITLE] if isinstance(title, str) else title
    return made


def _renamed(value: Json, names: Mapping[str, str]) -> Json:
    ids = [value] if isinstance(value, str) else value
    return [names.get(str(one), one) for one in ids] if isinstance(ids, list) else ids


def _replaced(value: Json, replace: Any) -> Json:
    """A value with each of its strings replaced."""
    if isinstance(value, str):
        return replace(value)
    if isinstance(value, Mapping):
        return {key: _replaced(one, replace) for key, one in value.items()}
    return [_replaced(one, replace) for one in value] if isinstance(value, list) else value


def _referring(text: str, names: Mapping[str, str], kinds: Mapping[str, str]) -> str:
    """A text whose references are written as the language writes them; what is none of them stays."""

    def one(match: re.Match[str]) -> str:
        path = _meant(next(group for group in match.groups() if group), names, kinds)
        return match[0] if path is None or match[0].startswith("$$") else f"${{{path}}}"

    return _MARKED.sub(one, text)


def _bare(expression: str, names: Mapping[str, str], kinds: Mapping[str, str]) -> str:
    """An expression without the braces of references."""
    for old, new in sorted(names.items(), key=lambda pair: -len(pair[0])):
        if old != new:
            expression = expression.replace(f"nodes.{old}.", f"nodes.{new}.")

    def one(match: re.Match[str]) -> str:
        path = _meant(next(group for group in match.groups() if group), names, kinds)
        return match[0] if path is None else path

    return _MARKED.sub(one, expression)


def _meant(path: str, names: Mapping[str, str], kinds: Mapping[str, str]) -> str | None:
    """The path that is meant; None where that is not clear."""
    steps = [name or index for name, index in _STEP.findall(path)]
    if steps[0] in ("inputs", "item"):
        return path
    if steps[0] in ("message", "entities"):
        return f"inputs.{path}" if steps[0] not in names else None
    if steps[0] == "nodes":
        steps = steps[1:]
    node = names.get(steps[0], steps[0]) if steps else ""
    if node not in kinds:
        return None
    rest = steps[1:]
    if not rest or (kinds[node] == "retrieve" and rest[0] in _FOUND):
        rest = ["output", *rest]
    return f"nodes.{node}" + "".join(one if one.startswith("[") else f".{one}" for one in rest)
