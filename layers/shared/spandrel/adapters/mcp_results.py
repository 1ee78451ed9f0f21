"""A tool's result as text for a model: what it can read is kept, what it cannot is described, all of it is bounded."""

from __future__ import annotations

import json
from typing import Any

from spandrel.integrations.models import ToolResult

MAX_CHARACTERS = 50_000


def as_result(result: Any) -> ToolResult:
    """Of an SDK `CallToolResult`. Structured content larger than a text may be is left out, and the text says so."""
    parts = [_text(block) for block in result.content]
    structured = result.structured_content
    if structured is not None and not parts:
        parts = [json.dumps(structured, ensure_ascii=False)]
    kept = structured if isinstance(structured, dict) else None
    text = _cut("\n\n".join(part for part in parts if part))
    if kept is not None and len(json.dumps(kept, ensure_ascii=False)) > MAX_CHARACTERS:
        kept, text = None, f"{text}\n[The result's structured content is too large and was left out.]".lstrip()
    return ToolResult(text, bool(result.is_error), kept)


def _text(block: Any) -> str:
    kind = block.type
    if kind == "text":
        return str(block.text)
    if kind in ("image", "audio"):
        return f"[{kind.capitalize()} of type {block.mime_type}, {_bytes(block.data)}, not shown.]"
    if kind == "resource_link":
        about = f": {block.description}" if block.description else ""
        return f"[Resource {block.name} at {block.uri}{about}]"
    resource = block.resource
    if hasattr(resource, "text"):
        return f"[Resource {resource.uri}]\n{resource.text}"
    return f"[Resource {resource.uri}, {_bytes(resource.blob)}, not shown.]"


def _bytes(base64: str) -> str:
    return f"{len(base64) * 3 // 4:,} bytes"


def _cut(text: str) -> str:
    if len(text) <= MAX_CHARACTERS:
        return text
    return f"{text[:MAX_CHARACTERS]}\n[Cut here: the first {MAX_CHARACTERS:,} of {len(text):,} characters are shown.]"
