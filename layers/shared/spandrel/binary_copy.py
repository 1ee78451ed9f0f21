"""PostgreSQL's binary COPY format (PostgreSQL manual, "COPY", Binary Format), encoded by hand.

Several times as fast as a dumper a field, and it needs no type OIDs, which for pgvector's types would cost a look-up.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence

HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER = b"\xff\xff"
BLOCK_BYTES = 1 << 16
TEXT_OID = 25

int4 = struct.Struct(">i").pack
int2 = struct.Struct(">h").pack
_NULL = int4(-1)


def text_array(items: Sequence[str]) -> bytes:
    """`items` as a binary text[]."""
    if not items:
        return struct.pack(">iii", 0, 0, TEXT_OID)
    parts = [struct.pack(">iiiii", 1, 0, TEXT_OID, len(items), 1)]
    for item in items:
        raw = item.encode()
        parts += (int4(len(raw)), raw)
    return b"".join(parts)


def encode(rows: Iterable[Sequence[bytes | None]]) -> Iterator[bytes]:
    """The whole COPY stream, in blocks of some 64 KiB: the server is at work while the rest is being put together."""
    parts, size = [HEADER], 0
    for row in rows:
        parts.append(int2(len(row)))
        for field in row:
            if field is None:
                parts.append(_NULL)
            else:
                parts += (int4(len(field)), field)
                size += len(field)
        if size > BLOCK_BYTES:
            yield b"".join(parts)
            parts, size = [], 0
    parts.append(TRAILER)
    yield b"".join(parts)
