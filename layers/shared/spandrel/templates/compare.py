"""What is different between two versions: their sources as a unified diff, their structures part by part."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

import msgspec

from spandrel.templates.models import Change, Structure, TemplateVersion, VersionDiff

MOST_LINES = 2_000
_ABSENT = object()


def compare(before: TemplateVersion, after: TemplateVersion) -> VersionDiff:
    return VersionDiff(
        before=before.version,
        after=after.version,
        source=_unified(before, after),
        structure=list(_changes("", _parts(before.structure), _parts(after.structure))),
    )


def _unified(before: TemplateVersion, after: TemplateVersion) -> str:
    old, new = (version.source.splitlines() for version in (before, after))
    names = f"version {before.version}", f"version {after.version}"
    if len(old) > MOST_LINES or len(new) > MOST_LINES:
        return _replaced(old, new, names)  # difflib's time grows with the square of the lines, or worse
    return "".join(f"{line}\n" for line in difflib.unified_diff(old, new, names[0], names[1], lineterm=""))


def _replaced(old: list[str], new: list[str], names: tuple[str, str]) -> str:
    """One hunk from the first line that differs to the last."""
    shorter = min(len(old), len(new))
    head = next((at for at in range(shorter) if old[at] != new[at]), shorter)
    tail = next((at for at in range(shorter - head) if old[-1 - at] != new[-1 - at]), shorter - head)
    gone, come = old[head : len(old) - tail], new[head : len(new) - tail]
    if not gone and not come:
        return ""
    place = f"@@ -{head + bool(gone)},{len(gone)} +{head + bool(come)},{len(come)} @@"
    lines = [
        f"--- {names[0]}",
        f"+++ {names[1]}",
        place,
        *(f"-{line}" for line in gone),
        *(f"+{line}" for line in come),
    ]
    return "".join(f"{line}\n" for line in lines)


def _parts(structure: Structure) -> dict[str, Any]:
    """With names instead of positions, so that what only moved is no change."""
    parts: dict[str, Any] = msgspec.to_builtins(structure)
    for name in ("variables", "partials"):
        parts[name] = {each.pop("name"): each for each in parts[name]}
    for name in ("capabilities", "tools", "sections"):
        parts[name] = dict.fromkeys(parts[name], True)
    if parts["knowledge"]:
        del parts["knowledge"]["program"]
    return parts


def _changes(path: str, before: Any, after: Any) -> Iterator[Change]:
    if before == after:
        return
    if before is _ABSENT or before is None:
        yield Change(path=path, kind="added", after=after)
    elif after is _ABSENT or after is None:
        yield Change(path=path, kind="removed", before=before)
    elif isinstance(before, dict) and isinstance(after, dict):
        for name in sorted(before.keys() | after.keys()):
            yield from _changes(f"{path}.{name}" if path else name, before.get(name, _ABSENT), after.get(name, _ABSENT))
    else:
        yield Change(path=path, kind="changed", before=before, after=after)
