"""A document's sections: a heading, what stands under it, and the path of headings above it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from spandrel.knowledge.ingest.parse.models import Block, ParsedDocument


@dataclass(slots=True)
class Section:
    """`text[start:end]` under one heading. `blocks` holds its headings too; a heading with no text of its own is in
    the section of the first heading below it."""

    path: tuple[str, ...]
    start: int
    end: int = 0
    blocks: list[Block] = field(default_factory=list)


def sections(document: ParsedDocument) -> list[Section]:
    """The sections in order; they leave no character of the text out."""
    found: list[Section] = []
    trail: list[tuple[int, str]] = []
    bare = False  # whether the section has nothing but headings so far
    for block in document.blocks:
        if block.kind == "heading":
            deeper = not trail or block.level > trail[-1][0]
            while trail and trail[-1][0] >= block.level:
                trail.pop()
            trail.append((block.level, block.title or ""))
            path = tuple(title for _, title in trail if title)
            if found and bare and deeper:
                found[-1].path = path
            else:
                found.append(Section(path, block.start))
            bare = True
        elif not found:
            found.append(Section((), block.start))
        bare = bare and block.kind == "heading"
        found[-1].blocks.append(block)
    for section, following in pairwise(found):
        section.end = following.start
    if found:
        found[0].start, found[-1].end = 0, len(document.text)
    return found
