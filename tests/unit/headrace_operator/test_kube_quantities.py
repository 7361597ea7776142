import contextlib
from decimal import Decimal

import pytest
from headrace_operator import quantities
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", "0"),
        ("4", "4"),
        (4, "4"),
        (0.5, "0.5"),
        ("250m", "0.25"),
        ("1.5Gi", "1610612736"),
        ("512Mi", "536870912"),
        ("8G", "8000000000"),
        ("129e6", "129000000"),
        ("1E3", "1000"),
        ("2E", "2000000000000000000"),
        ("100n", "0.0000001"),
        (".5", "0.5"),
        ("+3k", "3000"),
        ("-1Ki", "-1024"),
    ],
)
def test_quantities_are_exact(text: str | float, number: str) -> None:
    assert quantities.parse(text) == Decimal(number)


@pytest.mark.parametrize(
    "text", ["", "m", "4 Gi", "1Gib", "0x4", "1e", "NaN", "Infinity", "1.2.3", "1K", "9" * 10 + "!" * 100]
)
def test_what_is_no_quantity_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        quantities.parse(text)


@given(st.text(max_size=20))
def test_no_text_brings_another_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        quantities.parse(text)


@given(st.integers(min_value=0, max_value=10**6))
def test_the_same_amount_has_many_spellings(milli: int) -> None:
    assert quantities.parse(f"{milli}m") == quantities.parse(f"{milli}e-3") == quantities.parse(f"{milli}000u")
