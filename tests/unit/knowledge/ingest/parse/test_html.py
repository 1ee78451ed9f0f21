"""HTML."""

from __future__ import annotations

from spandrel.knowledge.ingest.parse.html import parse


def blocks(source: str | bytes) -> list[tuple[str, str]]:
    document = parse(source.encode() if isinstance(source, str) else source)
    return [(b.kind, document.text[b.start : b.end]) for b in document.blocks]


def test_what_readers_see_is_kept() -> None:
    source = """<!doctype html><head><title>Site &amp; Co</title><style>p {}</style></head><body>
    <nav>Home</nav><h1>Main <em>title</em></h1> loose text <p>one<br>two&nbsp;three <img alt="a map" src=x> <img src=y>
    <script>no()</script><template><p>no</p></template><div>in <b>a</b> div</div><hr>
    <h2>Sub</h2><pre>  keep\n    this</pre><dl><dt>Term</dt><dd>Meaning</dd></dl></body>"""
    assert blocks(source) == [
        ("heading", "Site & Co"),
        ("heading", "Main title"),
        ("paragraph", "loose text"),
        ("paragraph", "one\ntwo three a map"),
        ("paragraph", "in a div"),
        ("heading", "Sub"),
        ("code", "  keep\n    this"),
        ("paragraph", "Term"),
        ("list_item", "- Meaning"),
    ]


def test_what_readers_do_not_see_is_left_out() -> None:
    source = """<body style="visibility: hidden"><p hidden>a <b>b</b></p>
    <p style="color:red;DISPLAY : none !important">c</p>
    <div style='visibility:hidden'><h1>d</h1><p>e</p></div><p>seen<span style="display:none">f</span> too</p>
    <p hidden=until-found>found</p><p style="background: url(a?display:none)">drawn</p><p style>plain</p>"""
    assert blocks(source) == [("paragraph", text) for text in ("seen too", "found", "drawn", "plain")]


def test_heading_levels_and_titles() -> None:
    document = parse(b"<h1>A</h1><h3>B <br> c</h3>")
    assert [(b.level, b.title) for b in document.blocks] == [(1, "A"), (3, "B c")]


def test_the_title_is_not_said_twice() -> None:
    assert blocks("<title>Same</title><h1>same</h1>x") == [("heading", "same"), ("paragraph", "x")]


def test_nested_lists() -> None:
    source = "<ul><li>one<ul><li>inner</li></ul></li><li><p>two</p></li></ul>"
    assert blocks(source) == [("list_item", "- one"), ("list_item", "- inner"), ("list_item", "- two")]


def test_tables_with_a_header_name_their_columns() -> None:
    source = """<table><caption>Stock</caption><thead><tr><th>Part<th>Count</thead>
    <tr><td>Bolt <p>M6</p><td>5<tr><td>Nut<td></table>"""
    assert blocks(source) == [
        ("paragraph", "Stock"),
        ("table_row", "Part: Bolt M6; Count: 5"),
        ("table_row", "Part: Nut"),
    ]


def test_tables_without_a_header() -> None:
    assert blocks("<table><tr><td>a<td>b<tr><td>c<td>d</table>after") == [
        ("table_row", "a | b"),
        ("table_row", "c | d"),
        ("paragraph", "after"),
    ]


def test_tables_that_lay_out_the_page_are_read_as_text() -> None:
    source = "<table><tr><td><h2>Head</h2>text<td>side<table><tr><td>x<td>y</table></table>"
    assert blocks(source) == [
        ("heading", "Head"),
        ("paragraph", "text"),
        ("paragraph", "side"),
        ("table_row", "x | y"),
    ]


def test_declared_encodings() -> None:
    page = '<meta charset="{}"><p>Pr\u00e9sent</p>'
    assert blocks(page.format("iso-8859-1").encode("latin-1")) == [("paragraph", "Pr\u00e9sent")]
    assert blocks(page.format("no-such").encode("latin-1")) == [("paragraph", "Pr\u00e9sent")]
    assert blocks(page.format("iso-8859-1").encode()) == [("paragraph", "Pr\u00e9sent")]
    assert blocks('<meta charset="shift_jis"><p>\u65e5\u672c</p>'.encode("shift_jis")) == [
        ("paragraph", "\u65e5\u672c")
    ]


def test_an_empty_page() -> None:
    assert blocks("<html><head></head></html>") == []
    assert blocks("<frameset></frameset>") == []
