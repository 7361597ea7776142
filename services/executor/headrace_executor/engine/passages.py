"""What a search found, as prompts read it and as answers cite it. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from headrace_executor.model import Json
from headrace_executor.ports import Found

NOTHING = "(no passages were found)"
"""What a prompt reads when a search found nothing: a model told so invents less."""


def output(found: Found) -> Json:
    """The output of a search: {chunks, entities, relations, text}; `text` is for prompts, with numbered passages."""
    chunks = [{"document_id": p.document_id, "title": p.title, "text": p.text, "score": p.score} for p in found.chunks]
    lines = [f"[{number}] {p.title or p.document_id}\n{p.text.strip()}" for number, p in enumerate(found.chunks, 1)]
    lines += [f"{e['name']} ({e['kind']}): {e['description']}" for e in found.entities]
    lines += [f"{r['source']} – {r['target']}: {r['description']}" for r in found.relations]
    return {
        "chunks": chunks,
        "entities": list(found.entities),
        "relations": list(found.relations),
        "text": "\n\n".join(lines) or NOTHING,
    }


def citations(outputs: Iterable[Json]) -> Sequence[Mapping[str, Json]]:
    """The passages of several searches' outputs, each once, in their order."""
    seen: dict[tuple[str, str], Mapping[str, Json]] = {}
    for found in outputs:
        for chunk in found["chunks"] if found else ():
            seen.setdefault((chunk["document_id"], chunk["text"]), chunk)
    return list(seen.values())
