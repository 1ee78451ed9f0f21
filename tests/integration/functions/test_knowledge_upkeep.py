from functions.knowledge_upkeep.handler import handler
from tests.support.events import Context
from tests.support.knowledge import KnowledgeBase


def test_it_reports_what_it_did(wired: KnowledgeBase) -> None:
    document = wired.announce(wired.collection())
    wired.rows("UPDATE documents SET status = 'parsing', lease_until = now() - interval '1 second'")
    assert handler({}, Context())["requeued"] == 1
    assert wired.document(document).status == "queued"
