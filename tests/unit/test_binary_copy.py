from __future__ import annotations

from spandrel.binary_copy import (
    BLOCK_BYTES,
    HEADER,
    READY_BYTES,
    TRAILER,
    Stream,
    encode,
    int2,
    int4,
    prepare,
    text_array,
)


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


def test_what_was_put_together_ahead_comes_once_and_in_order() -> None:
    row = (b"x" * BLOCK_BYTES,)
    first, second = Stream([row] * 3), Stream([(b"y",)])
    blocks = iter(first)
    sent = [next(blocks)]
    for _ in range(5):  # three blocks of the first are left, one of the second: then there is none
        prepare([first, second])
    assert not prepare([first, second])
    assert second.ready_bytes == len(b"".join(encode([(b"y",)])))
    assert b"".join([*sent, *blocks]) == b"".join(encode([row] * 3))
    assert b"".join(second) == b"".join(encode([(b"y",)]))
    assert first.ready_bytes == second.ready_bytes == 0


def test_only_so_much_is_put_together_ahead() -> None:
    row = (b"x" * (BLOCK_BYTES + 1),)
    stream = Stream(row for _ in range(2 * READY_BYTES // BLOCK_BYTES))
    while prepare([stream]):
        pass
    assert READY_BYTES <= stream.ready_bytes < READY_BYTES + 2 * BLOCK_BYTES
    assert sum(map(len, stream)) > 2 * READY_BYTES


def test_an_array_of_text() -> None:
    assert text_array(["a", ""]) == bytes.fromhex("00000001 00000000 00000019 00000002 00000001 00000001 61 00000000")
    assert text_array([]) == bytes.fromhex("00000000 00000000 00000019")


def test_numbers_are_big_endian() -> None:
    assert (int2(-1), int4(258)) == (b"\xff\xff", b"\x00\x00\x01\x02")
