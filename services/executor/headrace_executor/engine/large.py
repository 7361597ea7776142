"""Values that are too large to be shown whole: by their size, their beginning, and the step that has them. Pure."""

from collections.abc import Mapping, Sequence

import orjson

from headrace_executor.model import Json

PREVIEW_CHARACTERS = 2_000
"""How much of a value that is too large its readers see."""
Path = Sequence[str | int]


def capped(value: Json, max_bytes: int, step: str = "") -> Json:
    """`value`, or {truncated, bytes, preview, step} when its JSON has more than `max_bytes`. `step` has it whole."""
    encoded = orjson.dumps(value)
    return value if len(encoded) <= max_bytes else _stand_in(value, encoded, step, PREVIEW_CHARACTERS)


def text(value: Json, max_bytes: int, step: str = "") -> str:
    """The JSON of what `capped` makes of a value."""
    encoded = orjson.dumps(value)
    if len(encoded) > max_bytes:
        encoded = orjson.dumps(_stand_in(value, encoded, step, PREVIEW_CHARACTERS))
    return encoded.decode()


def fitted(document: Json, steps: Mapping[tuple[str | int, ...], str], *, max_bytes: int) -> Json:
    """`document`, or a copy that has at most `max_bytes` of JSON, if the values that `steps` names leave room for it.

    `steps` says which values may be replaced, by their paths, and which step has each whole. The largest go first; where
    there are very many of them, their previews are cut too.
    """
    size = len(orjson.dumps(document))
    if size <= max_bytes:
        return document
    sizes = {path: len(orjson.dumps(_at(document, path))) for path in steps}
    largest = sorted(steps, key=lambda path: -sizes[path])
    shown = document
    for characters in (PREVIEW_CHARACTERS, PREVIEW_CHARACTERS // 10, 0):
        shown, left = orjson.loads(orjson.dumps(document)), size
        for path in largest:
            if left <= max_bytes:
                return shown
            value = _at(document, path)
            replaced = _stand_in(value, orjson.dumps(value), steps[path], characters)
            saved = sizes[path] - len(orjson.dumps(replaced))
            if saved > 0:
                _put(shown, path, replaced)
                left -= saved
    return shown


def _stand_in(value: Json, encoded: bytes, step: str, characters: int) -> Json:
    text = value if isinstance(value, str) else encoded[: characters * 4].decode(errors="ignore")
    shown = {"truncated": True, "bytes": len(encoded), "preview": text[:characters]}
    return {**shown, "step": step} if step else shown


def _at(value: Json, path: Path) -> Json:
    for step in path:
        value = value[step]
    return value


def _put(document: Json, path: Path, value: Json) -> None:
    _at(document, path[:-1])[path[-1]] = value
