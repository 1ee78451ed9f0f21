"""Session init: a template, a user's values and what is at hand become a session, in two flights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from spandrel.database import Database
from spandrel.errors import IdempotencyMismatchError, NotFoundError, QueueUnavailableError
from spandrel.idempotency.key import IdempotencyKey
from spandrel.ids import uuid7
from spandrel.observability import logger
from spandrel.prompts import tokens
from spandrel.prompts.prepare import Prepare, Prepared, User
from spandrel.sessions.begin_models import (
    Confidence,
    PromptPreview,
    SessionAnswer,
    SessionRequest,
    TurnBrief,
    VariableBinding,
)
from spandrel.sessions.confidence import assess
from spandrel.sessions.messages import TurnTask, send_turn
from spandrel.sessions.ports import TurnQueue
from spandrel.sql import Queries

queries = Queries.beside(__file__)
OPERATION = "create_session"


class BeginSession(msgspec.Struct, frozen=True):
    """`queue` is a callable: most sessions begin without a turn. `model`: where the template names none."""

    database: Database
    prepare: Prepare
    queue: Callable[[], TurnQueue]
    model: str

    def run(self, user: User, request: SessionRequest, key: str | None = None) -> SessionAnswer:
        """Raises `NotFoundError`, `VariablesInvalidError`, `IdempotencyMismatchError`.

        A missing required variable is no error: the session waits for it in `initializing`. A repeated `key` gives the
        answer that the first request got.
        """
        context = self.prepare.context(user.id, request.template, key)
        digest = IdempotencyKey.of(user.id, key or "", OPERATION, request).request_hash
        if context.stored is not None:
            if context.stored["request_hash"] != digest:
                raise IdempotencyMismatchError
            return msgspec.convert(context.stored["response"], SessionAnswer)
        prepared = self.prepare.compose(user, context, request.variables, request.locale, allow_missing=True)
        confidence = assess(context.compiled.structure, prepared.bindings, prepared.composed)
        answer = self._answer(request, prepared, confidence)
        parameters = {
            "key": key,
            "request_hash": digest,
            "session": msgspec.json.encode(_row(request, prepared, answer)).decode(),
            "response": msgspec.json.encode(answer).decode(),
            "user_id": user.id,
        }
        [row] = self.database.run(queries.begin_session, parameters)
        return self._outcome(row, user, answer)

    def _outcome(self, row: dict[str, Any], user: User, answer: SessionAnswer) -> SessionAnswer:
        match row["outcome"]:
            case "replayed":
                return msgspec.convert(row["stored"], SessionAnswer)
            case "mismatch":
                raise IdempotencyMismatchError
            case "no_conversation":
                raise NotFoundError("There is no such conversation, or it is not yours.")
        if answer.turn is not None:
            try:
                send_turn(self.queue(), TurnTask(turn_id=answer.turn.id, session_id=answer.id, user_id=user.id))
            except QueueUnavailableError:  # the turn is stored; upkeep sends it within minutes
                logger.warning("turn left to upkeep", extra={"turn_id": str(answer.turn.id)})
        return answer

    def _answer(self, request: SessionRequest, prepared: Prepared, confidence: Confidence) -> SessionAnswer:
        context, composed, missing = prepared.context, prepared.composed, prepared.bindings.missing
        structure = context.compiled.structure
        starts = structure.auto_execute and not missing and confidence.score >= confidence.threshold
        messages = [*composed.before, *composed.after]
        return SessionAnswer(
            id=uuid7(),
            conversation_id=request.conversation_id or uuid7(),
            status="initializing" if missing else "active",
            template_id=context.template_id,
            template_name=context.template_name,
            template_version=context.version,
            model=structure.model or self.model,
            variables=bound(prepared),
            missing=missing,
            capabilities=composed.capabilities,
            confidence=confidence,
            prompt=PromptPreview(
                messages=messages,
                tools=composed.tools,
                passages=composed.passages,
                tokens=tokens.count_sections(messages, composed.tools, count=tokens.estimate),
                hash=composed.hash,
            ),
            turn=TurnBrief(uuid7(), 1, "queued") if starts else None,
            cache=prepared.cache,
        )


def bound(prepared: Prepared) -> dict[str, VariableBinding]:
    sources = prepared.bindings.sources
    return {name: VariableBinding(value, sources[name]) for name, value in prepared.bindings.values.items()}


def prompt_columns(prepared: Prepared, confidence: Confidence, locale: str) -> dict[str, Any]:
    """What a session keeps of its prompt, by column."""
    context, composed = prepared.context, prepared.composed
    structure = context.compiled.structure
    knowledge = structure.knowledge
    return {
        "bindings": {"variables": bound(prepared), "missing": prepared.bindings.missing, "locale": locale},
        "capabilities": {
            "wanted": [*structure.capabilities, *structure.tools],
            "matches": composed.capabilities,
            "epoch": context.capability_epoch,
        },
        "confidence": confidence,
        "prompt": {"before": composed.before, "after": composed.after},
        "prompt_hash": composed.hash,
        "knowledge": {
            "collections": context.collections,
            "top_k": knowledge.top_k,
            "mode": knowledge.mode,
            "score_threshold": knowledge.score_threshold,
        }
        if knowledge
        else None,
    }


def _row(request: SessionRequest, prepared: Prepared, answer: SessionAnswer) -> dict[str, Any]:
    row = prompt_columns(prepared, answer.confidence, request.locale) | {
        "id": answer.id,
        "conversation_id": answer.conversation_id,
        "template_id": answer.template_id,
        "template_version": answer.template_version,
        "status": answer.status,
        "status_reason": "variables_missing" if answer.missing else None,
        "model": answer.model,
        "config": prepared.context.compiled.structure.config,
        "idle_seconds": request.idle_seconds,
        "keep_checkpoints": request.keep_checkpoints,
        "turn_id": answer.turn.id if answer.turn else None,
    }
    if request.conversation_id is None:
        row["title"] = request.title or answer.template_name
    return row
