"""Changes one value of a JSON document, so that most of what comes out still looks like a blueprint."""

import random
from typing import Any

import orjson

Json = Any

# fmt: off
VALUES: tuple[Json, ...] = (
    None, True, False, 0, 1, -1, 2, 200, 201, 2**63, 1.5, 1e308, "", "x", [], {}, [[]], {"a": {}}, "\x00", "学", "a" * 65,
    "${inputs.n}", "${nodes.a.output}", "${nodes.a}", "${item}", "${", "$${", "${}", "${a b}", "${nodes.zz.output.x[0]}",
    "inputs.n > 1", "nodes.a.output.b", "item.x", "1 +", "-1-1-1", "(((", "size(inputs.l)", "inputs.l.map(x, x)", "'",
    "r'\\", "a", "b", "n1", "item", "nodes", "inputs", "data", "retrieve", "compute", "compose", "branch", "map", "flow",
    "loop", "calculator", "time", "search", "report", "continue", "fail", ["a", "b"], ["time"], {"expression": "1"},
    {"query": "x"}, {"type": ["null", "null"]},
    {"type": "object", "properties": {"a": {"type": "string"}}}, {"$ref": "#"}, {"pattern": "("},
    {"attempts": 2, "backoff_s": 0}, [{"when": "true", "then": ["a"]}], [{"slot": "s", "title": "t", "node": "a"}],
    {"id": "zz", "kind": "compute", "expr": "1"}, {"id": "zz", "kind": "map", "over": "${inputs.l}", "node": {"id": "y"}},
)
NAMES = (
    "id", "kind", "needs", "when", "timeout_s", "retry", "on_error", "tool", "args", "query", "workspace", "mode", "top_k",
    "expr", "prompt", "model", "schema", "max_tokens", "tools", "max_iterations", "cases", "else", "then", "workflow_id",
    "inputs", "over", "as", "max", "concurrency", "node", "version", "name", "nodes", "layout", "output", "slot", "title",
    "properties", "type", "items", "required", "additionalProperties", "enum", "not", "anyOf", "$ref", "pattern", "~/", "",
)
# fmt: on


def mutated(data: bytes, rng: random.Random) -> bytes | None:
    """The document with some values changed; None when it is no JSON object or list."""
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(document, dict | list):
        return None
    try:
        for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
            _change(document, rng)
        return orjson.dumps(document)
    except TypeError:  # an integer that JSON cannot carry, or too deep
        return None


def _change(document: Json, rng: random.Random) -> None:
    holders = _holders(document)
    holder = rng.choice(holders)
    keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    what = rng.randrange(6)
    if not keys or what == 0:
        value = _value(holders, rng)
        if isinstance(holder, dict):
            holder[rng.choice(NAMES)] = value
        else:
            holder.insert(rng.randint(0, len(holder)), value)
        return
    key = rng.choice(keys)
    if what == 1:
        del holder[key]
    elif what == 2 and isinstance(holder[key], str):
        holder[key] = (holder[key] + str(rng.choice(VALUES)))[: rng.choice((8, 64, 5000))]
    elif what == 3 and isinstance(holder, list):
        holder.extend(_copied(holder[key], number) for number in range(rng.choice((1, 2, 50))))
    else:
        holder[key] = _value(holders, rng)


def _holders(document: Json) -> list[Json]:
    found = [document]
    for one in found:  # grows while it is read
        found += [item for item in (one.values() if isinstance(one, dict) else one) if isinstance(item, dict | list)]
    return found


def _value(holders: list[Json], rng: random.Random) -> Json:
    value = rng.choice(VALUES) if rng.random() < 0.7 else rng.choice(holders)
    return _copied(value, None)


def _copied(value: Json, number: int | None) -> Json:
    """A copy, a node under an id of its own."""
    copy = orjson.loads(orjson.dumps(value)) if not isinstance(value, int) else value
    if number is not None and isinstance(copy, dict) and isinstance(copy.get("id"), str):
        copy["id"] = f"{copy['id'][:50]}_{number}"
    return copy
