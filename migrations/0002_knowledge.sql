-- compatible-from: 1
-- Collections, documents and what is derived from them: chunks, vectors, codes and term weights.
--
-- Derived rows are written in bulk and only together with the change that makes them visible, so they carry no foreign
-- keys (a check a row would double the cost of the store stage); one statement removes them all, and upkeep sweeps.

CREATE TABLE collections (
    id             uuid PRIMARY KEY DEFAULT uuidv7(),
    user_id        text NOT NULL,
    name           text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    language       text NOT NULL DEFAULT 'english',
    chunk_size     integer NOT NULL DEFAULT 400 CHECK (chunk_size BETWEEN 50 AND 2000),
    chunk_overlap  integer NOT NULL DEFAULT 60 CHECK (chunk_overlap BETWEEN 0 AND chunk_size / 2),
    document_count bigint NOT NULL DEFAULT 0,
    chunk_count    bigint NOT NULL DEFAULT 0,   -- live chunks: the N of BM25, and what picks the search path
    has_graph      boolean NOT NULL DEFAULT false,     -- some of its vectors are in the HNSW index
    has_inverted   boolean NOT NULL DEFAULT false,     -- some of its chunks are in the inverted index
    last_number    integer NOT NULL DEFAULT 0,         -- the last that a chunk got there
    deleted_at     timestamptz,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX collections_name ON collections (user_id, name) WHERE deleted_at IS NULL;
CREATE INDEX collections_by_user ON collections (user_id, id) WHERE deleted_at IS NULL;
CREATE INDEX collections_deleted ON collections (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE documents (
    id            uuid PRIMARY KEY DEFAULT uuidv7(),
    user_id       text NOT NULL,
    collection_id uuid NOT NULL REFERENCES collections (id),
    name          text NOT NULL CHECK (length(name) BETWEEN 1 AND 1024),
    content_type  text,
    attributes    jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(attributes) = 'object'),
    status        text NOT NULL DEFAULT 'awaiting_upload' CHECK (status IN
                  ('awaiting_upload', 'queued', 'parsing', 'chunking', 'embedding', 'ready', 'failed', 'deleting')),
    error_code    text,
    error_message text,
    -- The newest state of the S3 object documents/<id>. `sequencer` is left-padded, so that text order is S3's order.
    s3_version_id text,
    s3_etag       text,
    sequencer     text,
    size_bytes    bigint,
    -- Who works on it, and until when nobody else may.
    lease_owner   uuid,
    lease_until   timestamptz,
    attempt       integer NOT NULL DEFAULT 0,
    -- What is live, and since when. A version becomes live whole; until then the one before it is found.
    version       integer NOT NULL DEFAULT 0,
    chunk_count   integer NOT NULL DEFAULT 0,
    token_count   integer NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    queued_at     timestamptz,
    parsing_at    timestamptz,
    chunking_at   timestamptz,
    embedding_at  timestamptz,
    ready_at      timestamptz,
    failed_at     timestamptz
);
CREATE INDEX documents_listing ON documents (collection_id, id);
CREATE INDEX documents_by_user ON documents (user_id, id);
CREATE INDEX documents_unfinished ON documents (lease_until)
    WHERE status IN ('queued', 'parsing', 'chunking', 'embedding', 'deleting');

-- A model's vector space. One is active; a new model is built beside it and switched to in one update.
CREATE TABLE embedding_spaces (
    id          smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model       text NOT NULL,
    dimensions  integer NOT NULL CHECK (dimensions BETWEEN 1 AND 4000),  -- what an HNSW index on halfvec can hold
    status      text NOT NULL CHECK (status IN ('building', 'active', 'retired')),
    graph_count bigint NOT NULL DEFAULT 0,  -- vectors in the HNSW index, of all users
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (model, dimensions)
);
CREATE UNIQUE INDEX embedding_spaces_active ON embedding_spaces (status) WHERE status = 'active';
GRANT SELECT ON embedding_spaces TO spandrel_app, spandrel_system;
GRANT UPDATE ON embedding_spaces TO spandrel_system;

CREATE TABLE chunks (
    document_id   uuid NOT NULL,
    ordinal       integer NOT NULL,
    user_id       text NOT NULL,
    collection_id uuid NOT NULL,
    text          text NOT NULL,
    start_offset  integer NOT NULL,
    end_offset    integer NOT NULL,
    heading_path  text[] NOT NULL,
    page          integer,
    token_count   integer NOT NULL,
    content_hash  bytea NOT NULL,
    PRIMARY KEY (document_id, ordinal)
) WITH (toast_tuple_target = 8160);
ALTER TABLE chunks ALTER COLUMN text SET STORAGE EXTERNAL;  -- compressing a chunk costs more than all else of storing it

-- Vectors are kept whole in the page (no TOAST, no compression): a re-rank reads one page, not four.
CREATE TABLE chunk_embeddings (
    document_id   uuid NOT NULL,
    ordinal       integer NOT NULL,
    space_id      smallint NOT NULL,
    in_graph      boolean NOT NULL DEFAULT false,
    user_id       text NOT NULL,
    collection_id uuid NOT NULL,
    embedding     halfvec NOT NULL,
    PRIMARY KEY (document_id, ordinal, space_id)
) WITH (toast_tuple_target = 8160);
ALTER TABLE chunk_embeddings ALTER COLUMN embedding SET STORAGE EXTERNAL;

-- Sign codes of the vectors. The key covers the code, so a tenant's codes lie together in the index and a search
-- of them is one index-only range scan. `in_graph` first: what the HNSW index does not hold yet is a prefix. A document's codes
-- are found by the key too, given its collection: of what comes between there are few values, which a skip scan goes through.
CREATE TABLE chunk_codes (
    collection_id uuid NOT NULL,
    space_id      smallint NOT NULL,
    in_graph      boolean NOT NULL DEFAULT false,
    document_id   uuid NOT NULL,
    ordinal       integer NOT NULL,
    user_id       text NOT NULL,
    code          "bit" NOT NULL,
    PRIMARY KEY (collection_id, space_id, in_graph, document_id, ordinal) INCLUDE (user_id, code)
);

-- BM25, document side: saturated term frequencies with the length norm, terms hashed to 2^20. `number` is the chunk's in
-- its collection's inverted index, NULL while that does not hold it.
CREATE TABLE chunk_terms (
    document_id   uuid NOT NULL,
    ordinal       integer NOT NULL,
    number        integer,
    user_id       text NOT NULL,
    collection_id uuid NOT NULL,
    terms         sparsevec NOT NULL,
    PRIMARY KEY (document_id, ordinal)
) WITH (toast_tuple_target = 8160);
ALTER TABLE chunk_terms ALTER COLUMN terms SET STORAGE EXTERNAL;
CREATE INDEX chunk_terms_fresh ON chunk_terms (collection_id) WHERE number IS NULL;
CREATE UNIQUE INDEX chunk_terms_number ON chunk_terms (collection_id, number) WHERE number IS NOT NULL;

-- The entries of a sparsevec, terms counted from 0 (its text form counts from 1).
CREATE FUNCTION sparse_entries(p_terms sparsevec) RETURNS TABLE (term integer, weight real)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 100 AS $$
    SELECT split_part(pair, ':', 1)::integer - 1, split_part(pair, ':', 2)::real
    FROM unnest(string_to_array(substr(split_part(p_terms::text, '}', 1), 2), ',')) AS pair WHERE pair <> ''
$$;

-- The inverted index of large collections: a term's chunks in ascending order, cut into parts that fit a page. An entry is a
-- chunk's number above 26 bits of its weight, in 2^-24 and rounded up. Numbers are never given again, so what an entry of a
-- removed chunk leads to is no row; upkeep sweeps it out.
CREATE TABLE postings (
    collection_id uuid NOT NULL,
    term          integer NOT NULL,
    part          integer NOT NULL,
    user_id       text NOT NULL,
    entries       bigint[] NOT NULL,
    PRIMARY KEY (collection_id, term, part)
) WITH (toast_tuple_target = 8160);
ALTER TABLE postings ALTER COLUMN entries SET STORAGE EXTERNAL;

-- Terms of every thirtieth chunk and more, once again: what each of 7,680 chunks in a row weighs them, a byte a chunk, in
-- hundredths and rounded up. A search looks here how far a chunk can get before it reads the chunk.
CREATE TABLE common_postings (
    collection_id uuid NOT NULL,
    term          integer NOT NULL,
    segment       integer NOT NULL,  -- of the numbers from segment * 7680
    user_id       text NOT NULL,
    weights       bytea NOT NULL,
    PRIMARY KEY (collection_id, term, segment)
) WITH (toast_tuple_target = 8160);
ALTER TABLE common_postings ALTER COLUMN weights SET STORAGE EXTERNAL;

-- Where the terms are that are not rare, once again: of each four numbers in a row a bit, set if one of the chunks has the term, in
-- the full segments. A part is eight segments; a term that has parts has one wherever it occurs. A search leaves out of its sums
-- the chunks in which no two of its terms can meet.
CREATE TABLE posting_blocks (
    collection_id uuid NOT NULL,
    term          integer NOT NULL,
    part          integer NOT NULL,  -- of the numbers from part * 61440
    user_id       text NOT NULL,
    blocks        bit varying NOT NULL,
    PRIMARY KEY (collection_id, term, part)
) WITH (toast_tuple_target = 8160);

-- What is to be swept: the chunks that a removed document had in the inverted index, and the terms of all of them.
CREATE TABLE dead_postings (
    collection_id uuid NOT NULL,
    user_id       text NOT NULL,
    terms         integer[] NOT NULL,
    numbers       integer[] NOT NULL
);
CREATE INDEX dead_postings_collection ON dead_postings (collection_id);

-- BM25, collection side: in how many chunks a term occurs. A document brings its counts in one row, so that
-- publishing it is one insert whatever its vocabulary; `folded` rows are summed up in term_counts.
CREATE TABLE document_terms (
    document_id   uuid PRIMARY KEY,
    user_id       text NOT NULL,
    collection_id uuid NOT NULL,
    terms         integer[] NOT NULL,
    counts        integer[] NOT NULL,
    folded        boolean NOT NULL DEFAULT false
);
ALTER TABLE document_terms ALTER COLUMN terms SET STORAGE EXTERNAL, ALTER COLUMN counts SET STORAGE EXTERNAL;
CREATE INDEX document_terms_unfolded ON document_terms (collection_id) WHERE NOT folded;

CREATE TABLE term_counts (
    collection_id uuid NOT NULL,
    term          integer NOT NULL,
    user_id       text NOT NULL,
    chunks        integer NOT NULL,
    max_weight    real NOT NULL DEFAULT 0,  -- no chunk in the inverted index weighs the term more
    PRIMARY KEY (collection_id, term)
) WITH (fillfactor = 80);

-- Vectors already paid for by an ingest that has not been published: a worker that takes over starts from here. Unlogged:
-- a crash of the server itself may cost them.
CREATE UNLOGGED TABLE embedding_stash (
    document_id  uuid NOT NULL,
    space_id     smallint NOT NULL,
    content_hash bytea NOT NULL,
    user_id      text NOT NULL,
    embedding    halfvec NOT NULL
) WITH (toast_tuple_target = 8160);
ALTER TABLE embedding_stash ALTER COLUMN embedding SET STORAGE EXTERNAL;
CREATE INDEX embedding_stash_document ON embedding_stash (document_id);

CALL protect_user_table('collections');
CALL protect_user_table('documents');
CALL protect_user_table('chunks');
CALL protect_user_table('chunk_embeddings');
CALL protect_user_table('chunk_codes');
CALL protect_user_table('chunk_terms');
CALL protect_user_table('postings');
CALL protect_user_table('common_postings');
CALL protect_user_table('posting_blocks');
CALL protect_user_table('dead_postings');
CALL protect_user_table('document_terms');
CALL protect_user_table('term_counts');
CALL protect_user_table('embedding_stash');

-- COPY FROM is refused on a table whose row-level security binds the caller; it does not bind an owner. So the role that
-- ingests owns what it copies into; spandrel_app stays bound.
GRANT CREATE ON SCHEMA public TO spandrel_system;
ALTER TABLE chunks OWNER TO spandrel_system;
ALTER TABLE chunk_embeddings OWNER TO spandrel_system;
ALTER TABLE chunk_terms OWNER TO spandrel_system;
ALTER TABLE embedding_stash OWNER TO spandrel_system;
REVOKE CREATE ON SCHEMA public FROM spandrel_system;

-- Removes all that is derived from a document, also where some of it is lost already: what goes from its collection's count is what
-- was counted, not what was found. Where its terms are lost, those of its chunks say where to sweep; how often they were counted
-- nobody knows then, so term_counts stay as they are.
CREATE FUNCTION remove_chunks(p_document_id uuid) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    v_document documents;
    v_terms    document_terms;
    v_numbers  integer[];
BEGIN
    SELECT * INTO v_document FROM documents WHERE id = p_document_id;
    IF coalesce(v_document.chunk_count, 0) = 0
       AND NOT EXISTS (SELECT FROM document_terms WHERE document_id = p_document_id)
       AND NOT EXISTS (SELECT FROM chunks WHERE document_id = p_document_id) THEN
        RETURN;
    END IF;
    -- The collection before its documents' rows: the order in which fold_terms locks them too.
    PERFORM FROM collections WHERE id = v_document.collection_id FOR NO KEY UPDATE;
    DELETE FROM chunk_codes WHERE collection_id = v_document.collection_id AND document_id = p_document_id;
    DELETE FROM chunk_embeddings WHERE document_id = p_document_id;
    DELETE FROM document_terms WHERE document_id = p_document_id RETURNING * INTO v_terms;
    IF v_terms.document_id IS NULL THEN
        v_terms.terms := ARRAY(SELECT DISTINCT e.term FROM chunk_terms c, sparse_entries(c.terms) e
                               WHERE c.document_id = p_document_id AND c.number IS NOT NULL);
    END IF;
    WITH gone AS (
        DELETE FROM chunk_terms WHERE document_id = p_document_id RETURNING number
    )
    SELECT array_agg(number) INTO v_numbers FROM gone WHERE number IS NOT NULL;
    DELETE FROM chunks WHERE document_id = p_document_id;
    IF v_numbers IS NOT NULL THEN
        INSERT INTO dead_postings (collection_id, user_id, terms, numbers)
        VALUES (v_document.collection_id, v_document.user_id, v_terms.terms, v_numbers);
    END IF;
    IF v_terms.folded THEN
        UPDATE term_counts t SET chunks = t.chunks - d.chunks
        FROM (SELECT term, chunks FROM unnest(v_terms.terms, v_terms.counts) AS u (term, chunks) ORDER BY term) d
        WHERE t.collection_id = v_document.collection_id AND t.term = d.term;
    END IF;
    UPDATE collections SET chunk_count = chunk_count - v_document.chunk_count WHERE id = v_document.collection_id;
END
$$;

-- Sums a collection's unfolded term counts up. The collection's row lock keeps two folds apart.
CREATE FUNCTION fold_terms(p_collection_id uuid) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    v_documents integer;
BEGIN
    PERFORM FROM collections WHERE id = p_collection_id FOR NO KEY UPDATE;
    WITH taken AS (
        UPDATE document_terms SET folded = true
        WHERE collection_id = p_collection_id AND NOT folded
        RETURNING user_id, terms, counts
    ), summed AS (
        INSERT INTO term_counts AS t (collection_id, term, user_id, chunks)
        SELECT p_collection_id, u.term, min(taken.user_id), sum(u.chunks)
        FROM taken, unnest(taken.terms, taken.counts) AS u (term, chunks)
        GROUP BY u.term ORDER BY u.term
        ON CONFLICT (collection_id, term) DO UPDATE SET chunks = t.chunks + excluded.chunks
    )
    SELECT count(*) INTO v_documents FROM taken;
    RETURN v_documents;
END
$$;

-- The terms of which it is worth while to note where they are.
CREATE FUNCTION frequent_terms(p_collection_id uuid) RETURNS SETOF integer
    LANGUAGE sql STABLE ROWS 10000 AS $$
    SELECT term FROM term_counts
    WHERE collection_id = p_collection_id AND chunks >= (SELECT chunk_count FROM collections WHERE id = p_collection_id) / 700
$$;

-- Moves up to `p_limit` of a collection's chunks into the inverted index, and notes the greatest weight of each term.
CREATE FUNCTION move_to_inverted(p_collection_id uuid, p_limit integer) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    c_part  constant integer := 950;  -- entries that fit a page
    v_last  integer;
    v_moved integer;
BEGIN
    -- The collection before its terms, as everywhere. Its lock also keeps two moves and a removal apart.
    UPDATE collections SET has_inverted = true WHERE id = p_collection_id RETURNING last_number INTO v_last;
    IF v_last IS NULL THEN
        RETURN 0;  -- purged meanwhile
    END IF;
    WITH batch AS (
        SELECT document_id, ordinal, user_id, terms, v_last + row_number() OVER (ORDER BY document_id, ordinal) AS number
        FROM (SELECT * FROM chunk_terms WHERE collection_id = p_collection_id AND number IS NULL
              LIMIT p_limit FOR UPDATE SKIP LOCKED) claimed
    ), moved AS (
        UPDATE chunk_terms t SET number = b.number FROM batch b
        WHERE (t.document_id, t.ordinal) = (b.document_id, b.ordinal)
    ), fresh AS (
        SELECT e.term, min(b.user_id) AS user_id, max(e.weight) AS peak,
               array_agg(b.number << 26 | ceil(e.weight::double precision * 16777216)::bigint ORDER BY b.number) AS entries
        FROM batch b, sparse_entries(b.terms) e GROUP BY e.term
    ), peaks AS (
        INSERT INTO term_counts AS t (collection_id, term, user_id, chunks, max_weight)
        SELECT p_collection_id, term, user_id, 0, peak FROM fresh ORDER BY term
        ON CONFLICT (collection_id, term) DO UPDATE SET max_weight = excluded.max_weight
            WHERE t.max_weight < excluded.max_weight
    ), grown AS (
        SELECT f.term, f.user_id, coalesce(tail.part, 0) AS part, coalesce(tail.entries, '{}') || f.entries AS entries
        FROM fresh f LEFT JOIN LATERAL (
            SELECT part, entries FROM postings p WHERE p.collection_id = p_collection_id AND p.term = f.term
            ORDER BY part DESC LIMIT 1
        ) tail ON true
    ), written AS (
        INSERT INTO postings (collection_id, term, part, user_id, entries)
        SELECT p_collection_id, term, part + n, user_id, entries[n * c_part + 1 : (n + 1) * c_part]
        FROM grown, generate_series(0, (cardinality(entries) - 1) / c_part) AS n ORDER BY term
        ON CONFLICT (collection_id, term, part) DO UPDATE SET entries = excluded.entries
    )
    SELECT count(*) INTO v_moved FROM batch;
    UPDATE collections SET last_number = v_last + v_moved WHERE id = p_collection_id;
    FOR v_segment IN v_last / 7680 .. (v_last + v_moved) / 7680 - 1 LOOP
        PERFORM fold_terms(p_collection_id);  -- which tells what is frequent
        IF v_segment > 0 THEN
            PERFORM list_blocks(p_collection_id, v_segment);
        END IF;
        PERFORM list_segment(p_collection_id, v_segment);
    END LOOP;
    RETURN v_moved;
END
$$;

-- Of a segment of the inverted index that has just become full, lists the common terms and notes where those are that are not rare.
CREATE FUNCTION list_segment(p_collection_id uuid, p_segment integer) RETURNS void
    LANGUAGE sql AS $$
    WITH spaced AS MATERIALIZED (
        SELECT term, user_id, place, weight, count(*) OVER (PARTITION BY term) AS n,
               lag(place, 1, -1) OVER (PARTITION BY term ORDER BY place) AS before
        FROM (
            SELECT term, user_id, ceil((entry & 67108863) / 167772.16)::integer AS weight,
                   (entry >> 26)::integer - p_segment * 7680 AS place
            FROM postings p, unnest(p.entries) AS entry
            WHERE p.collection_id = p_collection_id AND p.entries[1] >> 26 < (p_segment + 1) * 7680
              AND p.entries[cardinality(p.entries)] >> 26 >= p_segment * 7680
        ) listed
        WHERE place BETWEEN 0 AND 7679
    ), common AS (
        INSERT INTO common_postings (collection_id, term, segment, user_id, weights)
        SELECT p_collection_id, term, p_segment, min(user_id),
               string_agg(decode(repeat('00', place - before - 1) || lpad(to_hex(weight), 2, '0'), 'hex'), '' ORDER BY place)
               || decode(repeat('00', 7679 - max(place)), 'hex')
        FROM spaced
        WHERE n >= 7680 / 32
        GROUP BY term
        ON CONFLICT DO NOTHING
    )
    INSERT INTO posting_blocks (collection_id, term, part, user_id, blocks)
    SELECT p_collection_id, term, p_segment / 8, min(user_id),
           "bit"(coalesce((SELECT b.blocks FROM posting_blocks b
                           WHERE b.collection_id = p_collection_id AND b.term = s.term AND b.part = p_segment / 8), ''),
                 p_segment % 8 * 1920, true)
           || string_agg(repeat('0', place / 4 - (before + 4) / 4) || '1', '' ORDER BY place)::bit varying
    FROM spaced s
    WHERE place / 4 >= (before + 4) / 4  -- the first in its block
      AND (term IN (SELECT b.term FROM posting_blocks b WHERE b.collection_id = p_collection_id)
           OR term IN (SELECT frequent_terms(p_collection_id)))
    GROUP BY term
    ON CONFLICT (collection_id, term, part) DO UPDATE SET blocks = excluded.blocks
$$;

-- Notes where the terms that are no longer rare have been in the segments before.
CREATE FUNCTION list_blocks(p_collection_id uuid, p_segment integer) RETURNS void
    LANGUAGE sql AS $$
    INSERT INTO posting_blocks (collection_id, term, part, user_id, blocks)
    SELECT p_collection_id, term, part, min(user_id),
           string_agg(repeat('0', place - before - 1) || '1', '' ORDER BY place)::bit varying
    FROM (
        SELECT *, lag(place, 1, -1) OVER (PARTITION BY term, part ORDER BY place) AS before
        FROM (
            SELECT DISTINCT p.term, p.user_id, (entry >> 28)::integer / 15360 AS part, (entry >> 28)::integer % 15360 AS place
            FROM frequent_terms(p_collection_id) AS f (term)
            JOIN postings p ON p.collection_id = p_collection_id AND p.term = f.term, unnest(p.entries) AS entry
            WHERE entry >> 28 < p_segment * 1920 AND NOT EXISTS (
                SELECT FROM posting_blocks b WHERE b.collection_id = p_collection_id AND b.term = f.term)
        ) listed
    ) spaced
    GROUP BY term, part
$$;

-- Sweeps what up to `p_limit` removed documents left in a collection's inverted index: how many it were.
CREATE FUNCTION sweep_inverted(p_collection_id uuid, p_limit integer) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    v_swept   integer;
    v_terms   integer[];
    v_numbers integer[];
BEGIN
    PERFORM FROM collections WHERE id = p_collection_id FOR NO KEY UPDATE;
    WITH dead AS (
        DELETE FROM dead_postings WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM dead_postings WHERE collection_id = p_collection_id LIMIT p_limit))
        RETURNING terms, numbers
    )
    SELECT count(*), ARRAY(SELECT DISTINCT unnest(terms) FROM dead), ARRAY(SELECT unnest(numbers) FROM dead ORDER BY 1)
    INTO v_swept, v_terms, v_numbers FROM dead;
    UPDATE postings p SET entries = ARRAY(
        SELECT e FROM unnest(p.entries) AS e WHERE e >> 26 NOT IN (SELECT unnest(v_numbers)) ORDER BY e)
    WHERE p.collection_id = p_collection_id AND p.term = ANY (v_terms)
      AND p.entries[1] >> 26 <= v_numbers[cardinality(v_numbers)] AND p.entries[cardinality(p.entries)] >> 26 >= v_numbers[1];
    DELETE FROM postings p WHERE p.collection_id = p_collection_id AND p.term = ANY (v_terms) AND p.entries = '{}';
    RETURN v_swept;
END
$$;

-- Makes (model, dimensions) known and gives it its HNSW index. The first space is active at once; a later one is built.
-- With pgvector's default ef_construction of 64, whole clusters of vectors could not be reached from some queries.
CREATE FUNCTION ensure_embedding_space(p_model text, p_dimensions integer) RETURNS smallint
    LANGUAGE plpgsql AS $$
DECLARE
    v_id smallint;
BEGIN
    SELECT id INTO v_id FROM embedding_spaces WHERE model = p_model AND dimensions = p_dimensions;
    IF v_id IS NOT NULL THEN
        RETURN v_id;
    END IF;
    INSERT INTO embedding_spaces (model, dimensions, status)
    SELECT p_model, p_dimensions,
           CASE WHEN EXISTS (SELECT FROM embedding_spaces WHERE status = 'active') THEN 'building' ELSE 'active' END
    RETURNING id INTO v_id;
    EXECUTE format('CREATE INDEX chunk_embeddings_graph_%s ON chunk_embeddings
                    USING hnsw ((embedding::halfvec(%s)) halfvec_cosine_ops) WITH (m = 16, ef_construction = 128)
                    WHERE space_id = %s AND in_graph', v_id, p_dimensions, v_id);
    PERFORM write_nearest_in_graph();
    RETURN v_id;
END
$$;

-- Writes `nearest_in_graph`, a branch a space: the chunks nearest to a vector among those that the space's HNSW index holds, best
-- first. An array: a search that needs nothing else takes it as it is, which is cheaper than a statement over rows.
--
-- The index is on a cast to the space's dimensions and partial on its id, so a statement must name both as constants to
-- use it. Written out, each is planned once a connection; put together at every search, planning took a fifth of its time.
-- What it finds must come in order and not be sorted: where there are many collections the planner takes any one to be small, and
-- would rather read every vector there is. Only collections of a good share of the index are searched here.
CREATE FUNCTION write_nearest_in_graph() RETURNS void
    LANGUAGE plpgsql AS $write$
BEGIN
    EXECUTE format('CREATE OR REPLACE FUNCTION nearest_in_graph(
        p_space_id smallint, p_query halfvec, p_collections uuid[], p_documents uuid[], p_depth integer
    ) RETURNS search_leg[] LANGUAGE plpgsql STABLE SET enable_seqscan = off SET enable_sort = off AS $$
    BEGIN
        %s
    END
    $$', (SELECT string_agg(format('IF p_space_id = %1$s THEN
            RETURN ARRAY(
                SELECT (document_id, ordinal, 1 - distance, NULL)::search_leg FROM (
                    SELECT document_id, ordinal, embedding::halfvec(%2$s) <=> p_query::halfvec(%2$s) AS distance
                    FROM chunk_embeddings
                    WHERE space_id = %1$s AND in_graph AND collection_id = ANY (p_collections)
                      AND (p_documents IS NULL OR document_id = ANY (p_documents))
                    ORDER BY embedding::halfvec(%2$s) <=> p_query::halfvec(%2$s) LIMIT p_depth
                ) nearest WHERE distance <> ''NaN'' ORDER BY distance, document_id, ordinal);
        END IF;', id, dimensions), E'\n        ') FROM embedding_spaces));
END
$write$;
