"""What a file really is: by its first bytes, then its name, then the type it was declared as."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import PurePosixPath

from spandrel.errors import (
    DocumentDamagedError,
    DocumentEncryptedError,
    DocumentTypeMismatchError,
    DocumentTypeUnsupportedError,
)
from spandrel.knowledge.ingest.parse.text import looks_binary

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
HTML = "text/html"
EXTENSIONS = {
    ".pdf": PDF,
    ".docx": DOCX,
    ".html": HTML,
    ".htm": HTML,
    ".xhtml": HTML,
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".txt": "text/plain",
    ".text": "text/plain",
    ".log": "text/plain",
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
}
_DECLARED = {
    **{kind: kind for kind in EXTENSIONS.values()},
    "application/xhtml+xml": HTML,
    "application/csv": "text/csv",
    "application/jsonl": "application/x-ndjson",
    "application/x-jsonlines": "application/x-ndjson",
    "text/x-markdown": "text/markdown",
}
_NAMES = {PDF: "a PDF", DOCX: "a Word document (DOCX)", HTML: "an HTML page"}
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"\x00\x00\x01\x00", "an icon"),
    (b"\x7fELF", "an executable program"),
    (b"MZ", "a Windows program"),
    (b"\xcf\xfa\xed\xfe", "an executable program"),
    (b"\xca\xfe\xba\xbe", "a compiled program"),
    (b"\x00asm", "a WebAssembly program"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"PAR1", "a Parquet file"),
    (b"OggS", "an Ogg recording"),
    (b"fLaC", "a FLAC recording"),
    (b"ID3", "an MP3 recording"),
    (b"\x1aE\xdf\xa3", "a Matroska video"),
    (b"{\\rtf", "a rich text (RTF) file"),
    (b"%!PS", "a PostScript file"),
)
_RIFF = {b"WEBP": "a WebP image", b"WAVE": "a WAV recording", b"AVI ": "an AVI video"}
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_SPACE = b" \t\r\n\x00\xef\xbb\xbf"
_PARTS = (
    ("word/", "a Word document without its text part"),
    ("xl/", "an Excel workbook"),
    ("ppt/", "a PowerPoint presentation"),
    ("META-INF/MANIFEST.MF", "a Java archive"),
    ("content.xml", "an OpenDocument file"),
)


def _zip(data: bytes) -> str:
    """DOCX, or what else the archive is in words."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        raise DocumentDamagedError from None
    if "word/document.xml" in names:
        return DOCX
    return next((what for part, what in _PARTS if any(name.startswith(part) for name in names)), "a ZIP archive")


def _found(data: bytes) -> str | None:
    """The type or description that the first bytes prove; None for what may be text."""
    if data.startswith(_OLE):
        if _ENCRYPTED in data:
            raise DocumentEncryptedError
        return "an old Office file (DOC, XLS or PPT)"
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip(data)
    if b"%PDF-" in data[:1024] and (data.lstrip(_SPACE).startswith(b"%PDF-") or looks_binary(data)):
        return PDF
    if data.startswith(b"RIFF"):
        return _RIFF.get(data[8:12], "a media file")
    if data[4:8] == b"ftyp":
        return "a video or image file"
    what = next((what for magic, what in _MAGIC if data.startswith(magic)), None)
    return what if what != "a Windows program" or looks_binary(data) else None


def _looks_html(data: bytes) -> bool:
    return data[:2048].lstrip(_SPACE).lower().startswith((b"<!doctype html", b"<html"))


def detect(data: bytes, *, name: str, content_type: str | None) -> str:
    """The canonical content type of `data`.

    Raises `DocumentTypeMismatchError` where the bytes contradict the name, `DocumentTypeUnsupportedError` for types
    that are not read, `DocumentEncryptedError` and `DocumentDamagedError` where that shows at once.
    """
    suffix = PurePosixPath(name.lower()).suffix
    named = EXTENSIONS.get(suffix)
    found = _found(data)
    if found is not None:
        supported = found in _NAMES
        words = _NAMES.get(found, found)
        if named is not None and named != found:
            tail = "Upload it with the right extension." if supported else "That type is not supported."
            raise DocumentTypeMismatchError(f"The file is named {suffix} but holds {words}. {tail}")
        if not supported:
            raise DocumentTypeUnsupportedError(
                f"The file is {words}. Upload text, Markdown, HTML, PDF, DOCX, CSV or JSON."
            )
        return found
    if named in (PDF, DOCX):
        if looks_binary(data):
            raise DocumentDamagedError(f"The file is named {suffix} but does not begin like one. It may be damaged.")
        held = "an HTML page" if _looks_html(data) else "plain text"
        raise DocumentTypeMismatchError(
            f"The file is named {suffix} but holds {held}. Upload it with the right extension."
        )
    return _textual(data, suffix, named, content_type)


def _textual(data: bytes, suffix: str, named: str | None, content_type: str | None) -> str:
    if looks_binary(data):
        raise DocumentTypeUnsupportedError("The file holds binary data of a type that is not supported.")
    html = _looks_html(data)
    if html and named in ("application/json", "application/x-ndjson", "text/csv"):
        raise DocumentTypeMismatchError(
            f"The file is named {suffix} but holds an HTML page. Upload it with the right extension."
        )
    declared = _DECLARED.get((content_type or "").split(";")[0].strip().lower())
    if named is not None:
        return named
    if suffix and declared is None and not html:
        return "text/plain"  # source code, configuration and the like
    if declared in (None, PDF, DOCX, "text/plain"):
        return HTML if html else "text/plain"
    return declared or "text/plain"
