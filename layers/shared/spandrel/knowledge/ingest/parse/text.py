"""Bytes to characters, and plain text to paragraphs."""

from __future__ import annotations

import codecs
import re

from spandrel.errors import DocumentTypeUnsupportedError
from spandrel.knowledge.ingest.parse.models import Block, ParsedDocument

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Control characters, and Unicode's tags: letters that are drawn by nothing, so only a model reads what they spell.
_DROPPED = (*range(9), 11, *range(14, 32), 127, 0xFEFF, *range(0xE0000, 0xE0080))
_CONTROL: dict[int, str | None] = {**dict.fromkeys(_DROPPED), 12: "\n"}
_ASCII_CONTROL = bytes((*(code for code in _DROPPED if code < 128), 12))
_CONTROL_BYTES = bytes(code for code in (*range(1, 7), *range(14, 27), *range(28, 32), 127))
_CONTROL_FOUND = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff\U000e0000-\U000e007f]")
_UNUSABLE = re.compile("[\ud800-\udfff\ufffe\uffff]")
_LONG_BLANK = re.compile(r"(?:(?<=\S)|\A)\s{512,}+")
_BLANK_LINE = re.compile(r"\n(?:[^\S\n]*\n)+")
_SAMPLE = 65536


def blank_run(text: str, length: int) -> bool:
    """False where `text` has no run of `length` blanks for certain: such a run would fill an aligned half of it."""
    half = length // 2
    return any(text[start : start + half].isspace() for start in range(0, len(text), half))


def clean(text: str) -> str:
    """`text` with newlines as `\\n`, without NUL (Postgres refuses it), other control characters, tag
    characters and lone surrogates.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.isascii():  # a look through its bytes, many times as fast as through its characters
        raw = text.encode()
        if len(raw.translate(None, _ASCII_CONTROL)) < len(raw):
            text = text.translate(_CONTROL)
    else:
        if _CONTROL_FOUND.search(text):
            text = text.translate(_CONTROL)
        text = _UNUSABLE.sub("\ufffd", text)
    if not blank_run(text, 512):
        return text
    return _LONG_BLANK.sub(lambda run: "\n\n" if "\n" in run[0] else " ", text)


def _wide(data: bytes) -> str | None:
    """UTF-16 without a byte order mark shows in its NUL bytes, which are mostly on one side."""
    sample = data[: _SAMPLE & ~1]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    half = max(1, len(sample) // 2)
    if odd > 0.3 * half and even < 0.05 * half:
        return "utf-16-le"
    if even > 0.3 * half and odd < 0.05 * half:
        return "utf-16-be"
    return None


def looks_binary(data: bytes) -> bool:
    """Whether `data` has more control bytes than any text has."""
    sample = data[:_SAMPLE]
    if any(sample.startswith(bom) for bom, _ in _BOMS) or _wide(sample):
        return False
    strange = len(sample) - len(sample.translate(None, _CONTROL_BYTES + b"\x00"))
    return strange > max(1, len(sample) // 50)


def decode(data: bytes) -> str:
    """`data` as clean text: by its byte order mark, as UTF-8, as UTF-16 seen by its NUL bytes, else as Windows Latin-1.

    Raises `DocumentTypeUnsupportedError` for data that is not text.
    """
    for bom, name in _BOMS:
        if data.startswith(bom):
            return clean(data[len(bom) :].decode(name, "replace"))
    if looks_binary(data):
        raise DocumentTypeUnsupportedError("The file holds binary data, not text.")
    wide = _wide(data)
    if wide:
        return clean(data.decode(wide, "replace"))
    try:
        return clean(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        if error.start >= len(data) - 3 and error.reason == "unexpected end of data":
            return clean(data[: error.start].decode("utf-8"))
        return clean(data.decode("cp1252", "replace") if b"\x81" not in data else data.decode("latin-1"))


def paragraphs(text: str, start: int, end: int, *, page: int | None = None) -> list[Block]:
    """The paragraphs of `text[start:end]`, which are set apart by blank lines."""
    blocks: list[Block] = []
    position = start
    for gap in _BLANK_LINE.finditer(text, start, end):
        _add(blocks, text, position, gap.start(), page)
        position = gap.end()
    _add(blocks, text, position, end, page)
    return blocks


def _add(blocks: list[Block], text: str, start: int, end: int, page: int | None) -> None:
    raw = text[start:end]
    left = len(raw) - len(raw.lstrip())
    if left < len(raw):
        blocks.append(Block("paragraph", start + left, start + len(raw.rstrip()), page=page))


def parse(data: bytes) -> ParsedDocument:
    """Plain text: one block a paragraph."""
    text = decode(data)
    return ParsedDocument(text, paragraphs(text, 0, len(text)), "text/plain")
