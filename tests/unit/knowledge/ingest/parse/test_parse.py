"""The way in: detection, dispatch, and files that are out to break a parser."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from spandrel import errors
from spandrel.knowledge.ingest import parse as package
from spandrel.knowledge.ingest.parse import parse
from tests.corpus import docx as word, pdf as portable

PDF = portable.pdf([["A line of text."]])
DOCX = word.docx(word.paragraph("A line of text."))
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512)


def archive(*names: str) -> bytes:
    from io import BytesIO
    from zipfile import ZipFile

    out = BytesIO()
    with ZipFile(out, "w") as packed:
        for name in names:
            packed.writestr(name, "x")
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "name", "declared", "kind"),
    [
        (b"hello", "a.txt", None, "text/plain"),
        (b"hello", "a.TXT", "application/octet-stream", "text/plain"),
        (b"# hello", "README.md", "text/plain", "text/markdown"),
        (b"# hello", "README", "text/markdown; charset=utf-8", "text/markdown"),
        (b"x = 1", "main.py", None, "text/plain"),
        (b"a,b\n1,2\n", "a.csv", None, "text/csv"),
        (b"a,b\n1,2\n", "export", "text/csv", "text/csv"),
        (b"a\tb\n1\t2\n", "a.tsv", None, "text/tab-separated-values"),
        (b'{"a": 1}', "a.json", None, "application/json"),
        (b'{"a": 1}\n{"a": 2}', "a.jsonl", None, "application/x-ndjson"),
        (b"<p>hello", "a.html", None, "text/html"),
        (b"\n<!DOCTYPE HTML><p>hello", "page", None, "text/html"),
        (PDF, "a.pdf", None, "application/pdf"),
        (PDF, "a", "text/plain", "application/pdf"),
        (DOCX, "a.docx", None, word_type := "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        (DOCX, "a", None, word_type),
        (b"MZ is how this sentence begins.", "a.txt", None, "text/plain"),
    ],
)
def test_the_type_is_found(data: bytes, name: str, declared: str | None, kind: str) -> None:
    document = parse(data, name=name, content_type=declared)
    assert document.content_type == kind
    assert document.blocks


def test_text_that_mentions_pdf_is_text() -> None:
    assert parse(b"The header is %PDF-1.7 there.", name="a.txt", content_type=None).content_type == "text/plain"


FAULTS = [
    (b"", "a.txt", errors.DocumentEmptyError, "empty"),
    (b" \n\t \x00", "a.txt", errors.DocumentEmptyError, "empty"),
    (b"\xff\xfe", "a.txt", errors.DocumentEmptyError, "empty"),
    (b"\x0b\x0b", "a.txt", errors.DocumentEmptyError, "no text"),
    ("\u200b\u3000\u2060".encode(), "a.txt", errors.DocumentEmptyError, "no text"),
    (b"<script>x</script>", "a.html", errors.DocumentEmptyError, "no text"),
    (b"{}", "a.json", errors.DocumentEmptyError, "no text"),
    (b",,\n,,\n", "a.csv", errors.DocumentEmptyError, "no text"),
    (portable.pdf([[], []]), "a.pdf", errors.DocumentEmptyError, "2 pages but no text"),
    (PDF, "a.docx", errors.DocumentTypeMismatchError, r"named \.docx but holds a PDF"),
    (DOCX, "a.pdf", errors.DocumentTypeMismatchError, "holds a Word document"),
    (DOCX, "a.txt", errors.DocumentTypeMismatchError, "holds a Word document"),
    (b"plain words", "a.pdf", errors.DocumentTypeMismatchError, "holds plain text"),
    (b"<html>x", "a.docx", errors.DocumentTypeMismatchError, "holds an HTML page"),
    (b"<!doctype html>x", "a.json", errors.DocumentTypeMismatchError, "holds an HTML page"),
    (b"\x89PNG\r\n\x1a\n" + bytes(99), "a.txt", errors.DocumentTypeMismatchError, "PNG image"),
    (b"\x89PNG\r\n\x1a\n" + bytes(99), "a.png", errors.DocumentTypeUnsupportedError, "PNG image"),
    (b"RIFF\x00\x00\x00\x00WEBPxx", "a.webp", errors.DocumentTypeUnsupportedError, "WebP"),
    (b"\x00\x00\x00\x18ftypmp42" + bytes(9), "a.mp4", errors.DocumentTypeUnsupportedError, "video"),
    (b"\x7fELF\x02\x01\x01" + bytes(99), "tool", errors.DocumentTypeUnsupportedError, "executable"),
    (b"MZ\x90\x00\x03" + bytes(99), "a.exe", errors.DocumentTypeUnsupportedError, "Windows program"),
    (b"{\\rtf1 x}", "a.rtf", errors.DocumentTypeUnsupportedError, "RTF"),
    (bytes(range(256)) * 9, "a.bin", errors.DocumentTypeUnsupportedError, "binary"),
    (bytes(range(1, 256)) * 9, "a.pdf", errors.DocumentDamagedError, "does not begin like one"),
    (archive("xl/workbook.xml"), "a.xlsx", errors.DocumentTypeUnsupportedError, "Excel"),
    (archive("notes.txt"), "a.docx", errors.DocumentTypeMismatchError, "a ZIP archive"),
    (b"PK\x03\x04broken", "a.docx", errors.DocumentDamagedError, "damaged"),
    (DOCX[:-30], "a.docx", errors.DocumentDamagedError, "damaged"),
    (PDF[:100], "a.pdf", errors.DocumentDamagedError, "damaged"),
    (OLE + "EncryptedPackage".encode("utf-16-le"), "a.docx", errors.DocumentEncryptedError, "password"),
    (OLE, "a.doc", errors.DocumentTypeUnsupportedError, "old Office file"),
    (OLE, "a.docx", errors.DocumentTypeMismatchError, "old Office file"),
    (portable.encrypted(), "a.pdf", errors.DocumentEncryptedError, "password"),
    (b'{"a": 1,}', "a.json", errors.DocumentDamagedError, "line 1, column"),
    (b"[" * 500_000, "a.json", errors.DocumentLimitError, "nested"),
]


@pytest.mark.parametrize(("data", "name", "error", "words"), FAULTS, ids=[f"{n}-{w}" for _, n, _, w in FAULTS])
def test_faults_have_a_code_and_a_sentence(
    data: bytes, name: str, error: type[errors.DocumentError], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        parse(data, name=name, content_type=None)
    assert type(caught.value) is error
    assert caught.value.detail.endswith(".")


LINES = b"word and word\n"
SLOW = {
    "dots": (b"." * 500_000, "a.txt"),
    "blanks": (b"x" + b" \t" * 500_000 + b"y", "a.txt"),
    "blank lines": (b"x" + b"\n " * 500_000 + b"y", "a.txt"),
    "backticks": (b"# " + b"`" * 500_000, "a.md"),
    "hashes": (b"# #" * 300_000, "a.md"),
    "blank cells": (b"a|b\n" + b" " * 500_000 + b"|x\n", "a.md"),
    "rules": (b"- " * 300_000 + b"x", "a.md"),
    "front matter": (b"---\n" + b"a: b\n" * 100_000, "a.md"),
    "open quote": (b'a,b\n"' + b"x,y\n" * 100_000, "a.csv"),
}


@pytest.mark.parametrize("case", SLOW)
def test_time_is_linear_in_the_size(case: str) -> None:
    data, name = SLOW[case]
    start = time.process_time()
    assert parse(data, name=name, content_type=None).blocks
    assert time.process_time() - start < 5


def test_bombs_are_stopped() -> None:
    with pytest.raises(errors.DocumentLimitError):
        parse(portable.bomb(400), name="a.pdf", content_type=None)
    with pytest.raises(errors.DocumentLimitError):
        parse(word.docx(word.paragraph("A" * 1000) * 60_000), name="a.docx", content_type=None)
    with pytest.raises(errors.DocumentLimitError):
        parse(word.docx("<w:x>" * 5000 + "</w:x>" * 5000), name="a.docx", content_type=None)


def test_importing_stays_cheap() -> None:
    code = (
        "import sys; before = set(sys.modules)\n"
        "import spandrel.knowledge.ingest.parse, spandrel.knowledge.ingest.chunk\n"
        "heavy = {'tiktoken', 'selectolax', 'pypdfium2', 'defusedxml', 'xml', 'csv', 'subprocess', 'ctypes'}\n"
        "print(sorted(heavy & (set(sys.modules) - before)))"
    )
    layer = str(Path(package.__file__).parents[4])
    run = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": layer}, capture_output=True, check=True)
    assert run.stdout.strip() == b"[]"
