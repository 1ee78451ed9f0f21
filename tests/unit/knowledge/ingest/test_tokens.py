"""Counting tokens."""

from __future__ import annotations

import gzip
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings, strategies as st

from spandrel.knowledge.ingest import tokens
from spandrel.knowledge.ingest.tokens import TokenMap, VocabularyError, count, encode

WORDS = st.lists(
    st.one_of(
        st.sampled_from(
            ["the", "Don't", "naïve", "42", "3.14159", "(a)", "...", "x_y", "\n", "\n\n", "  ", "\t", "\r\n"]
        ),
        st.sampled_from(
            ["\u6f22\u5b57", "\U0001f600", "e\u0301", "--", "foo.\n\nBar", "\x1c", "\u00a0", "\u2028", " "]
        ),
        st.text(max_size=8),
    ),
    max_size=40,
)


def test_known_counts() -> None:
    assert encode("hello world") == [15339, 1917]
    assert count("") == 0


def test_text_like_a_special_token_is_text() -> None:
    assert count("<|endoftext|>") > 1


@settings(max_examples=300, deadline=None)
@given(WORDS, st.data())
def test_any_part_counts_as_if_it_stood_alone(pieces: list[str], data: st.DataObject) -> None:
    text = " ".join(pieces).encode("utf-8", "replace").decode()
    begin = data.draw(st.integers(0, len(text)))
    tokenised = TokenMap(text, begin, len(text))
    start = data.draw(st.integers(begin, len(text)))
    end = data.draw(st.integers(start, len(text)))
    assert tokenised.count(start, end) == count(text[start:end])
    assert tokenised.total == count(text[begin:])


def test_long_text_is_tokenised_in_segments_without_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Many words, some longer; 1234567 numbers. Na\u00efve \u6f22\u5b57\u3002\n" * 50
    monkeypatch.setattr(tokens, "_SEGMENT", 100)
    tokenised = TokenMap(text, 0, len(text))
    assert tokenised.total == count(text)
    assert tokenised.count(500, 900) == count(text[500:900])


def test_a_segment_without_a_border_is_taken_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_SEGMENT", 100)
    assert TokenMap("\u6f22" * 1000, 0, 1000).total == count("\u6f22" * 1000)


@pytest.mark.parametrize("text", ["x" + " " * 300_000 + "y", " " * 300_000, "\n " * 200_000 + "z"])
def test_endless_blanks_do_not_overflow_the_tokeniser(text: str) -> None:
    assert count(text) > 0
    assert TokenMap(text, 0, len(text)).count(1, len(text)) == count(text[1:])


def test_offset_finds_where_tokens_end() -> None:
    text = "one two three four five six"
    tokenised = TokenMap(text, 0, len(text))
    assert text[: tokenised.offset(0, 2)] == "one two"
    assert text[4 : tokenised.offset(3, 2)] == "two three"
    assert tokenised.offset(0, 100) == len(text)


def test_estimate_is_near() -> None:
    text = "one two three four five six"
    assert TokenMap(text, 0, len(text)).estimate(0, len(text)) == 6


@pytest.fixture
def carrier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "data").mkdir()
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(tokens.importlib.util, "find_spec", lambda name: spec)
    return tmp_path / "data" / "cl100k_base.tiktoken.gz"


def test_another_vocabulary_is_refused(carrier: Path) -> None:
    carrier.write_bytes(gzip.compress(b"YQ== 0\n"))
    with pytest.raises(VocabularyError, match="not the published one"):
        tokens._vocabulary()


def test_a_missing_vocabulary_is_named(carrier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(VocabularyError, match="cannot be read"):
        tokens._vocabulary()
    monkeypatch.setattr(tokens.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(VocabularyError, match="not installed"):
        tokens._vocabulary()
