"""Templates, sessions and turns on real Postgres with fakes around them, and the words that tests use to drive them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import msgspec

from spandrel.chat.ask import Invocation
from spandrel.chat.histories import Histories
from spandrel.chat.turn import RunTurn, TurnOutcome
from spandrel.ids import uuid7
from spandrel.prompts.generate import GeneratePrompt
from spandrel.prompts.models import PromptAnswer, PromptRequest, TemplateRef
from spandrel.prompts.prepare import Prepare, User
from spandrel.sessions.approvals import Approvals
from spandrel.sessions.begin import BeginSession
from spandrel.sessions.begin_models import SessionAnswer, SessionRequest
from spandrel.sessions.checkpoints import Checkpoints
from spandrel.sessions.conversations import Conversations
from spandrel.sessions.messages import TurnTask
from spandrel.sessions.models import SaidMessage, Session, Turn
from spandrel.sessions.sessions import Sessions
from spandrel.sessions.turns import Turns
from spandrel.sessions.upkeep import SessionUpkeep
from spandrel.templates.store import NewTemplate
from spandrel.templates.templates import Templates
from spandrel.usage.prices import PriceTable
from tests.support.chat_fakes import FakeChatModel
from tests.support.knowledge import ADA, Clock, KnowledgeBase
from tests.support.turn_queue import FakeTurnQueue

GREETING = """---
model: fake-model
input:
  schema:
    name: string, whom to greet
    tone?: string
---
{{role "system"}}
You greet {{name}}{{#if tone}} in a {{tone}} tone{{/if}}.
"""
PRICES = '{"version": "test", "models": {"fake-model": {"input": "1", "output": "10"}}}'
PENDING_APPROVAL = """
    INSERT INTO tool_approvals (id, user_id, session_id, turn_id, call_id, integration, tool, arguments, expires_at)
    VALUES (%s, %s, %s, %s, 'call', 'work', 'read_events', %s::jsonb, now() + interval '1 day') RETURNING id
"""


class Studio:
    def __init__(self, kb: KnowledgeBase, model: FakeChatModel | None = None) -> None:
        self.kb = kb
        self.model = model or FakeChatModel()
        self.queue = FakeTurnQueue()
        self.histories = Histories()
        self.templates = Templates(kb.app)
        self.prepare = Prepare(kb.app, lambda: kb.search)
        self.begin_session = BeginSession(kb.app, self.prepare, lambda: self.queue, "fake-model")
        self.generate_prompt = GeneratePrompt(self.prepare)
        self.sessions = Sessions(kb.app, self.prepare, self.queue)
        self.turns = Turns(kb.app, self.queue)
        self.approvals = Approvals(kb.app, self.queue)
        self.checkpoints = Checkpoints(kb.app)
        self.conversations = Conversations(kb.app)
        self.upkeep = SessionUpkeep(kb.system, self.queue)
        self.clock = Clock()
        self._numbers: Iterator[int] = iter(range(1, 10_000))

    def worker(self, **changes: Any) -> RunTurn:
        made: dict[str, Any] = {
            "database": self.kb.app,
            "model": self.model,
            "search": lambda: self.kb.search,
            "prices": PriceTable.load(PRICES),
            "context_tokens": 8000,
            "lease_seconds": 60,
            "histories": self.histories,
        }
        return RunTurn(**made | changes)

    # -- doing

    def template(self, source: str = GREETING, name: str | None = None, user: str = ADA) -> UUID:
        """Saved, with both labels on its first version."""
        new = NewTemplate(name=name or f"template-{next(self._numbers)}", source=source)
        return self.templates.create(user, new).template.id

    def integration(
        self, slug: str = "work", tool: str = "read_events", user: str = ADA, *, status: str = "healthy", **more: Any
    ) -> None:
        """An integration with one tool, and the event that tells of it."""
        [row] = self.kb.rows(
            "INSERT INTO integrations (user_id, slug, name, url, status, enabled)"
            " VALUES (%s, %s, %s, 'https://mcp.example.com', %s, %s)"
            " ON CONFLICT (user_id, slug) DO UPDATE SET status = excluded.status, enabled = excluded.enabled"
            " RETURNING id",
            user,
            slug,
            slug,
            status,
            more.get("enabled", True),
        )
        self.kb.rows(
            "INSERT INTO integration_tools (integration_id, name, user_id, description, capabilities, status, policy)"
            " VALUES (%s, %s, %s, 'Reads the calendar.', %s, %s, %s) ON CONFLICT (integration_id, name)"
            " DO UPDATE SET status = excluded.status, policy = excluded.policy",
            row["id"],
            tool,
            user,
            more.get("capabilities", ["calendar.read"]),
            more.get("tool_status", "active"),
            more.get("policy", "always"),
        )
        self.kb.rows("SELECT append_event(%s, 'integration.status', %s, '{}')", user, f"integrations/{row['id']}")

    def pending_approval(self, session_id: UUID, turn_id: UUID, arguments: dict[str, Any]) -> UUID:
        """A question that is open, whatever its turn does."""
        return self.kb.one(PENDING_APPROVAL, uuid7(), ADA, session_id, turn_id, msgspec.json.encode(arguments).decode())

    def begin(
        self, template: UUID | str | None = None, user: str = ADA, key: str | None = None, **request: Any
    ) -> SessionAnswer:
        template_id = self.template() if template is None else template
        ref = TemplateRef(name=template_id) if isinstance(template_id, str) else TemplateRef(id=template_id)
        request.setdefault("variables", {"name": "Ada"} if template is None else {})
        return self.begin_session.run(User(user, "Ada L."), SessionRequest(template=ref, **request), key)

    def generate(self, template: UUID, user: str = ADA, **request: Any) -> PromptAnswer:
        return self.generate_prompt.run(
            User(user, "Ada L."), PromptRequest(template=TemplateRef(id=template), **request)
        )

    def ask(self, session_id: UUID, text: str, user: str = ADA, message: str | None = None) -> Turn:
        return self.turns.ask(user, session_id, text, message or f"m{next(self._numbers)}")

    def work(self, **changes: Any) -> list[TurnOutcome]:
        """Delivers every message in the queue once, in order."""
        worker, outcomes = self.worker(**changes), []
        while self.queue.messages:
            task = msgspec.convert(self.queue.messages.pop(0), TurnTask)
            outcomes.append(worker.run(task, Invocation(remaining=lambda: self.clock.left, sleep=self.clock.sleep)))
        return outcomes

    def say(self, session_id: UUID, text: str, answer: str) -> Turn:
        """A whole turn: asked, answered with `answer`, completed."""
        turn = self.ask(session_id, text)
        self.model.then(answer)
        assert self.work() == [TurnOutcome.COMPLETED], self.turns.get(ADA, turn.id).error
        return self.turns.get(ADA, turn.id)

    # -- looking

    def events(self) -> list[str]:
        """What was told, after the templates were saved."""
        return [type_ for type_ in self.kb.events() if not type_.startswith("template.")]

    def session(self, session_id: UUID, user: str = ADA) -> Session:
        return self.sessions.get(user, session_id)

    def messages(self, session_id: UUID, checkpoint: int | None = None) -> list[SaidMessage]:
        return self.checkpoints.messages(ADA, session_id, 0, 1000, checkpoint)

    def said(self, session_id: UUID, checkpoint: int | None = None) -> list[str]:
        return [message.content for message in self.messages(session_id, checkpoint)]
