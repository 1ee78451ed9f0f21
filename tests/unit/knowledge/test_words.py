from __future__ import annotations

import sys
import unicodedata
from itertools import pairwise

import pytest
from hypothesis import example, given, settings, strategies as st

from spandrel.knowledge.words import words_of

UNSPACED = (
    "CJK UNIFIED", "CJK COMPATIBILITY", "HIRAGANA", "HENTAIGANA", "KATAKANA", "HANGUL SYLLABLE", "IDEOGRAPHIC",
    "THAI ", "LAO ", "MYANMAR ", "KHMER ", "TAI LE ", "NEW TAI LUE ", "TAI THAM ", "TAI VIET ", "AHOM ",
)  # fmt: skip
SILENT = {
    0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFEFF, 0xFFA0, 0x640,
    *range(0x180B, 0x1810), *range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070),
    *range(0xFE00, 0xFE10), *range(0xFFF0, 0xFFF9), *range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B),
    *range(0xE0000, 0xE1000),
}  # fmt: skip
VOWELS = ("HEBREW POINT", "HEBREW ACCENT", "HEBREW MARK", "ARABIC", "SYRIAC")


def split(text: str) -> list[str]:
    return [word.decode() for word in words_of(text)]


def silent(character: str) -> bool:
    mark = unicodedata.category(character)[0] == "M"
    return ord(character) in SILENT or (mark and unicodedata.name(character, "").startswith(VOWELS))


def kind(character: str) -> str:
    if unicodedata.category(character)[0] == "M":
        return "mark"
    if not character.isalnum():
        return "break"
    ideographic_zero = character == "\u3007"
    unspaced = unicodedata.name(character, "").startswith(UNSPACED) and (character.isalpha() or ideographic_zero)
    return "unspaced" if unspaced else "spaced"


def reference(text: str) -> list[str]:
    """A character at a time, by what Unicode says of it."""
    text = unicodedata.normalize("NFKC", text).casefold()
    text = "".join(character for character in text if not silent(character)).replace("i\u0307", "i")
    runs: list[tuple[str, list[str]]] = []
    last = "break"
    for character in unicodedata.normalize("NFKC", text):
        now = kind(character)
        if now == "mark" and last != "break":
            runs[-1][1][-1] += character
            continue
        if now in ("spaced", "unspaced"):
            if now != last:
                runs.append((now, []))
            runs[-1][1].append(character)
        last = now if now != "mark" else "break"
    words: list[str] = []
    for script, characters in runs:
        pairs = [one + other for one, other in pairwise(characters)]
        words += pairs if script == "unspaced" and pairs else ["".join(characters)]
    return words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("हिन्दी में क्षत्रिय।", ["हिन्दी", "में", "क्षत्रिय"]),
        ("தமிழ் மொழி", ["தமிழ்", "மொழி"]),
        ("বাংলা ভাষা", ["বাংলা", "ভাষা"]),
        ("བོད་སྐད་", ["བོད", "སྐད"]),  # syllables: a dot parts them
        ("ދިވެހި ބަސް", ["ދިވެހި", "ބަސް"]),
        ("x\u030cy q\u0331", ["x\u030cy", "q\u0331"]),  # accents with which no letter is composed
        ("\u0301a _\u0301b", ["a", "b"]),  # marks on no letter
        ("\U00011103\U0001112e\U00011107", ["\U00011103\U0001112e\U00011107"]),  # Chakma, beyond the first plane
        ("co\u00adoperate", ["cooperate"]),
        ("می\u200cخواهم", ["میخواهم"]),
        ("ab\u200bcd", ["ab", "cd"]),
        ("don't snake_case 3.14", ["don", "t", "snake", "case", "3", "14"]),
    ],
)
def test_a_word_keeps_its_marks(text: str, words: list[str]) -> None:
    assert split(text) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ภาษาไทย", ["ภา", "าษ", "ษา", "าไ", "ไท", "ทย"]),
        ("น้ำ", ["น้ํา"]),
        ("ที่นี่", ["ที่นี่"]),
        ("ປະເທດ", ["ປະ", "ະເ", "ເທ", "ທດ"]),
        ("မြန်မာ", ["မြန်", "န်မာ"]),
        ("ភាសាខ្មែរ", ["ភាសា", "សាខ្", "ខ្មែ", "មែរ"]),
        ("ปี ๒๕๖๗ iPhone", ["ปี", "๒๕๖๗", "iphone"]),
        ("葛\U000e0100城市", ["葛城", "城市"]),
        ("ジョン・スミス", ["ジョ", "ョン", "スミ", "ミス"]),
        ("か\u3099っこう", ["がっ", "っこ", "こう"]),
        ("𠮷野家", ["𠮷野", "野家"]),
        ("鲸", ["鲸"]),
    ],
)
def test_scripts_without_spaces_are_pairs_of_characters_with_their_marks(text: str, words: list[str]) -> None:
    assert split(text) == words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("İSTANBUL", "istanbul"),
        ("i\u0307stanbul", "istanbul"),
        ("STRASSE", "straße"),
        ("ΟΔΟΣ", "οδος"),
        ("ΐδιος", unicodedata.normalize("NFD", "ΐδιος")),
        ("Việt", unicodedata.normalize("NFD", "việt")),
        ("क़लम", unicodedata.normalize("NFC", "क़लम")),
        ("서울", unicodedata.normalize("NFD", "서울")),
        ("اللُّغَةُ العَرَبِيَّةُ", "اللغة العربية"),
        ("مــرحبا", "مرحبا"),
        ("آب", "ا\u0653ب"),
        ("שָׁלוֹם", "שלום"),
        ("\ufb2a\u05b8לוֹם", "שלום"),
        ("ﬁsh", "fish"),
        ("ｶﾞｲﾄﾞ", "ガイド"),
    ],
)
def test_spellings_of_a_word_are_one(one: str, other: str) -> None:
    assert split(one) == split(other) != []


@pytest.mark.parametrize(("one", "other"), [("über", "uber"), ("की", "कि"), ("आب", "اب"), ("ı", "i")])
def test_marks_that_make_another_word_are_kept(one: str, other: str) -> None:
    assert split(one) != split(other)


MIXED = (
    "aZß9İıΐςжé_'. \u0301\u0307\u0323\u00ad\u200b\u200c\u200d\ufe0f👍を買人々〇・한\u1112\u1161\u11ab"
    "กาำ่๒ລ່ကြ်ខ្មកि्षكَّـאָ\U00011103\U0001112e𠮷"
)
TEXTS = st.one_of(
    st.text(st.sampled_from(MIXED), max_size=30),
    st.text(st.characters(exclude_categories=("Cs", "Cn")), max_size=30),
)


@settings(max_examples=500)
@given(TEXTS)
@example("İ")
@example("a\u0323\u0307")
def test_any_text_is_read_as_unicode_says(text: str) -> None:
    assert split(text) == reference(text)


@given(TEXTS)
def test_composed_or_not_is_one(text: str) -> None:
    forms = (unicodedata.normalize(form, text) for form in ("NFC", "NFD", "NFKC", "NFKD"))
    assert all(split(each) == split(text) for each in forms)


@pytest.mark.parametrize("before", ["", "言 "])
def test_each_character_is_read_as_unicode_says(before: str) -> None:
    """Within a word and alone, in text of alphabets and in other: what the patterns list is what Unicode has."""
    known = (chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) not in ("Cn", "Cs"))
    notable = (each for each in known if not "\u3400" <= each <= "\ud7a3" or ord(each) % 97 == 0)
    texts = [f"{before}a{each}b {each} c{each}" for each in notable if not each >= "\U00020000" or ord(each) % 97 == 0]
    assert [text for text in texts if split(text) != reference(text)] == []
