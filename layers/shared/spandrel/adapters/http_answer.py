"""HTTP/1.1 answers out of a stream of bytes: a parser that does no input or output (RFC 9112).

It takes what an API says, not what a web may: a head of 32 KB, a body of 1 MB.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_HEAD_BYTES = 32_768
MAX_BODY_BYTES = 1_048_576
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5]\d\d)(?: [^\r\n]*)?")
_FIELD_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_DIGITS = re.compile(rb"\d{1,10}")
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}")


class HttpAnswerError(Exception):
    """What came is not an HTTP answer, or more of one than is taken."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """`reusable`: the connection stays open and in step."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    reusable: bool


class AnswerParser:
    """Takes bytes as they come and gives one answer when it is whole. One parser an answer."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: tuple[int, dict[bytes, bytes], bool] | None = None
        self._length: int | None = None  # of the body; None: until the connection ends
        self._chunked = False
        self._chunks = bytearray()

    def feed(self, data: bytes) -> HttpAnswer | None:
        """The answer, if `data` makes it whole. Raises `HttpAnswerError`."""
        self._buffer += data
        while self._head is None:
            if not self._read_head():
                return None
        if self._chunked:
            return self._read_chunks()
        if len(self._buffer) > MAX_BODY_BYTES:
            raise HttpAnswerError("the body is too long")
        if self._length is None or len(self._buffer) < self._length:
            return None
        return self._whole(bytes(self._buffer[: self._length]), self._length)

    def end(self) -> HttpAnswer | None:
        """The connection ended: the answer, if that is what its body ran to."""
        if self._head is None or self._chunked or self._length is not None:
            return None
        return self._whole(bytes(self._buffer), len(self._buffer))

    def _whole(self, body: bytes, used: int) -> HttpAnswer:
        assert self._head is not None
        status, headers, keep_alive = self._head
        in_step = len(self._buffer) == used and (self._length is not None or self._chunked)
        return HttpAnswer(status, headers, body, keep_alive and in_step)

    def _read_head(self) -> bool:
        """Whether there was a head; an interim one (1xx) is passed over."""
        end = self._buffer.find(b"\r\n\r\n")
        if end > MAX_HEAD_BYTES or (end < 0 and len(self._buffer) > MAX_HEAD_BYTES):
            raise HttpAnswerError("the head is too long")
        if end < 0:
            return False
        first, *lines = bytes(self._buffer[:end]).split(b"\r\n")
        del self._buffer[: end + 4]
        status_line = _STATUS_LINE.fullmatch(first)
        if status_line is None:
            raise HttpAnswerError("the status line is not one")
        status, headers = int(status_line[2]), _fields(lines)
        if status < 200:
            return True
        connection = headers.get(b"connection", b"").lower()
        keep_alive = b"close" not in connection and (status_line[1] == b"1" or b"keep-alive" in connection)
        self._head = status, headers, keep_alive
        self._frame(status, headers)
        return True

    def _frame(self, status: int, headers: dict[bytes, bytes]) -> None:
        """How the body ends (RFC 9112, section 6.3)."""
        if status in (204, 304):
            self._length = 0
        elif b"transfer-encoding" in headers:
            if headers[b"transfer-encoding"].lower() != b"chunked":
                raise HttpAnswerError("a transfer encoding that is not known")
            self._chunked = True
        elif b"content-length" in headers:
            if not _DIGITS.fullmatch(headers[b"content-length"]):
                raise HttpAnswerError("the content length is not a number")
            self._length = int(headers[b"content-length"])
            if self._length > MAX_BODY_BYTES:
                raise HttpAnswerError("the body is too long")

    def _read_chunks(self) -> HttpAnswer | None:
        """Section 7.1; trailers are passed over."""
        while (end := self._buffer.find(b"\r\n")) >= 0:
            size_text = bytes(self._buffer[:end]).partition(b";")[0].strip()
            if not _CHUNK_SIZE.fullmatch(size_text):
                raise HttpAnswerError("a chunk without a size")
            size = int(size_text, 16)
            if size == 0:
                return self._read_trailers(end)
            if len(self._chunks) + size > MAX_BODY_BYTES:
                raise HttpAnswerError("the body is too long")
            if len(self._buffer) < end + 2 + size + 2:
                return None
            if self._buffer[end + 2 + size : end + 4 + size] != b"\r\n":
                raise HttpAnswerError("a chunk of another size than it says")
            self._chunks += self._buffer[end + 2 : end + 2 + size]
            del self._buffer[: end + 4 + size]
        if len(self._buffer) > MAX_HEAD_BYTES:
            raise HttpAnswerError("a chunk without a size")
        return None

    def _read_trailers(self, end: int) -> HttpAnswer | None:
        # The last chunk's own line end may be the first half of the blank line.
        blank = self._buffer.find(b"\r\n\r\n", end)
        if blank < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise HttpAnswerError("the trailers are too long")
            return None
        return self._whole(bytes(self._chunks), blank + 4)


def _fields(lines: list[bytes]) -> dict[bytes, bytes]:
    """Names in lower case; of one that comes twice the values are joined (RFC 9110, section 5.3)."""
    headers: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _FIELD_NAME.fullmatch(name):
            raise HttpAnswerError("a header line is not one")
        name, value = name.lower(), value.strip(b" \t")
        headers[name] = b", ".join((headers[name], value)) if name in headers else value
    return headers
