"""The costliest blueprints that we can think of: each fills one limit of the language, or goes one past it."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import orjson

from tests.unit.headrace_blueprint.documents import blueprint, compose

Json = Any

NODES = 200
SIMILAR = [f"{'a' * 59}{index:04d}" for index in range(NODES)]
"""Ids that are hard to tell apart: the nearest name of a wrong one takes longest to find."""


def documents() -> Mapping[str, bytes]:
    """Each as a stranger would send it."""
    return {name: orjson.dumps(make()) for name, make in DOCUMENTS.items()} | RAW


def each(make: Callable[[int], Mapping[str, Json]], **fields: Json) -> Json:
    """A blueprint of 200 nodes, the first without needs."""
    return blueprint(*(make(index) for index in range(NODES)), **fields)


def cel(index: int, source: str, **fields: Json) -> Mapping[str, Json]:
    """A compute node."""
    return {"id": f"n{index}", "kind": "compute", "expr": source, **fields}


def data(index: int, tool: str, **args: Json) -> Mapping[str, Json]:
    """A data node."""
    return {"id": f"n{index}", "kind": "data", "tool": tool, "args": args}


def nested(depth: int, value: Json) -> Json:
    """A value in that many lists."""
    for _ in range(depth):
        value = [value]
    return value


def below(depth: int, name: str, value: Json) -> Json:
    """A value in that many objects."""
    for _ in range(depth):
        value = {name: value}
    return value


def legal() -> Json:
    """As long as a person's largest could be: every node with a condition, references and a branch now and then."""
    text = "Write about ${nodes.n%d.output.title} and ${nodes.n%d.output} for ${inputs.message}."
    nodes: list[Mapping[str, Json]] = [compose("n0")]
    for index in range(1, NODES):
        near = max(0, index - 7)
        nodes.append(
            compose(
                f"n{index}", text % (near, index // 2), when=f"nodes.n{index // 2}.output != null && inputs.n > {index}"
            )
        )
    return blueprint(*nodes)


def dense() -> Json:
    """Every node needs all before it, in each way there is."""
    names = [f"n{index}" for index in range(NODES)]
    return blueprint(*(compose(name, needs=names[:index]) for index, name in enumerate(names)))


def guards() -> Json:
    """As many branches as fit, each of which guards what comes after it."""
    names = [f"n{index}" for index in range(NODES)]
    ways = [{"when": "true", "then": names[100:]}] * 20
    return blueprint(
        *({"id": name, "kind": "branch", "cases": ways} for name in names[:100]), *(compose(name) for name in names[100:])
    )


def cases() -> Json:
    """Thousands of short conditions, no two the same."""
    return each(
        lambda i: {"id": f"n{i}", "kind": "branch", "cases": [{"when": f"{i * 20 + k} > 1", "then": []} for k in range(20)]}
    )


def objects(count: int) -> Json:
    """A schema of many properties."""
    return {"type": "object", "properties": {f"p{index}": {"type": "string"} for index in range(count)}}


def maps() -> Json:
    """Maps, each over the same, with a condition inside."""
    return each(
        lambda i: {
            "id": f"n{i}",
            "kind": "map",
            "over": "${inputs.message}",
            "node": compose(f"m{i}", f"${{item.a{i}}} ${{nodes.n{i // 2}.output}}" if i else "x", when=f"item > {i}"),
        }
    )


def inputs_of(value: Json) -> Json:
    """A flow node that is given a large value."""
    return blueprint({"id": "x", "kind": "flow", "workflow_id": "w", "inputs": {"a": value}})


def cycles() -> Json:
    """All nodes wait for each other."""
    names = [f"n{index}" for index in range(NODES)]
    return blueprint(*(compose(name, needs=names) for name in names))


def wrong(source: str) -> Json:
    """Many wrong expressions that begin alike."""
    return each(lambda i: cel(i, f"{source} /*{i}"))


def together() -> Json:
    """The costliest things at once, as many as fit, and not so many faults that the rest is left unread."""
    nodes: list[Mapping[str, Json]] = []
    for index, name in enumerate(SIMILAR):
        text = "".join(f"${{nodes.{SIMILAR[0]}.output.x{index}_{number}}}" for number in range(9))
        source = "[" * 31 + str(index) + "]" * 31 if index < 60 else "{{{" + "[" * 7 + "{" * 18 + f"eee in {index}"
        when = {"when": source} if index < 72 else {}
        nodes.append(compose(name, text, needs=[f"{name}q", f"{name}z"], **when))
    nodes[-1] = {"id": "x", "kind": "flow", "workflow_id": "w", "inputs": {"a": [nested(55, 0)] * 200}}
    return blueprint(*nodes, inputs=objects(480))


def unfinished() -> Iterator[str]:
    """Sources that the engine's parser reads to the end before it gives up."""
    yield from ("(" * 32, "1+" * 299, "[" + "1," * 298, "a ? " * 32, "{" + "1:1," * 140, "f(" * 32 + "1", "1 " * 599)
    yield "[" * 8 + "in" * 30
    yield "[" * 31 + "inin"
    yield "1<-" * 250 + "("


DOCUMENTS: Mapping[str, Callable[[], Json]] = {
    "legal": legal,
    "prompts": lambda: each(lambda i: compose(f"n{i}", "x" * 5_000)),
    "references": lambda: each(lambda i: compose(f"n{i}", "${inputs.message}" * 9)),
    "distinct references": lambda: each(
        lambda i: compose(f"n{i}", "".join(f"${{inputs.message.x{i * 9 + k}}}" for k in range(9)))
    ),
    "wrong references": lambda: each(
        lambda i: compose(f"n{i}", "".join(f"${{nodes.{name}q.output}}" for name in SIMILAR[:60]))
    ),
    "wrong names": lambda: blueprint(*(compose(name, needs=[f"{name[1:]}b"] * 20) for name in SIMILAR)),
    "wrong roots": lambda: each(lambda i: compose(f"n{i}", "".join(f"${{{name}.x}}" for name in SIMILAR[:75]))),
    "malformed references": lambda: each(lambda i: compose(f"n{i}", "${" * 2_500)),
    "dollars": lambda: each(lambda i: compose(f"n{i}", "$" * 5_000)),
    "references in keys": lambda: each(lambda i: data(i, "calculator", **{f"${{a{k}}}": "${" for k in range(30)})),
    "references in args": lambda: each(lambda i: data(i, "calculator", expression=["${inputs.n}"] * 200)),
    "tokens": lambda: each(lambda i: cel(i, "+".join(["1"] * 290) + f"+{i}")),
    "few tokens": lambda: each(lambda i: cel(i, "+".join(["1"] * 15) + f"+{i}")),
    "minus": lambda: each(lambda i: cel(i, "1<-" * 190 + f"{i}")),
    "few minus": lambda: each(lambda i: cel(i, "1<-" * 2 + f"{i}")),
    "lists": lambda: each(lambda i: cel(i, "[" + ",".join(["1"] * 290) + f",{i}]")),
    "loops": lambda: each(lambda i: cel(i, f"inputs.l{i}" + ".map(x,x)" * 70)),
    "brackets": lambda: each(lambda i: cel(i, "(" * 31 + str(i) + ")" * 31)),
    "strings": lambda: each(lambda i: cel(i, f"'{i}" + "\\'" * 2_000 + "'")),
    "quotes": lambda: each(lambda i: cel(i, f"{i}" + "'" * 4_000)),
    "open quotes": lambda: each(lambda i: cel(i, f"{i}" + "'''\\" * 1_000)),
    "spaces": lambda: each(lambda i: cel(i, f"{i}" + " " * 4_000)),
    "comments": lambda: each(lambda i: cel(i, f"{i}" + "//\n" * 1_300)),
    "numbers": lambda: each(lambda i: cel(i, f"{i}" + "1e" * 2_000)),
    "names in cel": lambda: each(lambda i: cel(i, "+".join(f"nodes.{name}x.output" for name in SIMILAR[:40]))),
    "functions": lambda: each(lambda i: cel(i, "+".join(f"sizzle{i}x{k}(1)" for k in range(100)))),
    "cases": cases,
    "two conditions": lambda: each(lambda i: cel(i, f"{i}+0", when=f"{i}>0", needs=[])),
    **{f"unfinished {n}": partial(wrong, one) for n, one in enumerate(unfinished())},
    "together": together,
    "dense": dense,
    "guards": guards,
    "cycles": cycles,
    "schema": lambda: blueprint(compose("x"), inputs=objects(990)),
    "too large a schema": lambda: blueprint(compose("x"), inputs=objects(20_000)),
    "schemas": lambda: each(lambda i: compose(f"n{i}", schema=objects(4))),
    "wrong schema": lambda: blueprint(
        compose("x"), inputs={"properties": {f"p{i}": {"type": "strin"} for i in range(900)}}
    ),
    "schema of lists": lambda: blueprint(compose("x"), inputs={"anyOf": [{"enum": [[i]] * 190} for i in range(9)]}),
    "schema of types": lambda: blueprint(compose("x"), inputs={"allOf": [{"type": [{"a": i} for i in range(190)]}] * 3}),
    "schema of examples": lambda: blueprint(compose("x"), inputs={"examples": [[]] * 190, "default": nested(50, 1)}),
    "deep schema": lambda: each(lambda i: compose(f"n{i}", schema=deep_schema(50))),
    "args": lambda: each(lambda i: data(i, "search", query="x", top_k=i)),
    "many args": lambda: each(lambda i: data(i, "search", **{f"a{k}": k for k in range(40)})),
    "long args": lambda: each(lambda i: data(i, "search", query=[[]] * 400)),
    "long args of many": lambda: each(lambda i: data(i, "search", query="x", workspace=[[]] * 40)),
    "one long arg": lambda: blueprint(data(0, "search", query=[[]] * 19_000)),
    "unknown fields": lambda: each(lambda i: compose(f"n{i}", **{f"promp{k}": "1" for k in range(100)})),
    "unknown fields of one": lambda: blueprint(compose("x", **{f"promp{k}": "1" for k in range(9_000)})),
    "unknown root fields": lambda: blueprint(compose("x"), **{f"nod{k}": 1 for k in range(9_000)}),
    "wrong items": lambda: each(lambda i: compose(f"n{i}", needs=[0] * 200)),
    "wrong nodes": lambda: blueprint(compose("x")) | {"nodes": [0] * 19_000},
    "wrong kinds": lambda: each(lambda i: {"id": f"n{i}", "kind": "x" * 5_000}),
    "wrong ids": lambda: each(lambda i: compose("-" * 5_000)),
    "same ids": lambda: each(lambda i: compose("x")),
    "layout": lambda: blueprint(
        *(compose(name) for name in SIMILAR),
        layout=[{"slot": f"s{i}", "title": "t", "node": f"{name}q"} for i, name in enumerate(SIMILAR)],
    ),
    "wrong tools": lambda: each(lambda i: compose(f"n{i}", tools=[f"calculater{k}" for k in range(32)])),
    "wrong flows": lambda: each(lambda i: {"id": f"n{i}", "kind": "flow", "workflow_id": f"class-{i}", "inputs": {"a": i}}),
    "maps": maps,
    "values": lambda: inputs_of([0] * 50_000),
    "half of the values": lambda: inputs_of([0] * 19_900),
    "many objects": lambda: inputs_of([{"b": 0}] * 6_600),
    "deep": lambda: inputs_of([nested(55, 0)] * 350),
    "keys": lambda: inputs_of({f"{'k' * 15}{i}": 0 for i in range(9_000)}),
    "half of the values, referring": lambda: inputs_of([*["x"] * 19_000, "${inputs.message}"]),
    "deep references": lambda: inputs_of([nested(55, "${inputs.message}")] * 350),
    "long names": lambda: inputs_of({"k" * 500_000: ["${x}"] * 500}),
    "long pointers": lambda: inputs_of(below(55, "k" * 256, ["${x}"] * 500)),
    "long values": lambda: each(lambda i: data(i, "search", query=["x" * 2_000], top_k="x" * 2_000)),
    "long keys of args": lambda: each(lambda i: data(i, "search", query="x", **{f"{'k' * 240}{k}": 1 for k in range(4)})),
    "escapes": lambda: each(lambda i: compose(f"n{i}", "\x01" * 850)),
    "chinese": lambda: each(lambda i: compose(f"n{i}", "学" * 1_700)),
}

RAW: dict[str, bytes] = {
    "brackets alone": b"[" * 1_000_000,
    "closed brackets": b"[" * 500_000 + b"]" * 500_000,
    "a thousand levels": b"[" * 1_000 + b"]" * 1_000,
    "flat lists": b"[" + b"[]," * 349_000 + b"[]]",
    "digits": b"[" + b"1" * 1_000_000 + b"]",
    "one string": b'"' + b"x" * 1_000_000 + b'"',
    "escaped": b'"' + b"\\u0001" * 170_000 + b'"',
    "exponents": b"[" + b"1e9," * 260_000 + b"1]",
}


def deep_schema(depth: int) -> Json:
    """A schema in a schema in a schema."""
    schema: Json = {"type": "string"}
    for _ in range(depth // 2):
        schema = {"items": schema}
    return schema
