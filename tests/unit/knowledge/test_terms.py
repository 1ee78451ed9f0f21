from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, strategies as st

from spandrel.knowledge.stopwords import LANGUAGES, stop_words
from spandrel.knowledge.terms import DIMENSIONS, K1, REFERENCE_LENGTH, Analyzer, B, analyzer, query_terms, weigh
from spandrel.knowledge.words import words_of


def terms(text: str, language: str = "english") -> set[int]:
    return set(analyzer(language).counts(text))


def terms_of_query(text: str, language: str) -> list[int]:
    return [term for term in query_terms(text)[LANGUAGES.index(language) :: len(LANGUAGES)] if term >= 0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Whales", "whale"),
        ("WHALE", "whale"),
        ("singing", "sing"),
        ("whale.", "(whale)"),
        ("snake_case", "snake case"),
        ("end-to-end", "end to end"),
        ("\ufb01sh", "fish"),  # a ligature
        ("caf\u00e9", "cafe\u0301"),  # composed and not
        ("\u0130stanbul", "istanbul"),
    ],
)
def test_spellings_of_a_word_are_one_term(one: str, other: str) -> None:
    assert terms(one) == terms(other) != set()


@pytest.mark.parametrize(("one", "other"), [("whale", "shark"), ("1851", "1852"), ("über", "uber"), ("c", "d")])
def test_different_words_are_different_terms(one: str, other: str) -> None:
    assert terms(one, "simple") != terms(other, "simple")


def test_occurrences_are_counted() -> None:
    assert sorted(analyzer("english").counts("whale whales shark").values()) == [1, 2]


@pytest.mark.parametrize("language", LANGUAGES)
def test_stop_words_are_left_out(language: str) -> None:
    assert analyzer(language).counts(" ".join(stop_words(language))) == Counter()


@pytest.mark.parametrize("language", LANGUAGES)
def test_stop_words_are_listed_as_words_are_compared(language: str) -> None:
    assert {word.encode() for word in stop_words(language)} == {*words_of(" ".join(stop_words(language)))}


def test_no_language_is_without_its_list() -> None:
    assert [language for language in LANGUAGES if not stop_words(language)] == ["simple"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_ascii_and_other_text_are_read_alike(language: str) -> None:
    ascii_only = "Walking the Whale_2nd, don't x" + "y" * 100
    found = analyzer(language).counts(ascii_only)
    assert analyzer(language).counts(ascii_only + " ü") - analyzer(language).counts("ü") == found


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("german", "Häuser", "Haus"),
        ("french", "chevaux", "cheval"),
        ("spanish", "ballenas", "ballena"),
    ],
)
def test_words_are_stemmed_by_language(language: str, one: str, other: str) -> None:
    assert terms(one, language) == terms(other, language)
    assert terms(one, "simple") != terms(other, "simple")


def test_a_run_of_cjk_is_pairs() -> None:
    assert terms("鲸鱼", "simple") < terms("喜欢鲸鱼", "simple")
    assert len(terms("鲸", "simple")) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Python言語", ["python", "言語"]),
        ("iPhone15を買った", ["iphone15", "を買った"]),
        ("2024年度", ["2024", "年度"]),
        ("鲸鱼whale鲸鱼", ["鲸鱼", "whale"]),
        ("서울tower에서", ["서울", "tower", "에서"]),
        ("人々の暮らし", ["人々", "々の", "の暮", "暮らし"]),
    ],
)
def test_a_run_of_cjk_ends_and_begins_where_the_script_changes(text: str, words: list[str]) -> None:
    """Written without spaces between, as is usual; what stands in the middle of it must be found."""
    assert terms(text, "simple") == set().union(*(terms(word, "simple") for word in words))


def test_a_word_without_end_is_cut() -> None:
    assert terms("a" * 64, "simple") == terms("a" * 1_000, "simple")


@pytest.mark.parametrize("text", ["", " ", "?!", "_", "the of"])
def test_text_without_words_has_no_terms(text: str) -> None:
    assert terms(text) == set()


@given(st.text(alphabet=st.characters()))
def test_any_text_has_terms_in_range(text: str) -> None:
    assert all(0 <= term < DIMENSIONS for term in analyzer("english").counts(text))


def test_lone_surrogates_do_no_harm() -> None:
    assert terms("whale \ud800") >= terms("whale")


def test_what_an_analyzer_remembers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Analyzer, "_CACHE_WORDS", 300)
    small = Analyzer("english")
    before = small.counts("whale the word1")
    for n in range(1000):
        small.counts(f"word{n}")
        assert len(small._terms) <= 302
    assert small.counts("whale the word1") == before


def test_weights_are_bm25_s() -> None:
    vector = weigh(Counter({5: 3, 2: 1}))
    norm = K1 * (1 - B + B * 4 / REFERENCE_LENGTH)
    expected = [1 * (K1 + 1) / (1 + norm), 3 * (K1 + 1) / (3 + norm)]
    import struct

    assert struct.unpack(">iii2i2f", vector)[:5] == (DIMENSIONS, 2, 0, 2, 5)
    assert struct.unpack(">iii2i2f", vector)[5:] == pytest.approx(expected)


def test_no_weight_reaches_the_bound_that_maxscore_relies_on() -> None:
    import struct

    [weight] = struct.unpack(">f", weigh(Counter({1: 10**9}))[-4:])
    assert weight <= K1 + 1


@pytest.mark.parametrize("text", ["Whales sing", "Über Größe", "हिन्दी भाषा", "ภาษาไทย ๒๕๖๗", "שָׁלוֹם", "鲸鱼 İ x\u030c"])
def test_passages_and_queries_are_read_alike(text: str) -> None:
    for language in LANGUAGES:
        assert terms_of_query(text, language) == list(analyzer(language).counts(text))


def test_a_query_has_its_words_in_every_language() -> None:
    found = query_terms("the whales")
    assert len(found) == 2 * len(LANGUAGES)
    english = LANGUAGES.index("english")
    assert found[english] == -1  # a stop word
    assert {found[len(LANGUAGES) + english]} == terms("whale")


def test_a_query_says_a_term_as_often_as_it_does() -> None:
    [whale] = terms("whale")
    assert terms_of_query("Whales and a whale", "english").count(whale) == 2
