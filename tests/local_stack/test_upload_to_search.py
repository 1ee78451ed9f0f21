"""The whole path through the deployed stack: a file goes in, is found, is replaced, is deleted, is gone."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from tests.corpus import docx, pdf
from tests.support.stack_user import StackUser, left_behind, rows, until

SENTENCE = "The lighthouse keeper trims the lamp at dusk."
OTHER = "Bread rises overnight in a cool larder."


@dataclass(frozen=True)
class Sample:
    """A file of two places, and where `SENTENCE` must be found in it."""

    name: str
    content: bytes
    heading_path: tuple[str, ...] = ()
    page: int | None = None
    content_type: str = ""


MARKDOWN = f"# Coast\n\n## Evening\n\n{SENTENCE}\n\n# Kitchen\n\n{OTHER}\n"
HTML = f"<h1>Coast</h1><h2>Evening</h2><p>{SENTENCE}</p><h1>Kitchen</h1><p>{OTHER}</p><script>alert(1)</script>"
WORD = (
    docx.paragraph("Coast", style="Heading1")
    + docx.paragraph("Evening", style="Heading2")
    + docx.paragraph(SENTENCE)
    + docx.paragraph("Kitchen", style="Heading1")
    + docx.paragraph(OTHER)
)
WORD_STYLES = docx.style("Heading1", "heading 1", '<w:outlineLvl w:val="0"/>') + docx.style(
    "Heading2", "heading 2", '<w:outlineLvl w:val="1"/>'
)
RECORDS = [{"topic": "coast", "text": SENTENCE}, {"topic": "kitchen", "text": OTHER}]
SAMPLES = [
    Sample("notes.txt", f"{SENTENCE}\n\n{OTHER}\n".encode(), content_type="text/plain"),
    Sample("notes.md", MARKDOWN.encode(), ("Coast", "Evening"), content_type="text/markdown"),
    Sample("page.html", HTML.encode(), ("Coast", "Evening"), content_type="text/html"),
    # The first page alone is more than a chunk: a hit's page is the one that its chunk begins on.
    Sample("pages.pdf", pdf.pdf([[OTHER] * 50, [SENTENCE] * 50]), page=2, content_type="application/pdf"),
    Sample(
        "letter.docx",
        docx.docx(WORD, styles=WORD_STYLES),
        ("Coast", "Evening"),
        content_type="application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    Sample("rows.csv", f'topic,text\ncoast,"{SENTENCE}"\nkitchen,"{OTHER}"\n'.encode(), content_type="text/csv"),
    Sample("rows.json", json.dumps(RECORDS).encode(), content_type="application/json"),
]


@pytest.fixture(scope="module")
def user(stack):
    return StackUser(stack)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_every_format_is_found_in_its_place_and_comes_back_as_it_was(user, sample):
    collection = user.collection()
    document = user.ready(collection, sample.name, sample.content, attributes={"year": 2024})

    assert document["content_type"] == sample.content_type
    assert (document["version"], document["size_bytes"]) == (1, len(sample.content))
    stages = [document["stages"][f"{stage}_at"] for stage in ("queued", "parsing", "chunking", "embedding", "ready")]
    assert None not in stages
    assert stages == sorted(stages)

    chunks = user.call("GET", f"/v1/documents/{document['id']}/chunks")["items"]
    assert len(chunks) == document["chunk_count"]
    for mode in ("hybrid", "vector", "text"):
        answer = user.search("lighthouse keeper lamp", collections=[collection], mode=mode)
        best = answer["hits"][0]
        assert best["document_id"] == document["id"]
        assert (best["document_name"], best["collection_id"]) == (sample.name, collection)
        assert SENTENCE in best["text"]
        assert best["attributes"] == {"year": 2024}
        assert tuple(best["heading_path"]) == sample.heading_path
        assert best["page"] == sample.page
        assert best["end_offset"] > best["start_offset"]
        [same] = [chunk for chunk in chunks if chunk["ordinal"] == best["ordinal"]]
        assert {name: best[name] for name in ("text", "start_offset", "end_offset", "page")} == {
            name: same[name] for name in ("text", "start_offset", "end_offset", "page")
        }
        assert (best["parts"]["similarity"] is None) == (mode == "text")
        assert (best["parts"]["bm25"] is None) == (mode == "vector")
        assert 0 < answer["timings"]["database_ms"] <= answer["timings"]["total_ms"]

    link = user.call("GET", f"/v1/documents/{document['id']}/download")
    saved = user.stack.http("GET", link["url"])
    assert saved.status == 200
    assert saved.body == sample.content
    assert sample.name in saved.headers["content-disposition"]


def test_filters_choose_documents_by_their_attributes(user):
    collection = user.collection()
    made = {
        year: user.upload(collection, f"{year}.txt", SENTENCE.encode(), attributes={"year": year, "tags": ["coast"]})
        for year in (2019, 2021)
    }
    for document in made.values():
        assert user.settled(document)["status"] == "ready"

    def found(wanted) -> list[str]:
        return [hit["document_id"] for hit in user.hits("lighthouse", collections=[collection], filter=wanted)]

    assert found({"year": {"gte": 2020}}) == [made[2021]]
    assert found({"or": [{"year": 2019}, {"tags": "harbour"}]}) == [made[2019]]
    assert sorted(found({"tags": ["coast"]})) == sorted(made.values())
    assert found({"year": {"nin": [2019, 2021]}}) == []


def test_a_new_version_replaces_the_old_and_keeps_what_did_not_change(user):
    collection = user.collection(chunk_size=50, chunk_overlap=0)
    kept = "Whales pass the cape in spring. " * 12
    document = user.ready(collection, "log.md", f"# Whales\n\n{kept}\n\n# Lamp\n\n{SENTENCE}\n".encode())

    def vectors() -> dict[str, object]:
        query = (
            "SELECT encode(c.content_hash, 'hex') AS hash, e.embedding::text AS vector "
            "FROM chunks c JOIN chunk_embeddings e USING (document_id, ordinal) WHERE document_id = %s"
        )
        return {row["hash"]: row["vector"] for row in rows(user.stack, query, document["id"])}

    before = vectors()
    replaced = user.replace(document["id"], f"# Whales\n\n{kept}\n\n# Oven\n\n{OTHER}\n".encode())

    assert (replaced["status"], replaced["version"]) == ("ready", 2)
    after = vectors()
    same = set(before) & set(after)
    assert same
    assert set(before) - same
    assert {hash_: after[hash_] for hash_ in same} == {hash_: before[hash_] for hash_ in same}
    texts = [hit["text"] for hit in user.hits("lighthouse lamp", collections=[collection], top_k=50)]
    assert not any(SENTENCE in text for text in texts)
    assert OTHER in user.hits("bread larder", collections=[collection])[0]["text"]


def test_a_deleted_document_is_gone_everywhere(user):
    collection = user.collection()
    document = user.ready(collection, "gone.txt", SENTENCE.encode())["id"]
    other = user.ready(collection, "stays.txt", OTHER.encode())["id"]
    user.replace(document, f"{SENTENCE} Again.".encode())
    assert left_behind(user.stack, document)["objects"] == 2

    user.call("DELETE", f"/v1/documents/{document}")

    assert left_behind(user.stack, document) == {}
    assert {hit["document_id"] for hit in user.hits("lighthouse bread", collections=[collection])} == {other}
    assert [row["id"] for row in user.call("GET", f"/v1/documents?collection_id={collection}")["items"]] == [other]
    for method, path in (("GET", ""), ("GET", "/chunks"), ("GET", "/download"), ("DELETE", ""), ("POST", "/retry")):
        user.call(method, f"/v1/documents/{document}{path}", status=404)
    counts = user.call("GET", f"/v1/collections/{collection}")
    assert (counts["document_count"], counts["chunk_count"]) == (1, 1)


def test_an_upload_after_the_deletion_leaves_nothing_behind(user):
    collection = user.collection()
    [item] = user.announce(collection, "late.txt")
    document = item["document"]["id"]
    user.call("DELETE", f"/v1/documents/{document}")
    user.send(item["upload"], SENTENCE.encode())
    marker = user.ready(collection, "after.txt", OTHER.encode())["id"]  # the queue has come past the late one
    assert marker
    until(lambda: left_behind(user.stack, document) == {}, what="the late object's removal")


def test_many_pages_are_listed_once_each(user):
    collection = user.collection()
    announced = {item["document"]["id"] for item in user.announce(collection, *(f"{n}.txt" for n in range(7)))}
    listed, path = [], f"/v1/documents?collection_id={collection}&limit=3&status=awaiting_upload"
    page = user.call("GET", path)
    while True:
        listed += [row["id"] for row in page["items"]]
        if page["next_cursor"] is None:
            break
        page = user.call("GET", f"{path}&cursor={page['next_cursor']}")
    assert len(listed) == 7
    assert set(listed) == announced
    assert listed == sorted(listed, reverse=True)
