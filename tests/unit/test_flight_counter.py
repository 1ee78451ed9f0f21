"""The counter that other tests trust: what the client waits for, whatever way the stream was cut."""

from __future__ import annotations

import struct

import pytest

from tests.support.flights import Frontend

STARTUP = struct.pack(">ii", 8, 196608)


def message(kind: str, payload: bytes = b"") -> bytes:
    return kind.encode() + struct.pack(">i", 4 + len(payload)) + payload


def stream(kinds: str) -> bytes:
    return b"".join(message(kind, b"payload") for kind in kinds)


@pytest.mark.parametrize(
    ("kinds", "waits"),
    [
        ("PBDESH", 1),  # a pipeline's end: the Flush after its Sync asks for nothing
        ("PBDEPBDEPBDES", 1),
        ("PBDEHPBDESH", 2),  # a result read in between
        ("Q", 1),
        ("QddcQ", 3),  # a simple COPY waits for leave to send, and for its end
        ("PBDESddcS", 2),  # an extended one ends with CopyDone and Sync
        ("PBDE", 0),
    ],
)
@pytest.mark.parametrize("cut", [1, 3, 1000])
def test_waits_are_counted_however_the_stream_is_cut(kinds: str, waits: int, cut: int) -> None:
    frontend = Frontend()
    assert frontend.feed(STARTUP) == 1
    sent = stream(kinds)
    assert sum(frontend.feed(sent[begin : begin + cut]) for begin in range(0, len(sent), cut)) == waits
