"""Vectors on the wire: pgvector's binary `halfvec`, made without numpy and bound without a look-up of its type.

Format (pgvector, halfvec_send): int16 dimensions, int16 unused, then IEEE 754 half floats, all big-endian.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

if TYPE_CHECKING:
    import psycopg

MAX_HALF = 65504.0


class HalfVector(bytes):
    """A vector as pgvector's binary `halfvec`. Bind it with a `::halfvec` cast, or into a halfvec column by COPY."""

    __slots__ = ()

    @property
    def dimensions(self) -> int:
        return int.from_bytes(self[:2], "big")

    def to_list(self) -> list[float]:
        return list(_packer(self.dimensions).unpack(self)[2:])

    @classmethod
    def from_floats(cls, values: Sequence[float]) -> HalfVector:
        """Raises `ValueError` where a component does not fit a half float (|x| > 65504, NaN)."""
        if not all(-MAX_HALF <= value <= MAX_HALF for value in values):
            raise ValueError("a vector component is not a finite half float")
        return cls(_packer(len(values)).pack(len(values), 0, *values))

    @classmethod
    def from_base64(cls, text: str) -> HalfVector:
        """From the OpenAI embeddings API's `encoding_format="base64"`: little-endian float32."""
        raw = base64.b64decode(text, validate=True)
        return cls.from_floats(struct.unpack(f"<{len(raw) // 4}f", raw))


@lru_cache(maxsize=8)
def _packer(dimensions: int) -> struct.Struct:
    return struct.Struct(f">hh{dimensions}e")


class _HalfVectorDumper(Dumper):
    """Binary, with no type OID: the server infers it from the cast or column, so nothing is looked up."""

    format = Format.BINARY
    oid = 0

    def dump(self, obj: HalfVector) -> Buffer:
        return obj


def register_vector_dumpers(connection: psycopg.Connection[Any]) -> None:
    connection.adapters.register_dumper(HalfVector, _HalfVectorDumper)
