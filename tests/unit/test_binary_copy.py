from __future__ import annotations

from spandrel.binary_copy import BLOCK_BYTES, HEADER, TRAILER, encode, int2, int4, text_array


def test_rows_and_fields_are_framed() -> None:
    assert b"".join(encode([(b"ab", None), (b"", int2(7))])) == (
        HEADER + bytes.fromhex("0002 00000002 6162 ffffffff") + bytes.fromhex("0002 00000000 00000002 0007") + TRAILER
    )


def test_no_rows_are_a_header_and_an_end() -> None:
    assert b"".join(encode([])) == HEADER + TRAILER


def test_long_data_goes_in_blocks() -> None:
    row = (b"x" * (BLOCK_BYTES * 3 // 8),)
    blocks = list(encode([row] * 9))
    assert len(blocks) == 4
    assert all(len(block) < BLOCK_BYTES * 3 // 2 for block in blocks)
    assert b"".join(blocks).count(row[0]) == 9


def test_an_array_of_text() -> None:
    assert text_array(["a", ""]) == bytes.fromhex("00000001 00000000 00000019 00000002 00000001 00000001 61 00000000")
    assert text_array([]) == bytes.fromhex("00000000 00000000 00000019")


def test_numbers_are_big_endian() -> None:
    assert (int2(-1), int4(258)) == (b"\xff\xff", b"\x00\x00\x01\x02")
