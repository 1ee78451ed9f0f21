"""Answers cut anywhere are read the same, and what is none is refused."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from spandrel.adapters import http_answer
from spandrel.adapters.http_answer import AnswerParser, HttpAnswer, HttpAnswerError

SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\nx-a: 2\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 410 Gone\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nfoo\r\n000A;ext=1\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"
)
CONTINUED = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n"


def parse(data: bytes, cuts: list[int] | None = None) -> HttpAnswer | None:
    parser, answer = AnswerParser(), None
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts or [])})
    for begin, end in pairwise(places):
        assert answer is None
        answer = parser.feed(data[begin:end])
    return answer


@given(st.lists(st.integers(0, 1000), max_size=8))
def test_it_does_not_matter_how_the_stream_is_cut(cuts: list[int]) -> None:
    assert parse(SIZED, cuts) == HttpAnswer(200, {b"content-length": b"5", b"x-a": b"1, 2"}, b"hello", True)
    assert parse(CHUNKED, cuts) == HttpAnswer(410, {b"transfer-encoding": b"chunked"}, b"foo0123456789", True)
    assert parse(CONTINUED, cuts) == HttpAnswer(204, {b"content-length": b"9"}, b"", True)


def test_a_chunked_body_without_trailers() -> None:
    answer = parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
    assert answer is not None
    assert (answer.body, answer.reusable) == (b"ok", True)


@pytest.mark.parametrize(
    ("data", "reusable"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nConnection: Close\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n", True),
        (b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nmore", False),  # out of step
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nmore", False),
    ],
)
def test_whether_the_connection_can_be_used_again(data: bytes, reusable: bool) -> None:
    answer = parse(data)
    assert answer is not None
    assert answer.reusable is reusable


def test_a_body_without_a_length_runs_to_the_end() -> None:
    parser = AnswerParser()
    assert parser.feed(b"HTTP/1.1 200 OK\r\n\r\nhel") is None
    assert parser.feed(b"lo") is None
    assert parser.end() == HttpAnswer(200, {}, b"hello", False)


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200 OK\r\ncontent-le", SIZED[:-1], CHUNKED[:-3]])
def test_an_answer_that_breaks_off_is_none(data: bytes) -> None:
    parser = AnswerParser()
    assert parser.feed(data) is None
    assert parser.end() is None


@pytest.mark.parametrize(
    "data",
    [
        b"garbage\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nspace : 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1048577\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabcd\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n200000\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"1" * 40_000,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 10_000,
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * http_answer.MAX_HEAD_BYTES,
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * http_answer.MAX_HEAD_BYTES + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"y" * (http_answer.MAX_BODY_BYTES + 1),
    ],
)
def test_what_is_no_answer_or_too_much_of_one_is_refused(data: bytes) -> None:
    with pytest.raises(HttpAnswerError):
        AnswerParser().feed(data)


@given(st.binary(max_size=200))
def test_nothing_that_comes_breaks_it_otherwise(data: bytes) -> None:
    for head in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"):
        parser = AnswerParser()
        try:
            if parser.feed(head + data) is None:
                parser.end()
        except HttpAnswerError:
            pass
