"""RFC 6901 JSON pointers into results."""

from headrace_tools.model import Json


def fault(pointer: str) -> str | None:
    """Why a text is no JSON pointer, or None."""
    return None if pointer == "" or pointer.startswith("/") else 'must be "" or begin with /, such as /items'


def find(value: Json, pointer: str) -> Json:
    """What a pointer leads to; "" is the whole. Raises LookupError when there is no such thing."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value[key]
        elif isinstance(value, list) and key.isdecimal():
            value = value[int(key)]
        else:
            raise LookupError(pointer)
    return value
