from __future__ import annotations

from typing import Any

from mcp_types import CallToolResult

from spandrel.adapters.mcp_results import MAX_CHARACTERS, as_result


def result(*content: dict[str, Any], **more: Any) -> Any:
    return as_result(CallToolResult.model_validate({"content": list(content)} | more))


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def test_texts_are_put_together() -> None:
    found = result(text("a"), text(""), text("b"), isError=True)
    assert (found.text, found.is_error, found.structured) == ("a\n\nb", True, None)
    assert result().text == ""


def test_what_a_model_cannot_read_is_described() -> None:
    found = result(
        {"type": "image", "data": "aGVsbG8h", "mimeType": "image/png"},
        {"type": "audio", "data": "aGVsbG8h", "mimeType": "audio/wav"},
        {"type": "resource_link", "name": "n", "uri": "https://a.example/x", "description": "of whales"},
        {"type": "resource", "resource": {"uri": "file:///a.txt", "text": "words"}},
        {"type": "resource", "resource": {"uri": "file:///a.bin", "blob": "aGVsbG8h"}},
    )
    assert found.text.split("\n\n") == [
        "[Image of type image/png, 6 bytes, not shown.]",
        "[Audio of type audio/wav, 6 bytes, not shown.]",
        "[Resource n at https://a.example/x: of whales]",
        "[Resource file:///a.txt]\nwords",
        "[Resource file:///a.bin, 6 bytes, not shown.]",
    ]


def test_structured_content_alone_is_text_too() -> None:
    assert result(structuredContent={"a": "ü"}).text == '{"a": "ü"}'
    listed = result(structuredContent=[1, 2])
    assert (listed.text, listed.structured) == ("[1, 2]", None)
    both = result(text("one"), structuredContent={"a": 1})
    assert (both.text, both.structured) == ("one", {"a": 1})


def test_what_is_too_long_is_cut_and_says_so() -> None:
    found = result(text("w" * (MAX_CHARACTERS + 1)))
    assert found.text.endswith("w\n[Cut here: the first 50,000 of 50,001 characters are shown.]")
    assert "Cut" not in result(text("w" * MAX_CHARACTERS)).text
    large = result(text("short"), structuredContent={"a": "w" * MAX_CHARACTERS})
    assert large.structured is None
    assert large.text == "short\n[The result's structured content is too large and was left out.]"
