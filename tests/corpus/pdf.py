"""PDF files from scratch."""

from __future__ import annotations

import zlib
from collections.abc import Sequence


def assemble(objects: Sequence[bytes], trailer: bytes = b"") -> bytes:
    """A file of the numbered `objects`, of which the first is the catalogue."""
    out, offsets = bytearray(b"%PDF-1.5\n"), []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, trailer, start)
    return bytes(out)


def stream(content: bytes, *, compress: bool = False) -> bytes:
    entries = b""
    if compress:
        content, entries = zlib.compress(content, 9), b"/Filter /FlateDecode "
    return b"<< /Length %d %s>>\nstream\n%s\nendstream" % (len(content), entries, content)


def _page(lines: Sequence[str]) -> bytes:
    shown = [b"(%s) Tj T*" % line.encode("latin-1").replace(b"(", b"\\(").replace(b")", b"\\)") for line in lines]
    return b"BT /F1 11 Tf 14 TL 72 720 Td\n" + b"\n".join(shown) + b"\nET"


def pdf(pages: Sequence[Sequence[str]], contents: Sequence[bytes] | None = None, trailer: bytes = b"") -> bytes:
    """A PDF with the given lines on each page, or the given content streams."""
    streams = list(contents) if contents is not None else [stream(_page(lines)) for lines in pages]
    kids = b" ".join(b"%d 0 R" % (4 + 2 * index) for index in range(len(streams)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, len(streams)),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for index, body in enumerate(streams):
        resources = b"/Resources << /Font << /F1 3 0 R >> >> /MediaBox [0 0 612 792]"
        objects.append(b"<< /Type /Page /Parent 2 0 R %s /Contents %d 0 R >>" % (resources, 5 + 2 * index))
        objects.append(body)
    return assemble(objects, trailer)


def bomb(megabytes: int) -> bytes:
    """A page whose content inflates to `megabytes` of text operators."""
    piece = b"(AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA) Tj\n"
    packer = zlib.compressobj(9)
    packed = packer.compress(b"BT /F1 1 Tf 1 TL\n")
    block = piece * ((1 << 20) // len(piece))
    packed += b"".join(packer.compress(block) for _ in range(megabytes)) + packer.compress(b"ET") + packer.flush()
    head = b"<< /Length %d /Filter /FlateDecode >>\nstream\n" % len(packed)
    return pdf([], [head + packed + b"\nendstream"])


def encrypted() -> bytes:
    """A PDF with a user password (standard handler, revision 2, 40 bits)."""
    owner, file_id, permissions = b"\x11" * 32, b"0123456789abcdef", -4
    user = bytes(32)  # no password gives this, so every password is wrong
    entry = b"<< /Filter /Standard /V 1 /R 2 /O <%s> /U <%s> /P %d >>" % (
        owner.hex().encode(),
        user.hex().encode(),
        permissions,
    )
    return pdf(
        [["secret"]], trailer=b"/Encrypt %s /ID [<%s> <%s>]" % (entry, file_id.hex().encode(), file_id.hex().encode())
    )
