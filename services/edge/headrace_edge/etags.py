"""Entity tags (RFC 9110, 8.8.3 and 13.1). Pure."""

import hashlib
import re

_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_ONE = re.compile(r'\s*(W/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*')


def of_revision(revision: int) -> str:
    """The tag of a revision."""
    return f'"{revision}"'


def of_content(content: bytes) -> str:
    """The tag of bytes."""
    return f'"{hashlib.blake2b(content, digest_size=16).hexdigest()}"'


def none_match(header: str | None, tag: str) -> bool:
    """Whether If-None-Match names the tag, compared weakly: then a GET answers 304."""
    if header is None:
        return False
    return header.strip() == "*" or tag.strip('"') in _TAG.findall(header)


def single(header: str) -> str | None:
    """What is between the quotes of one strong tag; None for a weak one, a list, and what is no tag."""
    found = _ONE.fullmatch(header)
    return None if found is None or found[1] else found[2]
