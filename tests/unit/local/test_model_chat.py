import json

import pytest

from local import model_chat
from local.model_chat import STAND_IN
from local.model_embeddings import BadRequestError, Embedder
from local.model_tools import arguments, calls_for

HARBOUR = "[1] port.md, Hours\nThe harbour opens at six.\nBoats must be moored by nine, as [2] says."
BREAD = "[2] kitchen.md\nKnead the dough for ten minutes. Bake the bread at 220 degrees."
SHIPS = "[3] port.md, Ships\nThe ferry sails to the island every hour."
PASSAGES = f"Answer from these passages.\n\n{HARBOUR}\n\n{BREAD}\n\n{SHIPS}"
LOOKUP = {
    "name": "lookup",
    "parameters": {
        "type": "object",
        "properties": {"q": {"type": "string"}, "limit": {"type": "integer"}},
        "required": ["q"],
    },
}


@pytest.fixture(scope="module")
def embedder():
    return Embedder()


def user(text):
    return {"role": "user", "content": text}


def system(text):
    return {"role": "system", "content": text}


def ask(embedder, *messages, **body):
    return model_chat.reply(embedder, {"model": "any", "messages": list(messages), **body})


def test_it_quotes_the_nearest_passages_with_their_marks_and_says_what_it_is(embedder):
    text = ask(embedder, system(PASSAGES), user("When does the harbour open?")).text
    assert text.startswith(STAND_IN)
    assert "> The harbour opens at six." in text
    assert "[1]" in text
    assert "Sources: [1] port.md, Hours" in text
    assert "bread" not in text
    other = ask(embedder, system(PASSAGES), user("How hot is the oven for the bread?")).text
    assert "> Bake the bread at 220 degrees. [2]" in other
    assert "Sources: [2] kitchen.md" in other


def test_it_quotes_three_passages_at_most(embedder):
    blocks = "\n\n".join(f"[{n}] port.md, Hours\nThe harbour opens at six." for n in range(1, 7))
    assert ask(embedder, system(blocks), user("When does the harbour open?")).text.count("> ") == 3


def test_a_long_passage_is_quoted_in_part_and_word_for_word(embedder):
    filler = " ".join(f"Sentence number {n} is about nothing." for n in range(50))
    passage = f"{filler} The harbour opens at six. {filler}"
    text = ask(embedder, system(f"[7] long.md\n{passage}"), user("When does the harbour open?")).text
    quote = text.split("> ")[1].split(" [7]")[0]
    assert quote in passage
    assert "The harbour opens at six." in quote
    assert len(quote) <= model_chat.QUOTE_CHARACTERS


def test_a_mark_within_a_passage_begins_no_other(embedder):
    text = ask(embedder, system("[1] a.md\nSee\n[9] of the list.\n[2] b.md\nBread."), user("bread?")).text
    assert "[9]" not in text.split("Sources")[1]


def test_without_passages_it_says_so_and_shows_that_it_knows_the_conversation(embedder):
    first = ask(embedder, system("Be kind."), user("What sings?"))
    assert first.text.startswith(STAND_IN)
    assert "No passages" in first.text
    assert "turn 1" in first.text
    assert '"What sings?"' in first.text
    second = ask(embedder, user("What sings?"), {"role": "assistant", "content": first.text}, user("And mice?")).text
    assert "turn 2" in second
    assert 'you said: "And mice?" Before that: "What sings?"' in second


def test_the_same_conversation_gets_the_same_answer(embedder):
    messages = (system(PASSAGES), user("ferry to the island"))
    assert ask(embedder, *messages) == ask(embedder, *messages)


def test_a_conversation_without_a_user_is_answered_too(embedder):
    assert ask(embedder, system("Be kind.")).text.startswith(STAND_IN)


def test_contents_may_come_in_parts(embedder):
    parts = {"role": "user", "content": [{"type": "text", "text": "What "}, {"type": "text", "text": "sings?"}]}
    assert '"What sings?"' in ask(embedder, parts).text


def test_a_limit_is_kept(embedder):
    for name in ("max_tokens", "max_completion_tokens"):
        reply = ask(embedder, user("What sings?"), **{name: 3})
        assert (reply.text.strip(), reply.finish_reason) == ("This is Spandrel's", "length")


def test_tokens_are_counted(embedder):
    short, long = ask(embedder, user("What sings?")), ask(embedder, user("What sings? " * 50))
    assert 0 < short.prompt_tokens < long.prompt_tokens
    assert short.completion_tokens > 0
    assert ask(embedder, user("x"), tools=[{"function": LOOKUP}]).prompt_tokens > ask(embedder, user("x")).prompt_tokens


def test_a_tool_that_is_named_is_called(embedder):
    reply = ask(embedder, user("Use lookup for whales."), tools=[{"type": "function", "function": LOOKUP}])
    [call] = reply.calls
    assert (reply.text, reply.finish_reason, call.name) == ("", "tool_calls", "lookup")
    assert json.loads(call.arguments) == {"q": "Use lookup for whales."}


@pytest.mark.parametrize("text", ["Look whales up.", "Use lookups.", "Use re-lookup."])
def test_a_tool_that_is_not_named_is_not_called(embedder, text):
    assert ask(embedder, user(text), tools=[{"function": LOOKUP}]).calls == []


def test_no_tool_is_called_where_none_may_be(embedder):
    assert ask(embedder, user("Use lookup."), tools=[{"function": LOOKUP}], tool_choice="none").calls == []


def test_a_tool_s_result_is_quoted(embedder):
    called = {"role": "assistant", "content": None, "tool_calls": [{"id": "a", "function": {"name": "lookup"}}]}
    result = {"role": "tool", "tool_call_id": "a", "content": '{"found": "whales"}'}
    stray = {"role": "tool", "tool_call_id": "b", "content": "stray"}
    reply = ask(embedder, user("Use lookup."), called, result, stray, tools=[{"function": LOOKUP}])
    assert reply.calls == []
    assert reply.text.startswith(STAND_IN)
    assert 'lookup answered: "{"found": "whales"}"' in reply.text
    assert 'A tool answered: "stray"' in reply.text


@pytest.mark.parametrize("messages", [None, [], "hello", [1]])
def test_what_is_no_conversation_is_refused(embedder, messages):
    with pytest.raises(BadRequestError):
        model_chat.reply(embedder, {"messages": messages})


# -- arguments


def example(schema, text="whales"):
    return arguments({"type": "object", "properties": {"x": schema}, "required": ["x"]}, text)["x"]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "whales"),
        ({"type": "string", "maxLength": 3}, "wha"),
        ({"type": "string", "minLength": 8}, "whales.."),
        ({"type": "string", "format": "date"}, "2026-01-01"),
        ({"enum": ["red", "blue"]}, "red"),
        ({"const": 7}, 7),
        ({"type": "integer", "default": 5}, 5),
        ({"type": "integer", "minimum": 3}, 3),
        ({"type": "number", "maximum": 0.5}, 0.5),
        ({"type": "integer"}, 1),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["null", "integer"]}, 1),
        ({"type": ["null"]}, None),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 1]),
        ({"type": "array"}, ["whales"]),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 1),
        ({"properties": {"a": {"type": "integer"}, "b": {}}, "required": ["a"]}, {"a": 1}),
        ({"examples": ["x"]}, "x"),
        ({"$ref": "#/nowhere"}, "whales"),
        (True, "whales"),
    ],
)
def test_arguments_are_what_the_schema_requires(schema, value):
    assert example(schema) == value


def test_references_into_the_schema_are_followed_and_endless_ones_end():
    defs = {"Place": {"type": "object", "properties": {"port": {"type": "string"}}, "required": ["port"]}}
    schema = {"properties": {"at": {"$ref": "#/$defs/Place"}}, "required": ["at"], "$defs": defs}
    assert arguments(schema, "Hull") == {"at": {"port": "Hull"}}
    endless = {"properties": {"next": {"$ref": "#"}}, "required": ["next"]}
    assert "next" in arguments(endless, "x")
    assert example({"$ref": "#/properties/x"}) == "whales"


def test_every_named_tool_is_called_in_the_order_offered():
    tools = [{"name": "one"}, {"name": "two"}, {"name": "three"}]
    assert [(call.id, call.name, call.arguments) for call in calls_for("three, then one", tools)] == [
        ("call_1", "one", "{}"),
        ("call_2", "three", "{}"),
    ]
