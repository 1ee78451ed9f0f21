from __future__ import annotations

from decimal import Decimal

import pytest

from spandrel.usage.models import money


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0", "0"), ("0E-10", "0"), ("1E-7", "0.0000001"), ("12.5000000000", "12.5"), ("100", "100"), ("1E+2", "100")],
)
def test_money_is_written_in_plain_digits(amount: str, text: str) -> None:
    assert money(Decimal(amount)) == text
