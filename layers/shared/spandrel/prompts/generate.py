"""Prompt generation: a composed prompt, with no session made of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from spandrel.prompts import tokens
from spandrel.prompts.cache import Lru
from spandrel.prompts.compose import prompt_hash
from spandrel.prompts.models import Message, PromptAnswer, PromptRequest, TokenCounts
from spandrel.prompts.prepare import Prepare, User


@dataclass(frozen=True, slots=True)
class GeneratePrompt:
    prepare: Prepare
    _counts: Lru[str, TokenCounts] = field(default_factory=lambda: Lru(512))

    def run(self, user: User, request: PromptRequest) -> PromptAnswer:
        """One flight; a second one where passages must be retrieved. Raises what `Prepare` raises."""
        context = self.prepare.context(user.id, request.template)
        prepared = self.prepare.compose(user, context, request.variables, request.locale)
        composed, structure = prepared.composed, context.compiled.structure
        history = [Message(said.role, said.content, "history") for said in request.history]
        messages = [*composed.before, *history, *composed.after]
        digest = prompt_hash(messages, composed.tools) if history else composed.hash
        counted = self._counts.get(digest)
        if counted is None:
            counted = tokens.count_sections(messages, composed.tools, count=tokens.exact)
            self._counts.put(digest, counted)
        return PromptAnswer(
            template_id=context.template_id,
            template_name=context.template_name,
            template_version=context.version,
            model=structure.model,
            config=structure.config,
            messages=messages,
            tools=composed.tools,
            capabilities=composed.capabilities,
            passages=composed.passages,
            tokens=counted,
            hash=digest,
            cache=prepared.cache,
        )
