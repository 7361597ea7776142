"""The part of a long message that says what is wanted. Pure."""


def excerpt(message: str, *, head: int, tail: int) -> str:
    """The first `head` and the last `tail` characters: people say what they want before or after what they paste."""
    text = message.strip()
    return text if len(text) <= head + tail else f"{text[:head].rstrip()} … {text[-tail:].lstrip()}"
