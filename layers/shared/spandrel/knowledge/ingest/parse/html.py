"""HTML to blocks. Runs in the child process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from spandrel.knowledge.ingest.parse.builder import Builder, words
from spandrel.knowledge.ingest.parse.models import ParsedDocument
from spandrel.knowledge.ingest.parse.text import decode

_DROPPED = frozenset({
    "script", "style", "template", "noscript", "nav", "iframe", "object", "embed", "svg", "math", "canvas", "audio",
    "video", "select", "button", "input", "textarea", "datalist", "dialog", "form-control", "head",
})  # fmt: skip
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "center", "dd", "details", "div", "dl", "dt", "fieldset",
    "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hgroup", "hr", "legend",
    "li", "main", "menu", "ol", "p", "pre", "section", "summary", "table", "tbody", "tfoot", "thead", "tr", "ul",
    "caption",
})  # fmt: skip
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_STRUCTURE = "h1, h2, h3, h4, h5, h6"
# What a page hides a person does not see, and a model would be told.
_HIDDEN = "[hidden]:not([hidden=until-found])"
_HIDING = re.compile(r"(^|;)\s*(display\s*:\s*none|visibility\s*:\s*(hidden|collapse))\s*(!|;|$)", re.IGNORECASE)
_VOID = frozenset(
    ["area", "base", "br", "col", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"]
)


def _lays_out(table: Any) -> bool:
    """Whether a table holds headings or tables, so that its cells are parts of the page."""
    nested = any(inner.mem_id != table.mem_id for inner in table.css("table"))
    return nested or table.css_first(_STRUCTURE) is not None


class _Reader:
    """Walks the tree without recursion; blocks are closed where block elements begin and end."""

    def __init__(self, builder: Builder) -> None:
        self._out = builder
        self._inline: list[str] = []
        self._kinds: list[tuple[str, int]] = [("paragraph", 0)]
        self._pre = 0
        self._layout: list[bool] = []  # for each open table, whether it only lays out the page
        self._rows: list[list[str]] = []
        self._header = False

    def _in_table(self) -> bool:
        return bool(self._layout) and not self._layout[-1]

    def _flush(self) -> None:
        text = "".join(self._inline)
        self._inline.clear()
        kind, level = self._kinds[-1]
        if self._pre:
            self._out.add("code", text)
            return
        text = words(text)
        if text and kind == "list_item":
            text = "- " + text
        self._out.add(kind, text.replace("\n", " ") if kind == "heading" else text, level=level)

    def text(self, value: str) -> None:
        self._inline.append(value if self._pre else value.replace("\n", " "))

    def enter(self, node: Any, tag: str) -> None:
        if tag == "br":
            self._inline.append("\n")
        elif tag == "img":
            alternative = (node.attributes.get("alt") or "").strip()
            self._inline.append(f" {alternative} " if alternative else "")
        elif self._in_table():
            self._enter_cell(tag)
        elif tag in _BLOCKS:
            self._flush()
            if tag in _HEADINGS:
                self._kinds.append(("heading", _HEADINGS[tag]))
            elif tag in ("li", "dd"):
                self._kinds.append(("list_item", 0))
            elif tag == "pre":
                self._pre += 1
            elif tag == "table":
                self._layout.append(_lays_out(node))
                self._rows, self._header = [], False

    def _enter_cell(self, tag: str) -> None:
        if tag == "tr":
            self._rows.append([])
            self._inline.clear()
        elif tag in ("td", "th"):
            self._header = self._header or (tag == "th" and len(self._rows) == 1)
            self._inline.clear()
        elif tag in _BLOCKS:
            self._inline.append("\n")

    def leave(self, tag: str) -> None:
        if self._in_table():
            self._leave_cell(tag)
        elif tag in _BLOCKS or tag in ("td", "th"):
            self._flush()
            if tag in _HEADINGS or tag in ("li", "dd"):
                self._kinds.pop()
            elif tag == "pre":
                self._pre -= 1
            elif tag == "table":
                self._layout.pop()

    def _leave_cell(self, tag: str) -> None:
        if tag in ("td", "th") and self._rows:
            self._rows[-1].append(" ".join("".join(self._inline).split()))
            self._inline.clear()
        elif tag == "caption":
            self._out.add("paragraph", words("".join(self._inline)))
            self._inline.clear()
        elif tag == "table":
            self._layout.pop()
            self._inline.clear()
            rows = [cells for cells in self._rows if any(cells)]
            if rows:
                self._out.table(rows, header=self._header)


def _hidden(root: Any) -> set[int]:
    """The elements that the page itself hides, by `mem_id`."""
    hidden = {node.mem_id for node in root.css(_HIDDEN)}
    hidden |= {node.mem_id for node in root.css("[style]") if _HIDING.search(node.attributes["style"] or "")}
    return hidden - {root.mem_id}  # a page that shows itself once its scripts have run


def _walk(root: Any) -> Iterator[tuple[str, Any]]:
    """`enter` and `leave` of every node under `root` that is read, in document order."""
    hidden = _hidden(root)
    node, depth = root, 0
    while node is not None:
        read = node.tag not in _DROPPED and node.mem_id not in hidden
        if read:
            yield "enter", node
        if read and node.first_child is not None:
            node, depth = node.first_child, depth + 1
            continue
        if read:
            yield "leave", node
        while depth and node.next is None:
            node, depth = node.parent, depth - 1
            yield "leave", node
        if not depth:
            return
        node = node.next


def parse(data: bytes) -> ParsedDocument:
    """Headings, paragraphs, list items, `pre` as code and table rows. Scripts, styles, navigation and what the page's
    own markup hides are left out.

    The title comes first, as a heading, unless the page's first heading says the same.
    """
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(_decode(data))
    builder = Builder()
    title_node = tree.css_first("head > title")
    title = " ".join(title_node.text(deep=True).split()) if title_node is not None else ""
    first = tree.css_first("h1")
    if title and (first is None or " ".join(first.text(deep=True).split()).lower() != title.lower()):
        builder.add("heading", title, level=1)
    if tree.body is None:
        return builder.document("text/html")
    reader = _Reader(builder)
    for event, node in _walk(tree.body):
        tag = node.tag
        if tag == "-text":
            if event == "enter":
                reader.text(node.text_content or "")
        elif tag is None or tag.startswith("-"):
            continue
        elif event == "enter":
            reader.enter(node, tag)
        elif tag not in _VOID or tag == "hr":
            reader.leave(tag)
    return builder.document("text/html")


def _decode(data: bytes) -> str:
    """By byte order mark or content; a declared legacy encoding counts when the bytes are not UTF-8."""
    declared = re.search(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([A-Za-z0-9_:-]{1,40})", data[:4096], re.IGNORECASE)
    if declared:
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            try:
                return data.decode(declared[1].decode("ascii"), "replace").replace("\x00", "")
            except LookupError:
                pass
    return decode(data)
