from functions.knowledge_upkeep.handler import handler
from tests.support.events import Context
from tests.support.knowledge import KnowledgeBase


def test_it_reports_what_it_did(wired: KnowledgeBase) -> None:
    collection = wired.collection()
    wired.announce(collection)
    wired.rows("UPDATE collections SET deleted_at = now() - interval '2 minutes'")
    assert handler({}, Context())["purged"] == 1
    assert wired.rows("SELECT * FROM collections") == []
