from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given, strategies as st

from spandrel.vectors import HalfVector, IntArray, SparseVector


@given(st.lists(st.floats(width=16, allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_half_floats_come_back_as_they_went_in(values: list[float]) -> None:
    vector = HalfVector.from_floats(values)
    assert vector.dimensions == len(values)
    assert vector.to_list() == values


def float32(values: list[float]) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


@given(st.lists(st.floats(-65504, 65504, width=32), min_size=1, max_size=50))
def test_little_endian_float32_gives_the_same_vector(values: list[float]) -> None:
    assert HalfVector.from_float32(float32(values)) == HalfVector.from_floats(values)


def test_the_bytes_are_pgvector_s() -> None:
    assert HalfVector.from_floats([1.0, -2.0]) == bytes.fromhex("0002 0000 3c00 c000")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 65536.0, -70000.0, 1e30])
def test_what_does_not_fit_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="a vector component"):
        HalfVector.from_floats([0.5, value, 0.5])
    with pytest.raises(ValueError, match="a vector component"):
        HalfVector.from_float32(float32([0.5, value, 0.5]))


@pytest.mark.parametrize("raw", [b"a", b"abc", b"abcdef"])
def test_bytes_that_hold_no_floats_are_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="no whole number"):
        HalfVector.from_float32(raw)


def test_a_sparse_vector_s_bytes_are_pgvector_s() -> None:
    expected = bytes.fromhex("00100000 00000002 00000000 00000000 00000007 3fc00000 40000000")
    assert SparseVector.from_items(1 << 20, [0, 7], [1.5, 2.0]) == expected


def test_an_empty_sparse_vector() -> None:
    assert SparseVector.from_items(8, [], []) == bytes.fromhex("00000008 00000000 00000000")


def test_an_integer_array_s_bytes_are_postgres_s() -> None:
    head = "00000001 00000000 00000017 00000002 00000001"
    assert IntArray.from_items([7, -1]) == bytes.fromhex(f"{head} 00000004 00000007 00000004 ffffffff")
    assert IntArray.from_items([]) == bytes.fromhex("00000000 00000000 00000017")
