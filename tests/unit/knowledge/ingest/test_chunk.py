"""The chunk stage."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings, strategies as st

from spandrel.knowledge.ingest import pack
from spandrel.knowledge.ingest.chunk import Chunk, chunk, content_hash
from spandrel.knowledge.ingest.parse import Block, ParsedDocument, parse
from spandrel.knowledge.ingest.tokens import count

SENTENCE = "The quick brown fox jumps over the lazy dog and runs away. "


def markdown(text: str) -> ParsedDocument:
    return parse(text.encode(), name="a.md", content_type=None)


def plain(text: str) -> ParsedDocument:
    return parse(text.encode(), name="a.txt", content_type=None)


def check(document: ParsedDocument, chunks: list[Chunk], size: int) -> None:
    """What holds for all documents."""
    covered = [False] * len(document.text)
    for ordinal, piece in enumerate(chunks):
        shown = document.text[piece.start : piece.end]
        assert piece.ordinal == ordinal
        assert piece.text == shown or piece.text.endswith("\n" + shown)
        assert piece.token_count == count(piece.text) <= size
        assert shown.strip() == shown != ""
        assert piece.content_hash == content_hash(piece.heading_path, piece.text)
        covered[piece.start : piece.end] = [True] * (piece.end - piece.start)
    assert all(done or letter.isspace() for done, letter in zip(covered, document.text, strict=True))
    for left, right in pairwise(chunks):
        assert left.start < right.start
        assert left.end < right.end


PIECES = st.lists(
    st.one_of(
        st.sampled_from(
            ["# A", "## B", "### C", "- item one", "- item two\n  more", "```\ncode = 1\n\nmore\n```", "---"]
        ),
        st.sampled_from(["a | b\n--|--\n1 | 2\n3 | 4", SENTENCE * 3, "x" * 200, "\u6f22\u5b57\u3002" * 40, "1. first"]),
        st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"]), max_size=60),
        st.text("a. \n#|-`*\u00e9\U0001f600", max_size=60),
    ),
    min_size=1,
    max_size=14,
)


@settings(max_examples=250, deadline=None)
@given(PIECES, st.sampled_from(["\n", "\n\n"]), st.sampled_from([(16, 0), (16, 8), (24, 5), (50, 12), (400, 60)]))
def test_invariants(pieces: list[str], glue: str, sizes: tuple[int, int]) -> None:
    text = glue.join(pieces)
    if not text.strip():
        return
    for document in (markdown("x\n" + text), plain("x " + text)):
        size, overlap = sizes
        chunks = chunk(document, size=size, overlap=overlap)
        check(document, chunks, size)
        assert chunks == chunk(document, size=size, overlap=overlap)


@settings(max_examples=80, deadline=None)
@given(PIECES, st.integers(0, 5), st.sampled_from([(16, 4), (50, 12)]))
def test_an_edit_leaves_other_sections_alone(pieces: list[str], index: int, sizes: tuple[int, int]) -> None:
    body = "\n\n".join(piece.replace("#", "").replace("`", "").replace("~", "") for piece in pieces)
    body = re.sub(r"^[^\S\n]*[-=]+[^\S\n]*$", "", body, flags=re.MULTILINE)  # which underline a heading of its own
    parts = [f"## Section {number}\n\nText {number}. {body}" for number in range(6)]
    edited = [*parts[:index], f"## Section {index}\n\nSomething new stands here now.", *parts[index + 1 :]]

    def others(chunks: list[Chunk]) -> list[bytes]:
        return [c.content_hash for c in chunks if f"Section {index}" not in c.heading_path]

    before = chunk(markdown("\n\n".join(parts)), size=sizes[0], overlap=sizes[1])
    after = chunk(markdown("\n\n".join(edited)), size=sizes[0], overlap=sizes[1])
    assert others(before) == others(after)


def test_a_small_document_is_one_chunk() -> None:
    (only,) = chunk(plain("Hello there.\n\nAnd more."))
    assert (only.text, only.heading_path, only.page, only.token_count) == ("Hello there.\n\nAnd more.", (), None, 6)


def test_heading_paths_nest_and_bare_headings_go_with_what_follows() -> None:
    text = "intro\n\n# Guide\n\n## Install\n\nRun it.\n\n## Use\n\nCall it.\n\n# End\n"
    found = [(c.heading_path, c.text) for c in chunk(markdown(text))]
    assert found == [
        ((), "intro"),
        (("Guide", "Install"), "# Guide\n\n## Install\n\nRun it."),
        (("Guide", "Use"), "## Use\n\nCall it."),
        (("End",), "# End"),
    ]


def test_chunks_end_at_sentences_and_overlap_by_them() -> None:
    text = " ".join(f"Sentence number {n} says something of its own." for n in range(60))
    chunks = chunk(plain(text), size=50, overlap=12)
    assert all(piece.text.startswith("Sentence number") and piece.text.endswith("own.") for piece in chunks)
    assert all(right.start < left.end for left, right in pairwise(chunks))
    assert all(count(text[right.start : left.end]) <= 12 for left, right in pairwise(chunks))


def test_without_overlap_nothing_is_repeated() -> None:
    chunks = chunk(plain(SENTENCE * 40), size=40, overlap=0)
    assert all(right.start >= left.end for left, right in pairwise(chunks))


def test_overlap_of_long_sentences_is_in_words() -> None:
    text = " ".join(f"word{n}" for n in range(400))
    chunks = chunk(plain(text), size=60, overlap=20)
    for left, right in pairwise(chunks[:-1]):  # before the last, the rest of the sentence needs the room
        assert 0 < count(text[right.start : left.end].strip()) <= 22
        assert right.text.startswith("word")


def test_overlap_stays_in_its_section() -> None:
    text = "\n\n".join(f"# S{n}\n\n{SENTENCE * 6}" for n in range(4))
    for left, right in pairwise(chunk(markdown(text), size=50, overlap=20)):
        if left.heading_path != right.heading_path:
            assert right.start >= left.end


def test_a_paragraph_that_fits_is_not_cut_when_the_chunk_is_well_filled() -> None:
    paragraph = (SENTENCE * 3).strip()
    chunks = chunk(plain("\n\n".join([paragraph] * 6)), size=70, overlap=0)
    assert {piece.text for piece in chunks} == {paragraph}


def test_table_rows_stay_whole_and_repeat_their_header() -> None:
    rows = "\n".join(f"| item {n} | {n * 7} | in the blue store |" for n in range(30))
    document = markdown(f"# Stock\n\n| name | count | place |\n|---|---|---|\n{rows}")
    chunks = chunk(document, size=80, overlap=20)
    assert len(chunks) > 3
    for piece in chunks[1:]:
        assert piece.text.startswith("| name | count | place |\n|---|---|---|\n| item")
        assert document.text[piece.start : piece.end].startswith("| item")
    check(document, chunks, 80)


def test_a_header_too_large_to_repeat_is_not_repeated() -> None:
    header = " | ".join(f"a long column name {n}" for n in range(8))
    document = markdown(f"{header}\n{'|'.join(['---'] * 8)}\n" + "1 | 2 | 3 | 4 | 5 | 6 | 7 | 8\n" * 30)
    chunks = chunk(document, size=60, overlap=0)
    assert chunks[-1].text == document.text[chunks[-1].start : chunks[-1].end]
    check(document, chunks, 60)


def test_code_is_cut_at_lines() -> None:
    code = "\n".join(f"value_{n} = compute({n})" for n in range(60))
    chunks = chunk(markdown(f"```\n{code}\n```"), size=60, overlap=15)
    assert all(piece.text.startswith(("```", "value_")) and piece.text.endswith((")", "```")) for piece in chunks)


def test_a_giant_word_is_cut_anywhere() -> None:
    document = plain("start " + "q7Zx" * 3000 + " end")
    check(document, chunk(document, size=30, overlap=5), 30)


def test_pages_are_those_of_the_start() -> None:
    blocks = [Block("paragraph", 0, 60, page=1), Block("paragraph", 62, 121, page=2)]
    document = ParsedDocument(SENTENCE + " \n\n" + SENTENCE, blocks, "application/pdf")
    assert [piece.page for piece in chunk(document, size=16, overlap=0)] == [1, 2]


def test_text_outside_blocks_is_kept() -> None:
    document = ParsedDocument("before inside after", [Block("paragraph", 7, 13)], "text/plain")
    assert [piece.text for piece in chunk(document)] == ["before inside after"]


def test_nothing_gives_nothing() -> None:
    assert chunk(ParsedDocument("", [], "text/plain")) == []
    assert chunk(ParsedDocument("  ", [Block("paragraph", 0, 2)], "text/plain")) == []


@pytest.mark.parametrize(("size", "overlap"), [(15, 0), (100, 51), (100, -1)])
def test_settings_out_of_range(size: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="at least 16"):
        chunk(plain("x"), size=size, overlap=overlap)


def test_the_hash_knows_path_from_text() -> None:
    assert content_hash(("a", "b"), "c") != content_hash(("a",), "b c")
    assert content_hash(("a",), "c") != content_hash((), "c")


@pytest.mark.parametrize("text", [SENTENCE * 30, "q7Zx" * 400, "| a | b |\n|---|---|\n" + "| one two | three |\n" * 40])
def test_a_wrong_estimate_does_not_break_the_limit(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "_SLACK", -10)
    document = markdown(text)
    check(document, chunk(document, size=30, overlap=6), 30)
