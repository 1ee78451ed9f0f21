"""What is between a tag's braces: a name, arguments, `key=value` pairs and block parameters."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_SEGMENT = r"""(?:\[([^\]]*)\]|([^\s!"\#%&'()*+,./;<=>@\[\\\]^`{|}~]+))"""
_PATH = re.compile(rf"{_SEGMENT}(?:[./]{_SEGMENT})*")
_ONE = re.compile(_SEGMENT)
_ABOVE = re.compile(r"(?:\.\./)*(?:\.\.\Z|\.\./)")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_WORD = re.compile(
    r"""(?P<space>\s+)
    | (?P<string>"(?:\\"|[^"])*"|'(?:\\'|[^'])*')
    | as\s+\|(?P<params>[^|]*)\|
    | (?P<key>[^\s!"\#%&'()*+,./;<=>@\[\\\]^`{|}~]+)=
    | (?P<open>\()
    | (?P<path>(?:\[[^\]]*\]|[^\s!"\#%&'()*+,;<=>\[\\\]^`{|}~])+)""",
    re.VERBOSE,
)
_LITERALS = {"true": True, "false": False, "null": None, "undefined": None}


class TagError(ValueError):
    """`code` and a sentence: what is wrong with a tag."""

    def __init__(self, message: str, code: str = "syntax") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Literal:
    value: str | float | bool | None


@dataclass(frozen=True, slots=True)
class Path:
    """`up`: how many `../`. `data`: one of the `@` variables. `here`: said to be of this context (`this.x`, `./x`)."""

    text: str
    segments: tuple[str, ...]
    up: int = 0
    data: bool = False
    here: bool = False


Argument = Literal | Path


@dataclass(slots=True)
class Call:
    """`name` as it is written; a literal or a path is in `subject` as well."""

    name: str
    subject: Argument
    arguments: list[Argument] = field(default_factory=list)
    pairs: dict[str, Argument] = field(default_factory=dict)
    params: list[str] | None = None


def parse_tag(body: str) -> Call:
    """Raises `TagError`."""
    call: Call | None = None
    key: str | None = None
    pairs: dict[str, Argument] = {}
    arguments: list[Argument] = []
    params: list[str] | None = None
    position, spaced = 0, True
    while position < len(body):
        word = _WORD.match(body, position)
        if word is None or (not spaced and not word["space"]):
            raise TagError(f'"{_shown(body)}" cannot be read here: "{_shown(body[position:])}".')
        if word["open"]:
            raise TagError("Expressions in parentheses are not supported.", "unsupported")
        if params is not None and not word["space"]:
            raise TagError("Block parameters come last in their tag.")
        position = word.end()
        spaced = bool(word["space"] or word["key"])
        if word["params"] is not None:
            params = word["params"].split()
        elif word["key"]:
            key = word["key"]
        elif not word["space"]:
            argument = _argument(word.group())
            if key is not None:
                pairs[key], key = argument, None
            elif call is None:
                call = Call(word.group(), argument)
            else:
                arguments.append(argument)
        elif key is not None:
            raise TagError(f'"{key}=" has no value.')
    if call is None or key is not None:
        raise TagError("The tag names nothing.")
    call.arguments, call.pairs, call.params = arguments, pairs, params
    return call


def _argument(word: str) -> Argument:
    if word[0] in "\"'":
        return Literal(word[1:-1].replace("\\" + word[0], word[0]))
    if word in _LITERALS:
        return Literal(_LITERALS[word])
    if _NUMBER.fullmatch(word):
        if len(word) > 18:
            raise TagError(f'The number "{_shown(word)}" is too long.')
        return Literal(float(word) if "." in word else int(word))
    return _path(word)


def _path(word: str) -> Path:
    data = word.startswith("@")
    above = _ABOVE.match(word, data)
    up, rest = (above.group().count(".."), word[above.end() :]) if above else (0, word[data:])
    if not data and (rest in (".", "this") or (up and not rest)):
        return Path(word, (), up, here=True)
    here = not data and rest.startswith(("./", "this.", "this/"))
    if here:
        rest = rest[2:] if rest[0] == "." else rest[5:]
    if not _PATH.fullmatch(rest):
        raise TagError(f'"{_shown(word)}" is not the name of a variable.')
    segments = tuple(bracketed or plain for bracketed, plain in _ONE.findall(rest))
    if any(_NUMBER.fullmatch(plain) for _, plain in _ONE.findall(rest)):
        raise TagError(f'A place in a list is written with brackets: not "{_shown(word)}" but "list.[0]".')
    return Path(word, segments, up, data, here)


def _shown(text: str) -> str:
    """What of a text a message quotes."""
    return text if len(text) <= 60 else f"{text[:59]}…"
