"""Random blueprints of every kind of node, the faults that strike them, and an oracle that runs them one after the other.

A node's text begins with its path, so that whoever is called knows who calls, and whether it is to fail. The oracle shares
no code with the engine.
"""

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from hypothesis import strategies as st

Json = Any
ITEMS = ["0", "1", "2", "3"]
"""What maps run over: each item is its own index, which makes paths of them."""
DEFAULT_ITEMS = ["0", "1"]
INPUTS: Mapping[str, Json] = {"tag": "", "yes": True, "no": False, "items": ITEMS}
SCHEMA: Mapping[str, Json] = {
    "type": "object",
    "properties": {
        "tag": {"type": "string"},
        "yes": {"type": "boolean", "default": True},
        "no": {"type": "boolean", "default": False},
        "items": {"type": "array", "default": DEFAULT_ITEMS},
    },
    "required": ["tag"],
    "additionalProperties": False,
}
_CONDITIONS = {"yes": "inputs.yes", "no": "inputs.no", "item": "item == '1'", "bad": "inputs.tag"}
COMPOSE_ATTEMPTS = 2
"""Of a compose node without a policy of its own."""


@dataclass(frozen=True)
class Spec:
    """One node."""

    id: str
    kind: str
    needs: tuple[str, ...] = ()
    when: str = ""
    """A key of `_CONDITIONS`, or null:ID."""
    optional: bool = False
    attempts: int = 0
    """0: no policy."""
    broken: bool = False
    """Of a compute: it divides by zero. Of a map: it runs over no list."""
    json: bool = False
    """Of a compose: it has a schema."""
    cases: tuple[tuple[str, tuple[str, ...]], ...] = ()
    otherwise: tuple[str, ...] = ()
    inner: "Spec | None" = None
    most: int = 50
    concurrency: int = 4
    workflow: str = ""
    given_items: bool = False
    """Of a flow: whether it hands its items on, or leaves the default."""

    def all_needs(self) -> frozenset[str]:
        """What it waits for, but for branches that guard it."""
        named = [condition for condition in (self.when, *(when for when, _ in self.cases)) if condition.startswith("null:")]
        inner = self.inner.all_needs() if self.inner else frozenset()
        return frozenset(self.needs) | {one.removeprefix("null:") for one in named} | inner


@dataclass(frozen=True)
class Graph:
    """One blueprint: its nodes in an order that respects their needs, and the order in which the document has them."""

    specs: tuple[Spec, ...]
    order: tuple[int, ...]
    slots: tuple[str, ...] = ()

    def guards(self, name: str) -> list[str]:
        """The branches that choose whether a node runs."""
        return [one.id for one in self.specs if name in {*one.otherwise, *(n for _, then in one.cases for n in then)}]

    def spec(self, name: str) -> Spec:
        """One of its nodes."""
        return next(one for one in self.specs if one.id == name)

    def needs(self, name: str) -> frozenset[str]:
        """What a node waits for."""
        return self.spec(name).all_needs() | frozenset(self.guards(name))

    def document(self) -> Json:
        """The blueprint."""
        nodes = [_node(self.specs[index], inside=False) for index in self.order]
        layout = (
            {"layout": [{"slot": f"s_{name}", "title": name, "node": name} for name in self.slots]} if self.slots else {}
        )
        output = f"${{nodes.{self.specs[-1].id}.output}}"
        return {"version": 1, "name": "random", "inputs": SCHEMA, "nodes": nodes, "output": output, **layout}


@dataclass(frozen=True)
class Case:
    """A blueprint, the saved workflows that it may use, and the faults that strike their nodes."""

    graph: Graph
    workflows: Mapping[str, Graph]
    faults: "Faults"


@dataclass(frozen=True)
class Faults:
    """What goes wrong, by path, the same for each owner of the run."""

    seed: int
    share: float

    def of(self, path: str) -> tuple[str, int]:
        """ok; passing with how many attempts break off; final; hanging."""
        chance = random.Random(f"{self.seed} {path}")
        if chance.random() >= self.share:
            return "ok", 0
        return chance.choice(["passing", "passing", "final", "hanging"]), chance.randint(1, 3)


def _condition(when: str) -> str:
    return _CONDITIONS.get(when) or f"nodes.{when.removeprefix('null:')}.output == null"


def _node(spec: Spec, *, inside: bool) -> dict[str, Json]:
    outer = spec.id.removesuffix("i")
    path = f"${{inputs.tag}}{outer}[${{item}}]" if inside else f"${{inputs.tag}}{spec.id}"
    text = " ".join([path, *(f"${{nodes.{need}.output}}" for need in spec.needs)])
    node: dict[str, Json] = {"id": spec.id, "kind": spec.kind}
    node |= {"when": _condition(spec.when)} if spec.when else {}
    node |= {"on_error": "continue"} if spec.optional else {}
    node |= {"retry": {"attempts": spec.attempts, "backoff_s": 2}} if spec.attempts else {}
    match spec.kind:
        case "compute":
            cel_path = f"inputs.tag + '{outer}[' + item + ']'" if inside else f"inputs.tag + '{spec.id}'"
            seen = ", ".join(f"nodes.{need}.output" for need in spec.needs)
            expr = f"[{cel_path}, [{seen}]]"
            return {**node, "expr": f"[{expr}, 1 / (size(inputs.items) * 0)]" if spec.broken else expr}
        case "compose":
            return {**node, "prompt": text, **({"schema": {"type": "object"}} if spec.json else {})}
        case "data":
            return {**node, "tool": "search", "args": {"query": text}}
        case "retrieve":
            return {**node, "query": text}
        case "branch":
            cases = [{"when": _condition(when), "then": list(then)} for when, then in spec.cases]
            return {**node, "needs": list(spec.needs), "cases": cases, "else": list(spec.otherwise)}
        case "flow":
            items = {"items": "${inputs.items}"} if spec.given_items else {}
            return {**node, "needs": list(spec.needs), "workflow_id": spec.workflow, "inputs": {"tag": f"{path}/", **items}}
    assert spec.inner is not None
    over = "${inputs.tag}" if spec.broken else "${inputs.items}"
    shape = {"over": over, "max": spec.most, "concurrency": spec.concurrency, "node": _node(spec.inner, inside=True)}
    return {**node, "needs": list(spec.needs), **shape}


# The oracle


class Failed(Exception):
    """Nodes that fail for good, by their paths: which of them is met first is chance."""

    def __init__(self, paths: set[str]) -> None:
        self.paths = paths


@dataclass
class Oracle:
    """Runs a case's nodes one after the other, as the language says."""

    case: Case
    gaps: set[str] = field(default_factory=set)

    def run(self) -> dict[str, Json]:
        """All outputs. Raises `Failed`."""
        return self._graph(self.case.graph, "", ITEMS)

    def _graph(self, graph: Graph, tag: str, items: list[str]) -> dict[str, Json]:
        outputs: dict[str, Json] = {}
        failed: set[str] = set()
        dead: set[str] = set()
        for spec in graph.specs:
            if graph.needs(spec.id) & dead:
                dead.add(spec.id)
                continue
            guards = [outputs[name] for name in graph.guards(spec.id)]
            if guards and not any(spec.id in one["then"] for one in guards if one):
                outputs[spec.id] = None
                continue
            try:
                outputs[spec.id] = self._node(spec, f"{tag}{spec.id}", outputs, tag, items, item=None)
            except Failed as failure:
                failed |= failure.paths
                dead.add(spec.id)
        if failed:
            raise Failed(failed)
        return outputs

    def _node(
        self, spec: Spec, path: str, outputs: Mapping[str, Json], tag: str, items: list[str], item: str | None
    ) -> Json:
        try:
            return self._value(spec, path, outputs, tag, items, item) if _holds(spec.when, outputs, item, path) else None
        except Failed:
            if not spec.optional:
                raise
            self.gaps = {one for one in self.gaps if not one.startswith((f"node:{path}[", f"node:{path}/"))}
            self.gaps.add(f"node:{path}")
            return None

    def _value(
        self, spec: Spec, path: str, outputs: Mapping[str, Json], tag: str, items: list[str], item: str | None
    ) -> Json:
        text = " ".join([path, *(_text(outputs[need]) for need in spec.needs)])
        match spec.kind:
            case "compute" if not spec.broken:
                return _sorted([path, [outputs[need] for need in spec.needs]])
            case "compose":
                self._strike(path, attempts=spec.attempts or COMPOSE_ATTEMPTS)
                return {"said": said(text)} if spec.json else said(text)
            case "data" | "retrieve":
                self._strike(path, attempts=99)  # the service's absence is waited out
                return found(text)
            case "branch":
                for index, (when, then) in enumerate(spec.cases):
                    if _holds(when, outputs, None, path):
                        return {"case": index, "then": list(then)}
                return {"case": None, "then": list(spec.otherwise)}
            case "flow":
                given = items if spec.given_items else DEFAULT_ITEMS
                workflow = self.case.workflows[spec.workflow]
                return self._graph(workflow, f"{path}/", given)[workflow.specs[-1].id]
            case "map" if not spec.broken and len(items) <= spec.most and spec.inner is not None:
                return self._items(spec.inner, path, outputs, tag, items)
        raise Failed({path})

    def _items(self, inner: Spec, path: str, outputs: Mapping[str, Json], tag: str, items: list[str]) -> Json:
        values, failed = [], set()
        for one in items:
            try:
                values.append(self._node(inner, f"{path}[{one}]", outputs, tag, items, one))
            except Failed as failure:
                failed |= failure.paths
        if failed:
            raise Failed(failed)
        return values

    def _strike(self, path: str, *, attempts: int) -> None:
        kind, count = self.case.faults.of(path)
        if kind in ("final", "hanging") or (kind == "passing" and count >= attempts):
            raise Failed({path})


def _holds(when: str, outputs: Mapping[str, Json], item: str | None, path: str) -> bool:
    match when:
        case "" | "yes":
            return True
        case "no":
            return False
        case "item":
            return item == "1"
        case "bad":
            raise Failed({path})
    return outputs[when.removeprefix("null:")] is None


def _text(value: Json) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _sorted(value: Json) -> Json:
    """What went through an expression: its objects have their fields in order."""
    return orjson.loads(orjson.dumps(value, option=orjson.OPT_SORT_KEYS))


def said(prompt: str) -> str:
    """What the model answers."""
    return f"m{hashlib.sha256(prompt.encode()).hexdigest()[:8]}"


def found(query: str) -> Json:
    """What a search gives."""
    chunk = {"document_id": "d", "title": "T", "text": said(query), "score": 0.5}
    return {"chunks": [chunk], "entities": [], "relations": [], "text": f"[1] T\n{said(query)}"}


# The generator

_LEAVES = ("compute", "compose", "data", "retrieve")


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Random blueprints and faults."""
    workflows: dict[str, Graph] = {}
    for name in ("w0", "w1")[: draw(st.integers(0, 2))]:
        workflows[name] = draw(_graphs(3, tuple(workflows)))
    faults = Faults(draw(st.integers(0, 2**16)), draw(st.sampled_from([0.0, 0.15, 0.4])))
    graph = draw(_graphs(7, tuple(workflows)))
    names = [one.id for one in graph.specs]
    slots = draw(st.lists(st.sampled_from(names), unique=True, max_size=4))
    return Case(replace(graph, slots=tuple(slots)), workflows, faults)


@st.composite
def _graphs(draw: st.DrawFn, most: int, workflows: Sequence[str]) -> Graph:
    names = [f"n{index}" for index in range(draw(st.integers(1, most)))]
    specs = tuple(draw(_specs(name, names[:at], names[at + 1 :], workflows)) for at, name in enumerate(names))
    return Graph(specs, tuple(draw(st.permutations(range(len(specs))))))


@st.composite
def _specs(draw: st.DrawFn, name: str, before: list[str], behind: list[str], workflows: Sequence[str]) -> Spec:
    kinds = [*_LEAVES, "map", "map"] + (["branch", "branch"] if behind else []) + (["flow", "flow"] if workflows else [])
    kind = draw(st.sampled_from(kinds))
    spec = draw(_basics(name, kind, before))
    match kind:
        case "map":
            inner_kind = draw(st.sampled_from([*_LEAVES, *(["flow"] if workflows else [])]))
            inner = draw(_basics(f"{name}i", inner_kind, before))
            inner = replace(inner, when=draw(st.sampled_from(["", "", "item", "yes"])))
            inner = replace(inner, workflow=draw(st.sampled_from(workflows))) if inner_kind == "flow" else inner
            most = draw(st.sampled_from([50, 50, 50, 2]))
            return replace(spec, inner=inner, most=most, concurrency=draw(st.integers(1, 3)))
        case "flow":
            return replace(spec, workflow=draw(st.sampled_from(workflows)), given_items=draw(st.booleans()))
        case "branch":
            some = st.lists(st.sampled_from(behind), unique=True, max_size=2).map(tuple)
            ways = draw(st.lists(st.tuples(st.sampled_from(_whens(before)[1:]), some), min_size=1, max_size=2))
            return replace(spec, cases=tuple(ways), otherwise=draw(some))
    return spec


@st.composite
def _basics(draw: st.DrawFn, name: str, kind: str, before: list[str]) -> Spec:
    needs = draw(st.lists(st.sampled_from(before), max_size=2, unique=True)) if before else []
    return Spec(
        id=name,
        kind=kind,
        needs=tuple(needs),
        when=draw(st.sampled_from(["", "", "", *_whens(before)])),
        optional=draw(st.sampled_from([False, True])),
        attempts=draw(st.sampled_from([0, 0, 1, 3])) if kind == "compose" else 0,
        broken=kind in ("compute", "map") and draw(st.integers(0, 9)) == 9,
        json=kind == "compose" and draw(st.booleans()),
    )


def _whens(before: list[str]) -> list[str]:
    return ["", "yes", "yes", "no", *(["bad"] if len(before) == 3 else []), *(f"null:{name}" for name in before[:1])]
