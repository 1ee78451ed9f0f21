"""Files that cannot be read end with a code and a sentence; what is too large is not even taken."""

from __future__ import annotations

import zipfile
from io import BytesIO

import pytest

from tests.corpus import docx, pdf
from tests.support.stack_user import DERIVED, StackUser, left_behind, until


def _zip_bomb() -> bytes:
    """A Word file whose text inflates to a gigabyte."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        with archive.open("word/document.xml", "w") as member:
            for _ in range(256):
                member.write(b"A" * (4 << 20))
    return out.getvalue()


UNREADABLE = {
    "a scan without text": ("scan.pdf", lambda: pdf.pdf([], [pdf.stream(b"0 0 m 100 100 l S")]), "no_text"),
    "an empty page of blanks": ("blank.txt", lambda: b" \n\t \n", "no_text"),
    "a wrong extension": ("letter.pdf", lambda: docx.docx(docx.paragraph("Dear all")), "type_mismatch"),
    "a picture": ("photo.png", lambda: b"\x89PNG\r\n\x1a\n" + bytes(64), "type_unsupported"),
    "a password": ("secret.pdf", pdf.encrypted, "encrypted"),
    "half a file": ("half.docx", lambda: docx.docx(docx.paragraph("Dear all"))[:120], "damaged"),
    "a bomb in a Word file": ("bomb.docx", _zip_bomb, "resource_limit"),
    "a bomb in a PDF": ("bomb.pdf", lambda: pdf.bomb(400), "resource_limit"),
}


@pytest.fixture(scope="module")
def user(stack):
    return StackUser(stack)


@pytest.mark.parametrize("case", UNREADABLE)
def test_an_unreadable_file_says_why_and_says_so_again_after_a_retry(user, case):
    name, content, code = UNREADABLE[case]
    document = user.failed(user.collection(), name, content())
    assert document["error"]["code"] == code
    assert document["error"]["message"].endswith(".")
    assert document["stages"]["failed_at"]
    assert (document["version"], document["chunk_count"]) == (0, 0)

    first = document["stages"]["failed_at"]
    queued = user.call("POST", f"/v1/documents/{document['id']}/retry", status=202)
    assert queued["status"] in ("queued", "parsing")
    assert queued["error"] is None
    again = until(
        lambda: (
            (found := user.document(document["id"]))["status"] == "failed"
            and found["stages"]["failed_at"] != first
            and found
        ),
        what="the second failure",
    )
    assert again["error"] == document["error"]
    assert not set(left_behind(user.stack, document["id"])) & set(DERIVED)


def test_what_did_not_fail_cannot_be_retried(user):
    collection = user.collection()
    [item] = user.announce(collection, "never.txt")
    assert user.call("POST", f"/v1/documents/{item['document']['id']}/retry", status=409)["code"] == "conflict"
    ready = user.ready(collection, "well.txt", b"All is well.")
    refused = user.call("POST", f"/v1/documents/{ready['id']}/retry", status=409)
    assert refused["code"] == "conflict"
    assert "ready" in refused["detail"]


def test_a_failed_new_version_leaves_the_old_one_to_be_found(user):
    collection = user.collection()
    document = user.ready(collection, "kept.pdf", pdf.pdf([["The harbour freezes in January."]]))["id"]
    replaced = user.replace(document, pdf.encrypted())
    assert (replaced["status"], replaced["error"]["code"], replaced["version"]) == ("failed", "encrypted", 1)
    assert user.hits("harbour freezes", collections=[collection])[0]["document_id"] == document


def test_one_poisoned_file_does_not_hold_up_the_others(user):
    collection = user.collection()
    items = user.announce(collection, *(f"{n}.txt" for n in range(5)), "poison.pdf")
    user.send(items[5]["upload"], pdf.bomb(400))
    for number, item in enumerate(items[:5]):
        user.send(item["upload"], f"Sound file {number}.".encode())
    assert {user.settled(item["document"]["id"])["status"] for item in items[:5]} == {"ready"}
    assert user.settled(items[5]["document"]["id"])["status"] == "failed"


def test_the_form_refuses_what_is_too_large_empty_or_of_another_key(user):
    collection = user.collection()
    [item] = user.announce(collection, "huge.txt")
    form = item["upload"]
    for content in (b"", b"x" * (form["max_bytes"] + 1)):
        refused = user.stack.post_form(form, content)
        assert refused.status == 400
        assert "EntityToo" in refused.text
    moved = {"url": form["url"], "fields": form["fields"] | {"key": "documents/elsewhere"}}
    assert user.stack.post_form(moved, b"text").status == 403
    assert user.document(item["document"]["id"])["status"] == "awaiting_upload"


def test_nothing_to_download_before_the_upload(user):
    [item] = user.announce(user.collection(), "later.txt")
    refused = user.call("GET", f"/v1/documents/{item['document']['id']}/download", status=409)
    assert refused["code"] == "conflict"
