"""Kubernetes quantities, such as 250m or 1.5Gi, as exact numbers."""

import re
from decimal import Decimal

_FORM = re.compile(r"^([+-]?(?:\d+\.?\d*|\.\d+))(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?\d{1,3}))?$")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def parse(text: str | float) -> Decimal:
    """The number that a quantity stands for; JSON may carry it as a number. Raises `ValueError`."""
    match = _FORM.match(str(text).strip())
    if match is None:
        raise ValueError(f"{str(text)[:50]!r} is not a quantity")
    number, suffix, exponent = Decimal(match[1]), match[2], match[3]
    if suffix in _BINARY:
        return number * Decimal(2) ** _BINARY[suffix]
    return number * Decimal(10) ** (_DECIMAL[suffix] if suffix else int(exponent or 0))
