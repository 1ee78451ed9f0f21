from __future__ import annotations

import struct

from hypothesis import given, strategies as st

from spandrel.half_floats import _FEW, half_floats

SIGNS = st.sampled_from([0, 0x8000_0000])
# Any number that fits; and those where rounding carries, or where a half float's normal numbers begin.
BITS = st.one_of(
    st.integers(0, 0x46FF_FFFF),
    st.integers(0x3300_0000, 0x3900_0000),
    st.builds(
        lambda high, low: high << 13 | low,
        st.integers(0, 0x237FF),
        st.sampled_from([0, 1, 0xFFF, 0x1000, 0x1001, 0x1FFF]),
    ),
)


def one_by_one(raw: bytes) -> bytes:
    count = len(raw) // 4
    return struct.pack(f">{count}e", *struct.unpack(f"<{count}f", raw))


@given(st.lists(st.builds(int.__or__, BITS, SIGNS), max_size=_FEW))
def test_every_number_is_rounded_as_struct_rounds_it(bits: list[int]) -> None:
    raw = struct.pack(f"<{len(bits)}I", *bits)
    assert half_floats(raw) == one_by_one(raw)


def test_every_half_float_that_is_not_tiny_comes_back() -> None:
    halves = [bits | sign for sign in (0, 0x8000) for bits in range(0x800, 0x7800)]
    packed = struct.pack(f">{len(halves)}H", *halves)
    assert half_floats(struct.pack(f"<{len(halves)}f", *struct.unpack(f">{len(halves)}e", packed))) == packed


def test_what_may_not_fit_is_left_to_others() -> None:
    for number in (32768.0, -65504.0, 1e30, float("inf"), float("nan")):
        assert half_floats(struct.pack("<3f", 0.5, number, 0.5)) is None


def test_vectors_of_hardly_anything_but_zeros_are_left_to_others() -> None:
    assert half_floats(bytes(4 * _FEW)) == bytes(2 * _FEW)
    assert half_floats(bytes(4 * _FEW + 4)) is None
