-- name: create_collection
WITH made AS (
    INSERT INTO collections (user_id, name, language, chunk_size, chunk_overlap)
    VALUES (%(user_id)s, %(name)s, %(language)s, %(chunk_size)s, %(chunk_overlap)s)
    RETURNING *
), told AS (
    SELECT append_event(user_id, 'collection.created', 'collections/' || id, jsonb_build_object('name', name)) FROM made
)
SELECT id, name, language, chunk_size, chunk_overlap, document_count, chunk_count, created_at, updated_at
FROM made, told;

-- name: list_collections
-- Newest first; `before` is the last id of the page before.
SELECT id, name, language, chunk_size, chunk_overlap, document_count, chunk_count, created_at, updated_at
FROM collections
WHERE deleted_at IS NULL AND (%(before)s::uuid IS NULL OR id < %(before)s)
ORDER BY id DESC LIMIT %(limit)s;

-- name: find_collection
SELECT id, name, language, chunk_size, chunk_overlap, document_count, chunk_count, created_at, updated_at
FROM collections WHERE id = %(collection_id)s AND deleted_at IS NULL;

-- name: rename_collection
WITH renamed AS (
    UPDATE collections SET name = %(name)s, updated_at = now()
    WHERE id = %(collection_id)s AND deleted_at IS NULL
    RETURNING *
), told AS (
    SELECT append_event(user_id, 'collection.renamed', 'collections/' || id, jsonb_build_object('name', name)) FROM renamed
)
SELECT id, name, language, chunk_size, chunk_overlap, document_count, chunk_count, created_at, updated_at
FROM renamed, told;

-- name: delete_collection
-- Gone for its owner at once; its documents are purged in the background.
WITH gone AS (
    UPDATE collections SET deleted_at = now(), updated_at = now()
    WHERE id = %(collection_id)s AND deleted_at IS NULL
    RETURNING id, user_id
)
SELECT append_event(user_id, 'collection.deleted', 'collections/' || id, '{}') FROM gone;

-- name: create_document
-- No row: there is no such collection, or not any more. One that is deleted gets no document after its purge has looked.
WITH counted AS (  -- first: the collection is locked before the feed, here and everywhere
    UPDATE collections SET document_count = document_count + 1
    WHERE id = %(collection_id)s AND deleted_at IS NULL RETURNING id
), made AS (
    INSERT INTO documents (user_id, collection_id, name, content_type, attributes)
    SELECT %(user_id)s, id, %(name)s, %(content_type)s, %(attributes)s FROM counted
    RETURNING *
), told AS (
    SELECT append_event(user_id, 'document.created', 'documents/' || id,
                        jsonb_build_object('name', name, 'collection_id', collection_id)) FROM made
)
SELECT id, collection_id, name, content_type, size_bytes, attributes, status, error_code, error_message, version,
       chunk_count, token_count, created_at, updated_at, queued_at, parsing_at, chunking_at, embedding_at, ready_at, failed_at
FROM made, told;

-- name: list_documents
-- Newest first; `before` is the last id of the page before. The collection is not joined: the planner would begin with that, and
-- sort all the user's documents for each page.
SELECT d.id, collection_id, d.name, content_type, size_bytes, attributes, status, error_code, error_message, version,
       d.chunk_count, token_count, d.created_at, d.updated_at,
       queued_at, parsing_at, chunking_at, embedding_at, ready_at, failed_at
FROM documents d
WHERE (SELECT c.deleted_at IS NULL FROM collections c WHERE c.id = d.collection_id)
  AND (%(collection_id)s::uuid IS NULL OR d.collection_id = %(collection_id)s)
  AND (%(statuses)s::text[] IS NULL OR status = ANY (%(statuses)s))
  AND (%(before)s::uuid IS NULL OR d.id < %(before)s)
ORDER BY d.id DESC LIMIT %(limit)s;

-- name: find_documents
SELECT d.id, collection_id, d.name, content_type, size_bytes, attributes, status, error_code, error_message, version,
       d.chunk_count, token_count, d.created_at, d.updated_at,
       queued_at, parsing_at, chunking_at, embedding_at, ready_at, failed_at
FROM documents d JOIN collections c ON c.id = d.collection_id AND c.deleted_at IS NULL
WHERE d.id = ANY (%(document_ids)s);

-- name: list_chunks
SELECT ordinal, text, start_offset, end_offset, heading_path, page, token_count
FROM chunks WHERE document_id = %(document_id)s AND ordinal >= %(from_ordinal)s
ORDER BY ordinal LIMIT %(limit)s;

-- name: retry_document
-- Only what failed is retried, and only if something was uploaded.
WITH queued AS (
    UPDATE documents SET status = 'queued', error_code = NULL, error_message = NULL, attempt = 0,
                         queued_at = now(), updated_at = now()
    WHERE id = %(document_id)s AND status = 'failed' AND sequencer IS NOT NULL
    RETURNING id, user_id
)
SELECT append_event(user_id, 'document.queued', 'documents/' || id, '{"reason": "retry"}') FROM queued;

-- name: begin_delete_document
-- Out of every search at once; the row stays until the object is gone. No row: there is no such document.
WITH doomed AS (
    UPDATE documents SET status = 'deleting', chunk_count = 0, lease_owner = NULL, lease_until = NULL, updated_at = now()
    WHERE id = %(document_id)s AND status <> 'deleting'
    RETURNING id, user_id, collection_id
), counted AS (
    UPDATE collections SET document_count = document_count - 1 WHERE id = (SELECT collection_id FROM doomed) RETURNING id
), told AS (
    SELECT append_event(user_id, 'document.deleting', 'documents/' || doomed.id, '{}') FROM doomed, counted
)
SELECT id, (SELECT count(*) FROM told) FROM documents WHERE id = %(document_id)s;

-- name: lock_document
-- A worker about to publish waits here, and then finds the document gone.
SELECT id FROM documents WHERE id = %(document_id)s FOR UPDATE;

-- name: remove_chunks
SELECT remove_chunks(%(document_id)s);

-- name: finish_delete_document
WITH gone AS (
    DELETE FROM documents WHERE id = %(document_id)s AND status = 'deleting' RETURNING id, user_id
), cleared AS (
    DELETE FROM embedding_stash WHERE document_id = %(document_id)s
)
SELECT append_event(user_id, 'document.deleted', 'documents/' || id, '{}') FROM gone;

-- name: purge_batch
-- Documents of deleted collections, and those whose deletion did not finish.
SELECT d.id FROM documents d JOIN collections c ON c.id = d.collection_id
WHERE c.deleted_at IS NOT NULL AND d.collection_id = %(collection_id)s
ORDER BY d.id LIMIT %(limit)s;

-- name: purge_collection
WITH counts AS (
    DELETE FROM term_counts WHERE collection_id = %(collection_id)s
), lists AS (
    DELETE FROM postings WHERE collection_id = %(collection_id)s
), common AS (
    DELETE FROM common_postings WHERE collection_id = %(collection_id)s
), blocks AS (
    DELETE FROM posting_blocks WHERE collection_id = %(collection_id)s
), dead AS (
    DELETE FROM dead_postings WHERE collection_id = %(collection_id)s
)
DELETE FROM collections c
WHERE id = %(collection_id)s AND deleted_at IS NOT NULL
  AND NOT EXISTS (SELECT FROM documents d WHERE d.collection_id = c.id);

-- name: deleted_collections
SELECT id FROM collections WHERE deleted_at < now() - interval '1 minute' ORDER BY deleted_at LIMIT 10;

-- name: half_deleted_documents
SELECT id FROM documents WHERE status = 'deleting' AND updated_at < now() - interval '5 minutes' ORDER BY id LIMIT 100;

-- name: requeue_lost
-- Documents whose worker died, and those whose message got lost on its way: visible, and tried again.
WITH lost AS (
    SELECT id FROM documents
    WHERE (status IN ('parsing', 'chunking', 'embedding') AND lease_until < now())
       OR (status = 'queued' AND updated_at < now() - interval '20 minutes')
    ORDER BY id LIMIT 100 FOR UPDATE SKIP LOCKED
), queued AS (
    UPDATE documents d SET status = 'queued', lease_owner = NULL, lease_until = NULL, updated_at = now()
    FROM lost WHERE d.id = lost.id RETURNING d.id, d.user_id
)
SELECT id, append_event(user_id, 'document.queued', 'documents/' || id, '{"reason": "worker_lost"}')
FROM (SELECT * FROM queued ORDER BY user_id) ordered;

-- name: growing_collections
-- Collections that are cheaper to search through an index than to read, and have chunks that are in none.
SELECT c.id, c.chunk_count >= %(graph_from)s AND EXISTS (
           SELECT FROM chunk_codes k WHERE k.collection_id = c.id AND k.space_id = s.id AND NOT k.in_graph) AS graph,
       EXISTS (SELECT FROM chunk_terms t WHERE t.collection_id = c.id AND t.number IS NULL) AS inverted
FROM collections c, embedding_spaces s
WHERE s.status = 'active' AND c.deleted_at IS NULL AND c.chunk_count >= %(inverted_from)s
ORDER BY c.id;

-- name: open_graph
-- Says that some of a collection's vectors may be in the HNSW index. A statement of its own, before any moves: a move holds codes,
-- and whoever removes those has locked the collection first.
UPDATE collections SET has_graph = true WHERE id = %(collection_id)s AND NOT has_graph RETURNING id;

-- name: move_to_graph
-- Moves a batch of a collection's vectors into the HNSW index. Locks no collection: what is moved is not counted.
WITH batch AS (
    SELECT k.document_id, k.ordinal, k.space_id FROM chunk_codes k
    WHERE k.collection_id = %(collection_id)s AND NOT k.in_graph
      AND k.space_id = (SELECT id FROM embedding_spaces WHERE status = 'active')
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), vectors AS (
    UPDATE chunk_embeddings e SET in_graph = true FROM batch b
    WHERE (e.document_id, e.ordinal, e.space_id) = (b.document_id, b.ordinal, b.space_id)
), codes AS (
    UPDATE chunk_codes k SET in_graph = true FROM batch b
    WHERE k.collection_id = %(collection_id)s AND NOT k.in_graph
      AND (k.document_id, k.ordinal, k.space_id) = (b.document_id, b.ordinal, b.space_id)
)
SELECT count(*) AS moved FROM batch;

-- name: move_to_inverted
-- Moves a batch of a collection's chunks into the inverted index.
SELECT move_to_inverted(%(collection_id)s, %(limit)s::integer) AS moved;

-- name: swept_collections
-- Collections whose inverted index lists chunks that are gone.
SELECT c.id FROM collections c
WHERE c.deleted_at IS NULL AND EXISTS (SELECT FROM dead_postings d WHERE d.collection_id = c.id) ORDER BY c.id;

-- name: sweep_inverted
SELECT sweep_inverted(%(collection_id)s, %(limit)s::integer) AS moved;

-- name: count_graph
UPDATE embedding_spaces SET graph_count = (SELECT coalesce(sum(chunk_count), 0) FROM collections WHERE has_graph)
WHERE status = 'active';

-- name: forget_idempotency_keys
DELETE FROM idempotency_keys WHERE created_at < now() - interval '24 hours';

-- name: reconciliation_place
SELECT place FROM reconciliation_cursors WHERE name = %(name)s;

-- name: move_reconciliation
INSERT INTO reconciliation_cursors (name, place) VALUES (%(name)s, %(place)s)
ON CONFLICT (name) DO UPDATE SET place = excluded.place, updated_at = now()
RETURNING place;

-- name: known_documents
-- Which of these there are, whatever their state.
SELECT id FROM documents WHERE id = ANY (%(document_ids)s);

-- name: documents_between
-- Ready documents that nobody has touched for a while, after one and up to another (NULL: to the end), with how many rows of each
-- kind they have. Vectors of any space count: a new model's are built beside the old ones.
SELECT d.id, d.chunk_count, c.number AS chunks, e.number AS embeddings, k.number AS codes, t.number AS terms
FROM documents d
JOIN collections n ON n.id = d.collection_id AND n.deleted_at IS NULL
CROSS JOIN LATERAL (SELECT count(*) AS number FROM chunks x WHERE x.document_id = d.id) c
CROSS JOIN LATERAL (SELECT count(DISTINCT ordinal) AS number FROM chunk_embeddings x WHERE x.document_id = d.id) e
CROSS JOIN LATERAL (SELECT count(DISTINCT ordinal) AS number FROM chunk_codes x
                    WHERE x.collection_id = d.collection_id AND x.document_id = d.id) k
CROSS JOIN LATERAL (SELECT count(*) AS number FROM chunk_terms x WHERE x.document_id = d.id) t
WHERE d.status = 'ready' AND d.updated_at < now() - interval '10 minutes'
  AND d.id > %(after)s AND (%(until)s::uuid IS NULL OR d.id <= %(until)s)
ORDER BY d.id LIMIT %(limit)s;

-- name: requeue_incomplete
-- Ready documents whose derived rows are not what they should be are ingested again.
WITH found AS (
    SELECT id FROM documents
    WHERE id = ANY (%(document_ids)s) AND status = 'ready' AND sequencer IS NOT NULL ORDER BY id FOR UPDATE SKIP LOCKED
), queued AS (
    UPDATE documents d SET status = 'queued', attempt = 0, queued_at = now(), updated_at = now()
    FROM found WHERE d.id = found.id RETURNING d.id, d.user_id
)
SELECT id, append_event(user_id, 'document.queued', 'documents/' || id, '{"reason": "incomplete"}')
FROM (SELECT * FROM queued ORDER BY user_id) ordered;
