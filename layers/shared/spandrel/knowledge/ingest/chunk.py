"""The chunk stage: a parsed document to chunks of at most `size` tokens that keep to its structure.

Chunks never cross a section. Within one, whole blocks are put together while they fit; one that does not fit is cut
behind sentences (code: lines), then between words, then, in a word longer than a chunk, anywhere. So an edit in a
section leaves the chunks of all other sections as they were.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from spandrel.knowledge.ingest.pack import Packer
from spandrel.knowledge.ingest.parse.models import ParsedDocument
from spandrel.knowledge.ingest.sections import Section, sections

SMALLEST = 16


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a document that is embedded and found as one.

    `text` is the document's `text[start:end]`; for rows further down a table whose rows do not name their columns, the
    table's header stands before it. `content_hash` is the SHA-256 of heading path and text, and of nothing else.
    """

    ordinal: int
    text: str
    start: int
    end: int
    heading_path: tuple[str, ...]
    page: int | None
    token_count: int
    content_hash: bytes


def content_hash(heading_path: tuple[str, ...], text: str) -> bytes:
    """32 bytes that are the same for the same text under the same headings. Parsed text has no control characters."""
    return hashlib.sha256("\x1f".join((*heading_path, "\x1e" + text)).encode()).digest()


def chunk(document: ParsedDocument, *, size: int = 400, overlap: int = 60) -> list[Chunk]:
    """The chunks of `document` in order, each of at most `size` cl100k_base tokens.

    A chunk repeats up to `overlap` tokens of the one before it in its section. Raises `ValueError` unless
    `size >= 16` and `0 <= overlap <= size / 2`.
    """
    if size < SMALLEST or not 0 <= overlap <= size // 2:
        raise ValueError(f"size must be at least {SMALLEST} tokens and overlap at most half of it")
    starts = [block.start for block in document.blocks]
    chunks: list[Chunk] = []
    for section in sections(document):
        for start, end, text, tokens in _pieces(document, section, size, overlap):
            block = document.blocks[max(0, bisect_right(starts, start) - 1)]
            digest = content_hash(section.path, text)
            chunks.append(Chunk(len(chunks), text, start, end, section.path, block.page, tokens, digest))
    return chunks


def _pieces(document: ParsedDocument, section: Section, size: int, overlap: int) -> Iterator[tuple[int, int, str, int]]:
    """Start, end, text and token count of each chunk of `section`."""
    raw = document.text[section.start : section.end]
    bare = raw.strip()
    if not bare:
        return
    start = section.start + len(raw) - len(raw.lstrip())
    packer = Packer(document.text, start, start + len(bare), section.blocks, size=size, overlap=overlap)
    yield from packer.pack()
