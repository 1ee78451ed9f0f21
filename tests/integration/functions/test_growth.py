"""What a look-up or a page costs does not grow with what its user has, nor with what all the others have."""

from __future__ import annotations

from typing import Any

from spandrel import wiring
from tests.integration.functions.conftest import Ada
from tests.integration.functions.test_tenants import CASES, request_of
from tests.support.api import call, operations
from tests.support.knowledge import KnowledgeBase
from tests.support.rows_read import cost_of, without_table_scans

MANY = 3000
FEW = 40
"""Rows of one table that a page of three may cost."""
SUMS = ("get_usage", "get_health_details", "list_conversations-1", "list_templates-1")
"""What adds up or looks through all of a user's own."""
OUTSIDE = ("get_openapi", "search_integration_registry")


def grow(kb: KnowledgeBase, ada: Ada) -> None:
    """Ada has many of everything, and there are as many others with one of each."""

    def copy(table: str, row_id: str, changes: str, key: str = "id") -> None:
        """`changes`: by `n`, the number of the copy."""
        kb.rows(
            f"INSERT INTO {table} SELECT (jsonb_populate_record(one.row, jsonb_build_object({changes}))).*"
            f" FROM (SELECT t AS row FROM {table} t WHERE {key} = %s LIMIT 1) one, generate_series(1, {MANY}) AS n",
            row_id,
        )

    new = "'id', uuidv7()"

    def other(table: str, named: str = "id") -> str:
        """`named`: the id of what the n-th of the others has in `table`."""
        return f"'{named}', md5('{table}' || n)::uuid, 'user_id', 'user-' || n"

    copy("collections", ada.collection, f"{new}, 'name', 'c' || n")
    copy("collections", ada.collection, f"{other('collections')}")
    copy("documents", ada.document, f"{new}, 'name', 'd' || n")
    copy("documents", ada.document, f"{other('documents')}, 'collection_id', md5('collections' || n)::uuid")
    copy("chunks", ada.document, "'ordinal', n + 100", "document_id")
    copy("chunks", ada.document, f"{other('documents', 'document_id')}", "document_id")
    copy("templates", ada.template, f"{new}, 'name', 't' || n")
    copy("templates", ada.template, f"{other('templates')}")
    copy("template_versions", ada.template, "'version', n + 100", "template_id")
    copy("template_versions", ada.template, f"{other('templates', 'template_id')}", "template_id")
    own = "'id', md5('own' || n)::uuid"
    copy("conversations", ada.conversation, f"{own}, 'last_activity_at', now() + make_interval(secs => n)")
    copy("conversations", ada.conversation, f"{other('conversations')}")
    copy("agent_sessions", ada.session, f"{new}, 'conversation_id', md5('own' || n)::uuid")
    copy(
        "agent_sessions", ada.session, f"{other('agent_sessions')}, 'conversation_id', md5('conversations' || n)::uuid"
    )
    copy("session_checkpoints", ada.session, "'number', n + 100", "session_id")
    copy("session_checkpoints", ada.session, f"{other('agent_sessions', 'session_id')}", "session_id")
    copy("turns", ada.turn, f"{new}, 'number', n + 100, 'client_message_id', n")
    copy("turns", ada.turn, f"{other('turns')}, 'session_id', md5('agent_sessions' || n)::uuid")
    copy("messages", ada.session, "'ordinal', n + 100", "branch_id")
    copy("messages", ada.session, f"{other('agent_sessions', 'branch_id')}", "branch_id")
    copy("session_status_changes", ada.session, f"{other('agent_sessions', 'session_id')}", "session_id")
    copy("tool_approvals", ada.approval, f"{new}, 'call_id', n")
    copy(
        "tool_approvals",
        ada.approval,
        f"{other('tool_approvals')}, 'turn_id', md5('turns' || n)::uuid,"
        " 'session_id', md5('agent_sessions' || n)::uuid",
    )
    copy("integrations", ada.integration, f"{other('integrations')}")
    copy("integration_checks", ada.integration, "'id', uuidv7()", "integration_id")
    kb.rows(f"UPDATE agent_sessions SET ordinal = {MANY} + 100 WHERE id = %s", ada.session)


def page_of(name: str, number: int, ada: Ada) -> tuple[str, dict[str, Any]]:
    """The request of a case, for three items where it can be said how many."""
    _, path, request = request_of(name, CASES[name][number][0](ada))
    if "limit" in {parameter.get("name") for parameter in operations()[name][2].get("parameters", [])}:
        request["query"] = request.get("query", {}) | {"limit": 3}
    return path, request


def test_a_look_up_and_a_page_cost_little_however_much_there_is(
    wired: KnowledgeBase,
    ada: Ada,
) -> None:
    grow(wired, ada)
    database = wiring.database(wiring.APP_ROLE)
    without_table_scans(wired, database)
    expensive = {}
    for name, (method, _, _) in operations().items():
        for number in range(len(CASES[name]) if method == "GET" and name not in OUTSIDE else 0):
            path, request = page_of(name, number, ada)
            for _ in range(3):
                assert call("GET", path, **request).status == 200
            cost = cost_of(wired, lambda path=path, request=request: call("GET", path, **request), database)
            if most := {table: rows for table, rows in cost.items() if rows > FEW}:
                expensive[f"{name}-{number}"] = most
    assert {name: most for name, most in expensive.items() if not name.startswith(SUMS)} == {}
    assert all(rows < 1.1 * MANY for most in expensive.values() for rows in most.values()), (
        expensive
    )  # of others nothing
