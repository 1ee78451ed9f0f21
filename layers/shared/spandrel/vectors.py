"""Vectors on the wire: pgvector's binary forms, and arrays of integers, made without numpy and bound without a look-up
of their types.

`halfvec` (pgvector, halfvec_send): int16 dimensions, int16 unused, then IEEE 754 half floats, all big-endian.
"""

from __future__ import annotations

import math
import struct
import sys
from array import array
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

from spandrel.half_floats import half_floats

if TYPE_CHECKING:
    import psycopg


_INT4_OID = 23


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
        """Raises `ValueError` where a component does not fit a half float (|x| > 65504, infinity, NaN)."""
        try:
            packed = _packer(len(values)).pack(len(values), 0, *values)
        except (OverflowError, struct.error) as error:
            raise ValueError("a vector component does not fit a half float") from error
        if not math.isfinite(sum(values)):  # one infinity or NaN makes the sum one, and a sum costs little
            raise ValueError("a vector component is not a finite number")
        return cls(packed)

    @classmethod
    def from_float32(cls, raw: bytes) -> HalfVector:
        """From little-endian float32, as embedding APIs send them. Raises `ValueError` like `from_floats`."""
        dimensions, rest = divmod(len(raw), 4)
        if rest:
            raise ValueError("a vector's bytes are no whole number of floats")
        halves = half_floats(raw)
        if halves is None:
            return cls.from_floats(struct.unpack(f"<{dimensions}f", raw))
        return cls(struct.pack(">hh", dimensions, 0) + halves)


@lru_cache(maxsize=8)
def _packer(dimensions: int) -> struct.Struct:
    return struct.Struct(f">hh{dimensions}e")


class SparseVector(bytes):
    """A vector as pgvector's binary `sparsevec`: int32 dimensions, count, unused; sorted int32 indices, float32
    values.
    """

    __slots__ = ()

    @classmethod
    def from_items(cls, dimensions: int, indices: Sequence[int], values: Sequence[float]) -> SparseVector:
        """`indices` ascending, from 0."""
        head = struct.pack(">iii", dimensions, len(indices), 0)
        return cls(head + _big_endian(array("i", indices)) + _big_endian(array("f", values)))


class IntArray(bytes):
    """An integer[] in its binary form. Bind it with an `::integer[]` cast: a dumper an item would take far longer."""

    __slots__ = ()

    @classmethod
    def from_items(cls, items: Sequence[int]) -> IntArray:
        if not items:
            return cls(struct.pack(">iii", 0, 0, _INT4_OID))
        cells = array("i", [4]) * (2 * len(items))  # each item after its length
        cells[1::2] = array("i", items)
        return cls(struct.pack(">iiiii", 1, 0, _INT4_OID, len(items), 1) + _big_endian(cells))


def _big_endian(items: array[int] | array[float]) -> bytes:
    if sys.byteorder == "little":
        items.byteswap()
    return items.tobytes()


class _RawDumper(Dumper):
    """Binary, with no type OID: the server infers it from the cast or column, so nothing is looked up."""

    format = Format.BINARY
    oid = 0

    def dump(self, obj: bytes) -> Buffer:
        return obj


def register_vector_dumpers(connection: psycopg.Connection[Any]) -> None:
    for kind in (HalfVector, SparseVector, IntArray):
        connection.adapters.register_dumper(kind, _RawDumper)
