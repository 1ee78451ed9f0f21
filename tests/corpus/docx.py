"""DOCX files from scratch."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from io import BytesIO

NAMESPACE = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_TYPES = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="xml" ContentType="application/xml"/></Types>'
)


def paragraph(text: str, *, style: str = "", properties: str = "") -> str:
    named = f'<w:pStyle w:val="{style}"/>' if style else ""
    return f"<w:p><w:pPr>{named}{properties}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"


def item(text: str) -> str:
    return paragraph(text, properties='<w:numPr><w:ilvl w:val="0"/><w:numId w:val="1"/></w:numPr>')


def table(rows: list[list[str]], *, header: bool = False) -> str:
    marked = "<w:trPr><w:tblHeader/></w:trPr>" if header else ""
    out = []
    for index, cells in enumerate(rows):
        inner = "".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in cells)
        out.append(f"<w:tr>{marked if index == 0 else ''}{inner}</w:tr>")
    return f"<w:tbl>{''.join(out)}</w:tbl>"


def style(key: str, name: str, properties: str = "", based_on: str = "") -> str:
    based = f'<w:basedOn w:val="{based_on}"/>' if based_on else ""
    head = f'<w:style w:type="paragraph" w:styleId="{key}"><w:name w:val="{name}"/>'
    return f"{head}{based}<w:pPr>{properties}</w:pPr></w:style>"


def docx(body: str, *, styles: str = "", parts: Mapping[str, bytes] | None = None, head: str = "") -> bytes:
    """A Word file with the given body (XML) and styles; `parts` adds or replaces members."""
    document = f'<?xml version="1.0"?>{head}<w:document xmlns:w="{NAMESPACE}"><w:body>{body}</w:body></w:document>'
    members = {"[Content_Types].xml": _TYPES.encode(), "word/document.xml": document.encode()}
    if styles:
        members["word/styles.xml"] = f'<w:styles xmlns:w="{NAMESPACE}">{styles}</w:styles>'.encode()
    members |= parts or {}
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()
