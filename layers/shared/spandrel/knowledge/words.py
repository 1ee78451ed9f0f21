"""Text to words, the same for passages and queries.

Words are compared in Unicode's form for caseless comparison (NFKC_Casefold, UAX #44). A word is a run of letters and
digits, and marks belong to the character before them (UAX #29, WB4). Scripts without spaces between words have their
runs cut into overlapping pairs of characters, each with its marks, because finding words there takes a dictionary.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from operator import add

# ASCII text to lower-case words and blanks, in one pass over its bytes.
_ASCII_WORDS = bytes(ord(chr(code).lower()) if code < 128 and chr(code).isalnum() else 0x20 for code in range(256))
# Text in Latin, Greek and Cyrillic letters with signs and symbols is words and blanks, too: no marks, nothing silent.
_BEYOND_ALPHABETS = re.compile(
    "[^\0-\u00ac\u00ae-\u02ff\u0370-\u0482\u048a-\u052f\u1e00-\u200a\u2010-\u2029\u2030-\u205f\u2070-\u20cf"
    "\u2100-\u2bff\U0001f000-\U0001faff]"
)
_WORD = re.compile(r"[^\W_]+")
# A letter of a run, and the marks on it.
_CHARACTER = re.compile(r"\w\W*")
# Default_Ignorable_Code_Point: drawn by nothing, so no part of which word it is. The zero-width space parts words.
_IGNORABLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200c-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# Vowels and accents of Hebrew, Arabic and Syriac, which most texts leave out, and the stroke that stretches a word.
_OPTIONAL = (
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\ufb1e\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc"
    "\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u0897-\u089f\u08ca-\u08e1\u08e3-\u08ff\u0711\u0730-\u074a\U00010efa-\U00010eff"
)
# Kana, ideographs and Hangul syllables; the marks of iteration and zero stand apart from the other ideographs. Korean
# has spaces, but a word comes with its particles.
_CJK = (
    "\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7a3\uf900-\ufaff\U0001aff0-\U0001b16f\U00020000-\U0003ffff"
)
# Blocks of the scripts that UAX #14 leaves to dictionaries: Thai, Lao, Burmese, Khmer, the Tai scripts; then Ahom.
_COMPLEX = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x1950, 0x19DF), (0x1A20, 0x1AAF), (0xA9E0, 0xA9FF),
            (0xAA60, 0xAADF))  # fmt: skip
_COMPLEX_SUPPLEMENTARY = ((0x11700, 0x1174F),)
# Where Unicode has marks. Between are ideographs, Hangul and the like, which would take long to look through.
_MARKED = ((0x0300, 0x30FF), (0xA600, 0xABFF), (0xFB00, 0xFE2F))
_MARKED_SUPPLEMENTARY = ((0x10000, 0x11FFF), (0x13400, 0x13FFF), (0x16000, 0x16FFF), (0x1BC00, 0x1EFFF))
# A pattern tries the supplementary characters of its classes range by range, so only text with such letters has them.
_SUPPLEMENTARY = re.compile("[\U00010000-\U0001efff]")


def words_of(text: str) -> list[bytes]:
    """The words of `text` in order, folded, as UTF-8."""
    if text.isascii():
        return text.encode().translate(_ASCII_WORDS).split()
    text = unicodedata.normalize("NFKC", text).casefold()
    found: list[str]
    if _BEYOND_ALPHABETS.search(text):
        found = _scripts(_SUPPLEMENTARY.search(text) is not None).words(text)
    else:
        found = _WORD.findall(text)
    return [word.encode() for word in found]


class _Scripts:
    """The patterns for text in any script. They take a while to make, so only text that needs them has them made."""

    def __init__(self, supplementary: bool) -> None:
        marks = _class_of("M", _MARKED + _MARKED_SUPPLEMENTARY * supplementary)
        unspaced = _CJK + _class_of("L", _COMPLEX + _COMPLEX_SUPPLEMENTARY * supplementary)
        self._silent = re.compile(f"[{_IGNORABLE}{_OPTIONAL}]+")
        self._word = re.compile(rf"[{unspaced}][{unspaced}{marks}]*|[^\W_{unspaced}]+(?:[{marks}]+[^\W_{unspaced}]*)*")
        self._unspaced = re.compile(f"[{unspaced}]")

    def words(self, text: str) -> list[str]:
        """The words of `text`, which is in NFKC and case-folded."""
        # The dot that case folding leaves of a Turkish capital is the one that every i has.
        text = unicodedata.normalize("NFKC", self._silent.sub("", text).replace("i\u0307", "i"))
        found: list[str] = self._word.findall(text)
        if self._unspaced.search(text):
            found = [piece for word in found for piece in (_pairs(word) if self._unspaced.match(word) else (word,))]
        return found


def _pairs(run: str) -> list[str]:
    if run.isalnum():
        return [run[i : i + 2] for i in range(len(run) - 1)] or [run]
    characters = _CHARACTER.findall(run)
    return list(map(add, characters, characters[1:])) or [run]


def _class_of(category: str, blocks: tuple[tuple[int, int], ...]) -> str:
    """The characters of `blocks` that are of `category`, as the inside of a pattern's class."""
    of = unicodedata.category
    codes = [code for first, last in blocks for code in range(first, last + 1) if of(chr(code))[0] == category]
    begins = [code for code, before in zip(codes, [-1, *codes], strict=False) if code != before + 1]
    ends = [code for code, after in zip(codes, [*codes[1:], -1], strict=True) if code != after - 1]
    return "".join(f"{chr(begin)}-{chr(end)}" for begin, end in zip(begins, ends, strict=True))


@lru_cache(maxsize=2)
def _scripts(supplementary: bool) -> _Scripts:
    return _Scripts(supplementary)
