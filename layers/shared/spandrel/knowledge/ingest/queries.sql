-- name: claim_document
-- Takes the document for `owner`, if this state of its object is news: newer than any seen, or seen and not finished with
-- nobody at work on it. One row if the document exists; `claimed` says whether it was taken, `busy` whether to come again,
-- `doomed` that it is being deleted.
WITH prior AS (
    SELECT * FROM documents WHERE id = %(document_id)s FOR NO KEY UPDATE
), claimed AS (
    UPDATE documents d SET
        status = 'parsing', error_code = NULL, error_message = NULL,
        sequencer = coalesce(%(sequencer)s, p.sequencer),
        s3_version_id = CASE WHEN %(sequencer)s::text IS NULL THEN p.s3_version_id ELSE %(version_id)s END,
        s3_etag = coalesce(%(etag)s, p.s3_etag),
        size_bytes = coalesce(%(size)s, p.size_bytes),
        lease_owner = %(owner)s, lease_until = now() + make_interval(secs => %(lease_seconds)s),
        attempt = CASE WHEN p.sequencer = coalesce(%(sequencer)s, p.sequencer) THEN p.attempt + 1 ELSE 1 END,
        queued_at = CASE WHEN p.sequencer = coalesce(%(sequencer)s, p.sequencer) THEN coalesce(p.queued_at, now()) ELSE now() END,
        parsing_at = now(), chunking_at = NULL, embedding_at = NULL, ready_at = NULL, failed_at = NULL, updated_at = now()
    FROM prior p
    WHERE d.id = p.id AND p.status <> 'deleting'
      AND coalesce(%(sequencer)s, p.sequencer) IS NOT NULL
      AND (p.sequencer IS NULL OR p.sequencer < %(sequencer)s
           OR (p.sequencer = coalesce(%(sequencer)s, p.sequencer) AND p.status NOT IN ('ready', 'failed')
               AND (p.lease_until IS NULL OR p.lease_until < now())))
    RETURNING d.*
), told AS (
    SELECT append_event(user_id, 'document.parsing', 'documents/' || id, jsonb_build_object('attempt', attempt)) FROM claimed
)
SELECT p.id, p.user_id, p.collection_id, p.name, p.content_type,
       c.id IS NOT NULL AND (SELECT count(*) FROM told) = 1 AS claimed,
       c.id IS NULL AND p.status NOT IN ('deleting', 'ready', 'failed') AND p.lease_until > now()
           AND p.sequencer = coalesce(%(sequencer)s, p.sequencer) AS busy,
       p.status = 'deleting' AS doomed,
       c.attempt, c.s3_version_id AS version_id,
       p.chunk_count > 0 OR EXISTS (SELECT FROM embedding_stash e WHERE e.document_id = p.id) AS has_vectors,
       l.language, l.chunk_size, l.chunk_overlap, s.id AS space_id, s.model, s.dimensions
FROM prior p
LEFT JOIN claimed c ON true
LEFT JOIN collections l ON l.id = p.collection_id
LEFT JOIN embedding_spaces s ON s.status = 'active';

-- name: enter_stage
-- Moves a claimed document on and renews its lease. No row: it was deleted, or a newer upload took over.
WITH entered AS (
    UPDATE documents SET
        status = %(stage)s, updated_at = now(), lease_until = now() + make_interval(secs => %(lease_seconds)s),
        chunking_at = CASE WHEN %(stage)s = 'chunking' THEN now() ELSE chunking_at END,
        embedding_at = CASE WHEN %(stage)s = 'embedding' THEN now() ELSE embedding_at END
    WHERE id = %(document_id)s AND lease_owner = %(owner)s AND status IN ('parsing', 'chunking', 'embedding')
    RETURNING id, user_id
)
SELECT append_event(user_id, 'document.' || %(stage)s, 'documents/' || id, '{}') FROM entered;

-- name: renew_lease
-- Keeps a document while its worker waits. No row: it is no longer this worker's.
UPDATE documents SET lease_until = now() + make_interval(secs => %(lease_seconds)s)
WHERE id = %(document_id)s AND lease_owner = %(owner)s AND status IN ('parsing', 'chunking', 'embedding')
RETURNING id;

-- name: known_vectors
-- The vectors that this document has, live or stashed by an ingest that did not finish, for chunks with these contents.
SELECT DISTINCT ON (content_hash) content_hash, halfvec_send(embedding) AS embedding
FROM (
    SELECT c.content_hash, e.embedding FROM chunks c JOIN chunk_embeddings e USING (document_id, ordinal)
    WHERE c.document_id = %(document_id)s AND e.space_id = %(space_id)s AND c.content_hash = ANY (%(hashes)s)
    UNION ALL
    SELECT content_hash, embedding FROM embedding_stash
    WHERE document_id = %(document_id)s AND space_id = %(space_id)s AND content_hash = ANY (%(hashes)s)
) known;

-- name: copy_stash
-- Keeps vectors that were paid for until the document is published.
COPY embedding_stash (document_id, space_id, content_hash, user_id, embedding) FROM STDIN (FORMAT binary);

-- name: lock_for_publish
-- Holds the document until commit and clears the way. No row: it is no longer this worker's.
SELECT remove_chunks(id) FROM (
    SELECT id FROM documents
    WHERE id = %(document_id)s AND lease_owner = %(owner)s AND status = 'embedding' FOR NO KEY UPDATE
) held;

-- name: copy_chunks
COPY chunks (document_id, ordinal, user_id, collection_id, text, start_offset, end_offset, heading_path, page, token_count,
             content_hash) FROM STDIN (FORMAT binary);

-- name: copy_embeddings
COPY chunk_embeddings (document_id, ordinal, space_id, user_id, collection_id, embedding) FROM STDIN (FORMAT binary);

-- name: copy_terms
COPY chunk_terms (document_id, ordinal, user_id, collection_id, terms) FROM STDIN (FORMAT binary);

-- name: publish_codes
-- Sign codes of the vectors just copied.
INSERT INTO chunk_codes (collection_id, space_id, document_id, ordinal, user_id, code)
SELECT collection_id, space_id, document_id, ordinal, user_id, binary_quantize(embedding)
FROM chunk_embeddings WHERE document_id = %(document_id)s AND space_id = %(space_id)s;

-- name: lock_collection
-- For what is locked between the collection and the feed.
SELECT FROM collections WHERE id = %(collection_id)s FOR NO KEY UPDATE;

-- name: publish_document
-- Makes what was copied the live version: counts, status and event, with the caller's commit.
WITH terms AS (
    INSERT INTO document_terms (document_id, user_id, collection_id, terms, counts)
    VALUES (%(document_id)s, %(user_id)s, %(collection_id)s, %(terms)s::integer[], %(counts)s::integer[])
), cleared AS (
    DELETE FROM embedding_stash WHERE document_id = %(document_id)s
), counted AS (
    UPDATE collections SET chunk_count = chunk_count + %(chunks)s WHERE id = %(collection_id)s RETURNING id
), live AS (
    UPDATE documents SET
        status = 'ready', version = version + 1, chunk_count = %(chunks)s, token_count = %(tokens)s,
        content_type = %(content_type)s, lease_owner = NULL, lease_until = NULL, attempt = 0,
        ready_at = now(), updated_at = now()
    WHERE id = %(document_id)s
    RETURNING id, user_id, version, chunk_count
)
SELECT append_event(user_id, 'document.ready', 'documents/' || live.id,
                    jsonb_build_object('version', version, 'chunk_count', chunk_count)),
       (SELECT count(*) FROM document_terms WHERE collection_id = %(collection_id)s AND NOT folded) AS unfolded
FROM live, counted;  -- the collection is locked before the feed, here and everywhere

-- name: fold_terms
SELECT fold_terms(%(collection_id)s);

-- name: fail_document
-- Ends a claimed document's ingest with a reason that its owner can act on. What was live before stays live.
WITH failed AS (
    UPDATE documents SET
        status = 'failed', error_code = %(code)s, error_message = %(message)s, failed_at = now(), updated_at = now(),
        lease_owner = NULL, lease_until = NULL
    WHERE id = %(document_id)s AND lease_owner = %(owner)s AND status IN ('parsing', 'chunking', 'embedding')
    RETURNING id, user_id, error_code, error_message
)
SELECT append_event(user_id, 'document.failed', 'documents/' || id,
                    jsonb_build_object('code', error_code, 'message', error_message)) FROM failed;

-- name: release_document
-- Puts a claimed document back in the queue. `refund`: the attempt was not the document's fault and does not count.
WITH released AS (
    UPDATE documents SET
        status = 'queued', lease_owner = NULL, lease_until = NULL, updated_at = now(),
        attempt = attempt - CASE WHEN %(refund)s THEN 1 ELSE 0 END
    WHERE id = %(document_id)s AND lease_owner = %(owner)s AND status IN ('parsing', 'chunking', 'embedding')
    RETURNING id, user_id
)
SELECT append_event(user_id, 'document.queued', 'documents/' || id, jsonb_build_object('reason', %(reason)s::text))
FROM released;
