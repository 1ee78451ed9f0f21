from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest

from spandrel.errors import InvalidRequestError
from spandrel.pagination import decode_cursor, paginate, paginate_numbers


@dataclass(frozen=True)
class Row:
    id: UUID = field(default_factory=uuid4)


def test_a_cursor_leads_behind_the_last_item() -> None:
    rows = [Row() for _ in range(4)]
    page = paginate(rows, 3)
    assert page.items == rows[:3]
    assert decode_cursor(page.next_cursor) == rows[2].id


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_last_page_has_no_cursor(count: int) -> None:
    page = paginate([Row() for _ in range(count)], 3)
    assert len(page.items) == count
    assert page.next_cursor is None


@dataclass(frozen=True)
class Heavy(Row):
    number: int = 1
    text: str = "漢" * 300_000


def test_a_page_is_no_larger_than_a_function_may_answer() -> None:
    rows = [Heavy() for _ in range(9)]
    page = paginate(rows, 8)
    assert page.items == rows[:2]
    assert decode_cursor(page.next_cursor) == rows[1].id
    numbered = paginate_numbers(rows, 8)
    assert (numbered.items, numbered.next_before) == (rows[:2], 1)


def test_a_page_has_one_item_however_large() -> None:
    page = paginate([Heavy(text="x" * 3_000_000), Row()], 8)
    assert (len(page.items), page.next_cursor is None) == (1, False)


def test_no_cursor_is_the_beginning() -> None:
    assert decode_cursor(None) is None


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "A" * 23, "=" * 22, "ü" * 22, "\0", "!" * 22])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidRequestError):
        decode_cursor(cursor)
