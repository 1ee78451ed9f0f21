-- compatible-from: 1
-- Search. Each function runs with its caller's rights, so row-level security binds inside it.
--
-- A collection pays for its own size only. Small ones are read whole: sign codes with a re-rank by the true vectors,
-- and every term weight. Of large ones upkeep moves chunks into the HNSW and the inverted index, and a search reads those
-- indexes and, as before, whatever they do not hold yet. Nothing in either path depends on other tenants' sizes.

-- A hit of one half of a search, with its own score there.
CREATE TYPE search_leg AS (document_id uuid, ordinal integer, score double precision, coverage double precision);

-- What a hit's score is made of, and a hit, by the names that they have in an answer.
CREATE TYPE search_parts AS (
    similarity double precision, vector_rank bigint, bm25 double precision, text_rank bigint, coverage double precision
);
CREATE TYPE search_hit AS (
    document_id uuid, document_name text, collection_id uuid, ordinal integer, text text, heading_path text[], page integer,
    start_offset integer, end_offset integer, attributes jsonb, score double precision, parts search_parts
);

-- How many of the nearest codes are re-ranked by their vectors. Fewer bits tell less, so short vectors need more.
CREATE FUNCTION rerank_depth(p_dimensions integer, p_depth integer) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN greatest(p_depth * 3, least(1500, 240000 / p_dimensions));

-- The `p_depth` chunks nearest to `p_query` by cosine, among collections and, if given, documents, `p_chunks` in all: by their
-- codes, then by their vectors. `p_fresh`: only of those that are not in the graph.
--
-- A scan spends a third of its time on sorting what is far away, so a sample tells first how near is near; should too few
-- turn out to be (the sample is the collection's oldest documents), the rest is sorted too.
CREATE FUNCTION nearest_by_code(
    p_space_id smallint, p_query halfvec, p_collections uuid[], p_documents uuid[], p_chunks bigint, p_depth integer,
    p_fresh boolean
) RETURNS TABLE (document_id uuid, ordinal integer, similarity double precision)
    LANGUAGE plpgsql STABLE ROWS 50
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET max_parallel_workers_per_gather = 0
    SET jit = off SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    c_sample  constant integer := 512;
    c_spare   constant integer := 4;     -- so many times what is re-ranked should be within reach
    v_code    "bit" := binary_quantize(p_query);
    v_states  boolean[] := CASE WHEN p_fresh THEN '{f}' ELSE '{f,t}' END;
    v_rerank  integer := rerank_depth(vector_dims(p_query), p_depth);
    v_reach   double precision := 'Infinity';
    v_documents uuid[];                  -- the nearest by code
    v_ordinals  integer[];
BEGIN
    IF p_documents IS NOT NULL THEN
        SELECT array_agg(document_id), array_agg(ordinal) INTO v_documents, v_ordinals FROM (
            SELECT c.document_id, c.ordinal FROM chunk_codes c
            WHERE c.document_id = ANY (p_documents) AND c.collection_id = ANY (p_collections)
              AND c.space_id = p_space_id AND c.in_graph = ANY (v_states)
            ORDER BY c.code <~> v_code LIMIT v_rerank
        ) near;
    ELSE
        IF NOT p_fresh AND p_chunks > c_sample * c_spare AND p_chunks > v_rerank * c_spare * 2 THEN
            SELECT distance INTO v_reach FROM (
                SELECT c.code <~> v_code AS distance FROM chunk_codes c
                WHERE c.collection_id = ANY (p_collections) AND c.space_id = p_space_id LIMIT c_sample
            ) sample ORDER BY distance OFFSET c_sample * c_spare * v_rerank / p_chunks LIMIT 1;
        END IF;
        LOOP
            SELECT array_agg(document_id), array_agg(ordinal) INTO v_documents, v_ordinals FROM (
                SELECT c.document_id, c.ordinal FROM chunk_codes c
                WHERE c.collection_id = ANY (p_collections) AND c.space_id = p_space_id AND c.in_graph = ANY (v_states)
                  AND c.code <~> v_code <= v_reach
                ORDER BY c.code <~> v_code LIMIT v_rerank
            ) near;
            EXIT WHEN v_reach = 'Infinity' OR cardinality(v_documents) = v_rerank;
            v_reach := 'Infinity';
        END LOOP;
    END IF;
    RETURN QUERY
    SELECT document_id, ordinal, 1 - distance FROM (
        SELECT document_id, ordinal, e.embedding <=> p_query AS distance
        FROM unnest(v_documents, v_ordinals) AS near (document_id, ordinal)
        JOIN chunk_embeddings e USING (document_id, ordinal)
        WHERE e.space_id = p_space_id
        ORDER BY distance LIMIT p_depth
    ) best WHERE distance <> 'NaN';  -- a vector of zeros has no direction
END
$$;

-- What each of the terms adds to the scores of the chunks that have it, from the inverted index: what it does, or more by less
-- than a millionth. A chunk is named by its collection's place in `p_collections` above 32 bits of its number.
--
-- With `p_shared`, of the collection `p_largest` only chunks in the blocks that it names, and those that the term alone brings to
-- `p_missing`, and with the `p_rest` that a common term of the weights `p_weights` adds at most, to `p_missing1`.
CREATE FUNCTION posting_entries(
    p_terms integer[], p_idfs double precision[], p_collections uuid[], p_largest uuid DEFAULT NULL, p_shared "bit" DEFAULT NULL,
    p_missing double precision DEFAULT NULL, p_missing1 double precision DEFAULT NULL, p_weights bytea DEFAULT NULL,
    p_worth double precision DEFAULT NULL, p_rest double precision DEFAULT NULL
) RETURNS TABLE (chunk bigint, adds double precision)
    LANGUAGE sql STABLE ROWS 1000 AS $$
    SELECT base + (entry >> 26), (entry & 67108863) * factor
    FROM (
        SELECT base, factor, shared, alone, unnest(entries) AS entry
        FROM (
            SELECT array_position(p_collections, p.collection_id)::bigint << 32 AS base, t.idf / 16777216 AS factor,
                   CASE WHEN p.collection_id = p_largest THEN p_shared END AS shared,
                   floor(p_missing * 16777216 / t.idf)::bigint AS alone, p.entries
            FROM unnest(p_terms, p_idfs) AS t (term, idf)
            JOIN postings p ON p.collection_id = ANY (p_collections) AND p.term = t.term
            OFFSET 0  -- base and factor once a part, not once an entry
        ) parts
    ) listed
    WHERE (get_bit(shared, (entry >> 28)::integer) = 0) IS NOT TRUE
       OR (entry & 67108863) >= alone
          AND (entry & 67108863) * factor + least(get_byte(p_weights, (entry >> 26)::integer) * p_worth, p_rest) >= p_missing1
$$;

-- Of each four numbers in a row a bit, up to the last full segment and set thereafter: whether two of the terms have chunks there,
-- or one of the rare terms, of which no blocks are noted. A chunk that several of the terms have is in such a block.
CREATE FUNCTION shared_blocks(p_collection_id uuid, p_terms integer[], p_last integer) RETURNS bit varying
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    c_full   constant integer := p_last / 7680 * 1920;
    v_shared bit varying := '';
    v_rare   integer[] := p_terms;
    v_length integer;
    v_one    "bit";
    v_two    "bit";
    v_term   integer;
    v_blocks "bit";
    v_block  integer;
BEGIN
    FOR v_part IN 0 .. (c_full - 1) / 15360 LOOP
        v_length := least(15360, c_full - v_part * 15360);
        v_one := "bit"(B'0', v_length, true);
        v_two := v_one;
        FOR v_term, v_blocks IN
            SELECT b.term, "bit"(b.blocks, v_length, true) FROM posting_blocks b
            WHERE b.collection_id = p_collection_id AND b.term = ANY (p_terms) AND b.part = v_part
        LOOP
            v_two := v_two | (v_one & v_blocks);
            v_one := v_one | v_blocks;
            v_rare := array_remove(v_rare, v_term);
        END LOOP;
        v_shared := v_shared || v_two;
    END LOOP;
    v_shared := v_shared || ~ "bit"(B'0', 1920, true);
    FOR v_block IN
        SELECT (entry >> 28)::integer FROM postings p, unnest(p.entries) AS entry
        WHERE p.collection_id = p_collection_id AND p.term = ANY (v_rare)
    LOOP
        v_shared := set_bit(v_shared, v_block, 1);
    END LOOP;
    RETURN v_shared;
END
$$;

-- The exact scores of chunks named as above, of those that are still there.
CREATE FUNCTION posting_scores(p_chunks bigint[], p_query sparsevec, p_collections uuid[], p_documents uuid[])
    RETURNS TABLE (document_id uuid, ordinal integer, score double precision)
    LANGUAGE sql STABLE ROWS 100 AS $$
    SELECT t.document_id, t.ordinal, -(t.terms <#> p_query)
    FROM (SELECT p_collections[chunk >> 32] AS collection_id, array_agg((chunk & 4294967295)::integer) AS numbers
          FROM unnest(p_chunks) AS chunk GROUP BY 1) named
    JOIN chunk_terms t ON t.collection_id = named.collection_id AND t.number = ANY (named.numbers)
    WHERE p_documents IS NULL OR t.document_id = ANY (p_documents)
$$;

-- A common term's weights in hundredths, a byte a chunk up to number `p_last`; 255 where they are not listed. NULL: not common.
-- Most such terms are listed in every full segment: read in one go, half the time of looking for each segment.
CREATE FUNCTION common_weights(p_collection_id uuid, p_term integer, p_last integer) RETURNS bytea
    LANGUAGE sql STABLE STRICT AS $$
    SELECT CASE WHEN count(*) = p_last / 7680 THEN string_agg(weights, '' ORDER BY segment) || decode(repeat('ff', 7680), 'hex')
                ELSE (SELECT string_agg(coalesce(c.weights, decode(repeat('ff', 7680), 'hex')), '' ORDER BY listed)
                      FROM generate_series(0, p_last / 7680) AS listed
                      LEFT JOIN LATERAL (SELECT weights FROM common_postings c
                                         WHERE c.collection_id = p_collection_id AND c.term = p_term AND c.segment = listed) c ON true)
           END
    FROM common_postings WHERE collection_id = p_collection_id AND term = p_term
    HAVING count(*) > 0
$$;

-- The number of a chunk, named as above, of the collection at `p_place`; NULL: of another.
CREATE FUNCTION chunk_number(p_chunk bigint, p_place bigint) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN p_chunk >> 32 = p_place THEN (p_chunk & 4294967295)::integer END;

-- What a chunk weighs a common term at least, in hundredths: 0 where that is not known.
CREATE FUNCTION least_weight(p_weights bytea, p_number integer) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN greatest(nullif(get_byte(p_weights, p_number), 255) - 1, 0);

-- The `p_depth` best of the inverted index by MaxScore (Turtle & Flood 1995), which is exact. `p_terms`: rarest first, with
-- their counts, idf and the most that each can add to a score.
--
-- What the chunks of the rarest terms have at least gives a score that the last place needs. Lists that cannot reach it
-- together, the commonest, need not be read: a chunk that is in none of the others is out. Of the chunks listed, those are read
-- that could still reach it with what was not listed. How much of that they have is known for common terms (of the largest
-- collection); of others, none at least and what the heaviest chunk has at most, so that their lists are read all the same
-- unless they are far longer than those before. Lists name removed chunks until they are swept; while they do, and with
-- `p_documents`, what a chunk has does not count before it has been read.
CREATE FUNCTION matching_inverted(
    p_terms integer[], p_counts bigint[], p_idfs double precision[], p_bounds double precision[], p_query sparsevec,
    p_collections uuid[], p_documents uuid[], p_depth integer
) RETURNS TABLE (document_id uuid, ordinal integer, score double precision)
    LANGUAGE plpgsql STABLE ROWS 50 AS $$
#variable_conflict use_column
DECLARE
    c_slack  constant double precision := 0.001;  -- scores are summed in single precision
    c_read   constant integer := 16;              -- entries are summed in the time that reading a chunk takes
    v_sure   boolean;                             -- what the lists name is there, and counts
    c_few    constant bigint := 1000;             -- entries that are summed before what they share is found
    c_sample constant integer := 500;             -- entries that tell nearly as well as all what the last place needs
    v_first  constant integer := 3 * p_depth;     -- of the rarest terms' chunks, those that tell what the last place needs
    v_terms  constant integer := cardinality(p_terms);
    v_tried  integer := 0;                        -- how many of p_terms are listed to learn it,
    v_listed integer := v_terms;                  -- and how many then
    v_count  bigint := 0;
    v_entries bigint := 0;                        -- of the lists before v_listed
    v_rests  double precision[] := array_fill(0::double precision, ARRAY[v_terms]);  -- what each can add where it is not listed,
    v_rest   double precision := 0;               -- and all of them
    v_least  double precision;
    v_largest uuid;                               -- of the collections,
    v_last   integer;                             -- its last number
    v_place  bigint;                              -- and its place
    v_common integer;                             -- the first of three common terms after v_tried:
    v_weights1 bytea;                             -- their weights,
    v_weights2 bytea;
    v_weights3 bytea;
    v_worth1 double precision;                    -- what a hundredth of each adds,
    v_worth2 double precision;
    v_worth3 double precision;
    v_rest1  double precision;                    -- their v_rests,
    v_rest2  double precision;
    v_rest3  double precision;
    v_others double precision;                    -- and those of the others
    v_shared "bit";                               -- the blocks that several of the lists have chunks in
    v_missing double precision;                   -- what a chunk must have of what is listed,
    v_missing1 double precision;                  -- and of that and the first common term
    v_chunks bigint[];
    v_most   double precision[];                  -- what each of v_chunks has at most
    v_low    double precision;                    -- what the last place has at least
BEGIN
    SELECT c.id, c.last_number, array_position(p_collections, c.id),
           p_documents IS NULL AND NOT EXISTS (SELECT FROM dead_postings d WHERE d.collection_id = ANY (p_collections))
    INTO v_largest, v_last, v_place, v_sure
    FROM collections c WHERE c.id = ANY (p_collections) ORDER BY c.last_number DESC LIMIT 1;
    LOOP
        v_tried := v_tried + 1;
        v_count := v_count + p_counts[v_tried];
        EXIT WHEN v_tried = v_terms OR v_count >= 2 * v_first OR v_count >= p_depth AND p_counts[v_tried + 1] > v_last / 32;
    END LOOP;
    v_common := v_tried + 1;
    WHILE p_counts[v_common] < v_last / 32 LOOP
        v_common := v_common + 1;
    END LOOP;
    v_weights1 := common_weights(v_largest, p_terms[v_common], v_last);
    v_weights2 := common_weights(v_largest, p_terms[v_common + 1], v_last);
    v_weights3 := common_weights(v_largest, p_terms[v_common + 2], v_last);
    v_worth1 := coalesce(p_idfs[v_common] / 100, 0);
    v_worth2 := coalesce(p_idfs[v_common + 1] / 100, 0);
    v_worth3 := coalesce(p_idfs[v_common + 2] / 100, 0);

    SELECT array_agg(chunk), (array_agg(low))[p_depth] INTO v_chunks, v_low FROM (
        SELECT chunk, partial + least_weight(v_weights1, number) * v_worth1 + least_weight(v_weights2, number) * v_worth2
                              + least_weight(v_weights3, number) * v_worth3 AS low
        FROM (SELECT chunk, sum(adds) AS partial, chunk_number(chunk, v_place) AS number
              FROM (SELECT * FROM posting_entries(p_terms[:v_tried], p_idfs, p_collections) LIMIT c_sample) some_entries
              GROUP BY chunk OFFSET 0) tried
        ORDER BY low DESC LIMIT v_first
    ) best;
    IF v_sure THEN
        v_least := v_low;
    ELSE
        SELECT score INTO v_least FROM posting_scores(v_chunks, p_query, p_collections, p_documents)
        ORDER BY score DESC OFFSET p_depth - 1 LIMIT 1;
    END IF;
    v_least := coalesce(v_least, 0) - c_slack;
    FOREACH v_count IN ARRAY p_counts LOOP
        v_entries := v_entries + v_count;
    END LOOP;
    LOOP
        v_entries := v_entries - p_counts[v_listed];
        EXIT WHEN v_listed = v_tried OR v_rest + p_bounds[v_listed] >= v_least
               OR v_listed < v_common AND p_counts[v_listed] < c_read * v_entries;
        v_rests[v_listed] := p_bounds[v_listed];
        v_rest := v_rest + p_bounds[v_listed];
        v_listed := v_listed - 1;
    END LOOP;

    WHILE v_common <= v_listed AND v_weights1 IS NOT NULL LOOP  -- what is listed need not be looked up
        v_common := v_common + 1;
        v_weights1 := v_weights2;
        v_worth1 := v_worth2;
        v_weights2 := v_weights3;
        v_worth2 := v_worth3;
        v_weights3 := NULL;
    END LOOP;
    v_rest1 := coalesce(v_rests[v_common], 0);
    v_rest2 := coalesce(v_rests[v_common + 1], 0);
    v_rest3 := coalesce(v_rests[v_common + 2], 0);
    v_others := v_rest - v_rest1 - v_rest2 - v_rest3;
    v_missing := v_least - v_rest;
    v_missing1 := v_missing + v_rest1;
    IF v_last >= 7680 AND v_entries + p_counts[v_listed] > c_few THEN
        v_shared := shared_blocks(v_largest, p_terms[:v_listed], v_last);
    END IF;
    -- Most entries are of chunks that have no other of the terms, and are left out before they are summed. Of what is summed,
    -- most could still reach the bar but lack the next common term: one byte tells, and spares them the rest.
    -- least() passes over NULL: a term whose weights are not known can add all that it can.
    SELECT array_agg(chunk), array_agg(most), (array_agg(low ORDER BY low DESC))[p_depth] INTO v_chunks, v_most, v_low FROM (
        SELECT chunk, most, had + least(least_weight(v_weights1, number) * v_worth1, v_rest1)
                                + least(least_weight(v_weights2, number) * v_worth2, v_rest2)
                                + least(least_weight(v_weights3, number) * v_worth3, v_rest3) AS low
        FROM (
            SELECT chunk, number, had, had + v_others + least(get_byte(v_weights1, number) * v_worth1, v_rest1)
                                                      + least(get_byte(v_weights2, number) * v_worth2, v_rest2)
                                                      + least(get_byte(v_weights3, number) * v_worth3, v_rest3) AS most
            FROM (
                SELECT chunk, had, chunk_number(chunk, v_place) AS number
                FROM (
                    SELECT chunk, sum(adds) AS had
                    FROM posting_entries(p_terms[:v_listed], p_idfs, p_collections, v_largest, v_shared, v_missing, v_missing1,
                                         v_weights1, v_worth1, v_rest1)
                    GROUP BY chunk HAVING sum(adds) >= v_missing OFFSET 0
                ) summed
                WHERE had + least(get_byte(v_weights1, chunk_number(chunk, v_place)) * v_worth1, v_rest1) >= v_missing1 OFFSET 0
            ) listed OFFSET 0
        ) known WHERE most >= v_least
    ) possible;
    IF v_sure THEN
        v_least := greatest(v_least, v_low - c_slack);
    ELSIF cardinality(v_chunks) > 2 * v_first THEN  -- the best are read first, which raises what the others have to reach
        v_least := greatest(v_least, (
            SELECT score - c_slack
            FROM posting_scores(ARRAY(SELECT chunk FROM unnest(v_chunks, v_most) AS u (chunk, most)
                                      ORDER BY most DESC LIMIT v_first), p_query, p_collections, p_documents)
            ORDER BY score DESC OFFSET p_depth - 1 LIMIT 1));
    END IF;
    RETURN QUERY
    SELECT document_id, ordinal, score FROM posting_scores(
        ARRAY(SELECT chunk FROM unnest(v_chunks, v_most) AS u (chunk, most) WHERE most >= v_least),
        p_query, p_collections, p_documents)
    ORDER BY score DESC LIMIT p_depth;
END
$$;

-- The `p_depth` chunks with the highest BM25 score (Robertson & Zaragoza 2009) for the hashed terms, each named once and
-- with how often the query says it: a question of several sentences repeats what it is about. `coverage` is the score as a
-- share of what a chunk full of every term of the query would get, terms that no chunk has included. Without sorts, entries are
-- summed by hash, which is faster; what has to be sorted still is.
CREATE FUNCTION matching_chunks(
    p_terms integer[], p_times bigint[], p_collections uuid[], p_documents uuid[], p_depth integer, p_inverted boolean
) RETURNS TABLE (document_id uuid, ordinal integer, score double precision, coverage double precision)
    LANGUAGE plpgsql STABLE ROWS 50
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_sort = off
    SET max_parallel_workers_per_gather = 0 SET jit = off SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    c_bound  constant double precision := 2.2;  -- k1 + 1: no document-side weight reaches it
    c_k3     constant double precision := 8;    -- a term counts k3 + 1 times at most, however often it is said
    v_terms  integer[];           -- rarest first
    v_counts bigint[];            -- in how many chunks each occurs
    v_idfs   double precision[];
    v_bounds double precision[];  -- what each can add at most to the score of a chunk in the inverted index
    v_query  sparsevec;
    v_ceiling double precision;   -- what no score can exceed
BEGIN
    SELECT array_agg(term) FILTER (WHERE n > 0), array_agg(n) FILTER (WHERE n > 0), array_agg(idf) FILTER (WHERE n > 0),
           array_agg(max_weight * idf) FILTER (WHERE n > 0), c_bound * sum(idf),
           ('{' || string_agg((term + 1) || ':' || idf::real, ',') FILTER (WHERE n > 0) || '}/1048576')::sparsevec
    INTO v_terms, v_counts, v_idfs, v_bounds, v_ceiling, v_query
    FROM (
        SELECT term, n, max_weight,
               ln(1 + (greatest(total, n) - n + 0.5) / (n + 0.5)) * (c_k3 + 1) * times / (c_k3 + times) AS idf
        FROM (
            SELECT q.term, q.times, coalesce(folded.max_weight, 0) AS max_weight, coalesce(folded.chunks, 0)
                         + coalesce((SELECT sum(d.counts[array_position(d.terms, q.term)]) FROM document_terms d
                                     WHERE d.collection_id = ANY (p_collections) AND NOT d.folded), 0) AS n,
                   (SELECT sum(chunk_count) FROM collections WHERE id = ANY (p_collections)) AS total
            FROM unnest(p_terms, p_times) AS q (term, times)
            CROSS JOIN LATERAL (SELECT sum(t.chunks) AS chunks, max(t.max_weight)::double precision AS max_weight
                                FROM term_counts t
                                WHERE t.collection_id = ANY (p_collections) AND t.term = q.term) folded
            OFFSET 0  -- or each of the many uses of n would count for itself
        ) counted
        ORDER BY n, term  -- once, not in each of the arrays
    ) weighted;
    IF v_query IS NULL THEN
        RETURN;
    END IF;

    -- What no inverted index holds is read whole.
    IF p_documents IS NULL THEN
        RETURN QUERY
        SELECT document_id, ordinal, -distance, -distance / v_ceiling FROM (
            SELECT document_id, ordinal, terms <#> v_query AS distance FROM chunk_terms
            WHERE collection_id = ANY (p_collections) AND number IS NULL
            ORDER BY distance LIMIT p_depth
        ) best WHERE distance < 0;
    ELSE
        RETURN QUERY
        SELECT document_id, ordinal, -distance, -distance / v_ceiling FROM (
            SELECT document_id, ordinal, terms <#> v_query AS distance FROM chunk_terms
            WHERE document_id = ANY (p_documents) AND (number IS NULL OR NOT p_inverted)
            ORDER BY distance LIMIT p_depth
        ) best WHERE distance < 0;
    END IF;
    IF p_inverted THEN
        RETURN QUERY
        SELECT document_id, ordinal, score, score / v_ceiling
        FROM matching_inverted(v_terms, v_counts, v_idfs, v_bounds, v_query, p_collections, p_documents, p_depth);
    END IF;
END
$$;

-- One search, whole, in the scope of p_user_id, which it sets itself: a statement for it would be a message each way more.
-- `hits` is a JSON array of search_hit, best first: a row and column a value took the driver longer than all else that it does.
--
-- p_collections NULL: all of the caller's. p_query NULL: no vector half; p_terms NULL: no text half. p_terms: word for word
-- of the query, its term in each of p_languages, -1 for a stop word; those of the collections' languages count. p_filter is a
-- jsonpath predicate over documents.attributes. Scores: `similarity` cosine, `bm25` as it is, `score` reciprocal-rank fusion
-- (Cormack 2009), its text half weighted by how much of the query the chunk covers, brought below 1; with one half alone, that
-- half's own score.
CREATE FUNCTION search_chunks(
    p_user_id text, p_collections uuid[], p_model text, p_query halfvec, p_terms integer[], p_languages text[],
    p_filter jsonpath, p_variables jsonb, p_top_k integer, p_threshold double precision,
    OUT found_collections uuid[], OUT space_ok boolean, OUT vector_path text, OUT text_path text,
    OUT filter_ms double precision, OUT vector_ms double precision, OUT text_ms double precision, OUT total_ms double precision,
    OUT hits text
)
    LANGUAGE plpgsql STABLE
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET max_parallel_workers_per_gather = 0
    SET jit = off SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    c_large      constant integer := 20000;  -- chunks that are cheaper to find through an index than to read
    c_near_k     constant double precision := 1;   -- the first few neighbours are it, or none is
    c_match_k    constant double precision := 60;  -- how much a chunk covers tells more than its rank
    c_graph      constant double precision := 100000;  -- of so many vectors 64 candidates find what there is
    c_growth     constant double precision := 0.5;
    c_share      constant double precision := 0.04;  -- below it an iterative HNSW scan loses recall: read the codes
    v_begin      timestamptz := clock_timestamp();
    v_scope      text := set_config('spandrel.user_id', p_user_id, true);
    v_filtered   timestamptz;
    v_vectors    timestamptz;
    v_texts      timestamptz;
    v_space_id   smallint;
    v_graph_count bigint;
    v_chunks     bigint;
    v_graph      boolean;
    v_setting    text;
    v_inverted   boolean;
    v_languages  text[];
    v_documents  uuid[];
    -- What one half ranks low may be what both agree on; with one half alone its best are the answer.
    v_depth      integer := CASE WHEN p_query IS NULL OR p_terms IS NULL THEN p_top_k ELSE greatest(20, p_top_k * 2) END;
    v_terms      integer[];
    v_times      bigint[];          -- how often the query says each
    v_weight     double precision;  -- of a chunk that covers the whole query
    v_near       search_leg[];      -- best first
    v_match      search_leg[];
BEGIN
    SELECT found.*, s.id, s.graph_count
    INTO found_collections, v_languages, v_chunks, v_graph, v_inverted, v_space_id, v_graph_count
    FROM (
        SELECT array_agg(c.id), array_agg(c.language), coalesce(sum(c.chunk_count), 0), bool_or(c.has_graph), bool_or(c.has_inverted)
        FROM collections c WHERE c.deleted_at IS NULL AND (p_collections IS NULL OR c.id = ANY (p_collections))
    ) found
    LEFT JOIN embedding_spaces s ON s.status = 'active' AND s.model = p_model AND s.dimensions = vector_dims(p_query);
    IF p_filter IS NOT NULL THEN
        SELECT coalesce(array_agg(d.id), '{}'), coalesce(sum(d.chunk_count), 0) INTO v_documents, v_chunks
        FROM documents d
        WHERE d.collection_id = ANY (found_collections)
          AND jsonb_path_match(d.attributes, p_filter, p_variables, true);
    END IF;
    v_filtered := clock_timestamp();

    IF p_query IS NOT NULL THEN
        space_ok := v_space_id IS NOT NULL;
        v_graph := v_graph AND v_chunks > c_large AND v_chunks > c_share * v_graph_count;
        vector_path := CASE WHEN v_graph THEN 'graph' ELSE 'codes' END;
        IF space_ok AND v_graph THEN
            -- Local to the transaction: a setting of the session would pin a proxied connection. A graph of more vectors is
            -- searched with more candidates, or recall would fall as it grows.
            v_setting := set_config('hnsw.ef_search', least(1000, greatest(
                v_depth * 2, 64 * greatest(1, v_graph_count / c_graph) ^ c_growth))::integer::text, true);
            v_setting := set_config('hnsw.iterative_scan', 'relaxed_order', true);
            v_near := nearest_in_graph(v_space_id, p_query, found_collections, v_documents, v_depth);
        END IF;
        IF space_ok AND v_chunks > 0 AND (NOT v_graph OR EXISTS (
            SELECT FROM chunk_codes WHERE collection_id = ANY (found_collections) AND space_id = v_space_id AND NOT in_graph)
        ) THEN
            v_near := ARRAY(
                SELECT (n.document_id, n.ordinal, n.score, NULL)::search_leg
                FROM (
                    SELECT document_id, ordinal, score FROM unnest(v_near)
                    UNION ALL
                    SELECT * FROM nearest_by_code(v_space_id, p_query, found_collections, v_documents, v_chunks, v_depth, v_graph)
                ) n ORDER BY n.score DESC, n.document_id, n.ordinal LIMIT v_depth);
        END IF;
    END IF;
    v_vectors := clock_timestamp();

    IF p_terms IS NOT NULL THEN
        v_inverted := v_inverted AND (v_documents IS NULL OR v_chunks > c_large);
        text_path := CASE WHEN v_inverted THEN 'inverted' ELSE 'scan' END;
        -- Languages may share a term: it is said as often as in the one that has it most.
        SELECT array_agg(term), array_agg(times) INTO v_terms, v_times FROM (
            SELECT term, max(times) AS times FROM (
                SELECT p_terms[item] AS term, count(*) AS times
                FROM unnest(p_languages) WITH ORDINALITY AS l (language, place),
                     generate_series(place::integer, cardinality(p_terms), cardinality(p_languages)) AS item
                WHERE l.language = ANY (v_languages) AND p_terms[item] >= 0 GROUP BY place, p_terms[item]
            ) by_language GROUP BY term
        ) said;
        v_weight := 2 * cardinality(v_terms);  -- the longer a query, the less of it any chunk covers
        IF v_chunks > 0 THEN
            v_match := ARRAY(
                SELECT (m.document_id, m.ordinal, m.score, m.coverage)::search_leg
                FROM matching_chunks(v_terms, v_times, found_collections, v_documents, v_depth, v_inverted) m
                ORDER BY m.score DESC, m.document_id, m.ordinal LIMIT v_depth);
        END IF;
    END IF;
    v_texts := clock_timestamp();

    SELECT coalesce(json_agg((b.document_id, d.name, d.collection_id, b.ordinal, c.text, c.heading_path, c.page, c.start_offset,
                              c.end_offset, d.attributes, b.score, b.parts)::search_hit
                             ORDER BY b.score DESC, b.document_id, b.ordinal), '[]')
    INTO hits
    FROM (
        SELECT * FROM (
            SELECT document_id, ordinal, (n.score, n.place, m.score, m.place, m.coverage)::search_parts AS parts,
                   CASE WHEN p_terms IS NULL THEN n.score
                        WHEN p_query IS NULL THEN m.score
                        -- A chance match covers little, and less still when squared.
                        ELSE 1 - 1 / (1 + coalesce((c_near_k + 1) / (c_near_k + n.place), 0)
                                      + coalesce(v_weight * m.coverage ^ 2 * (c_match_k + 1) / (c_match_k + m.place), 0))
                   END AS score
            FROM unnest(v_near) WITH ORDINALITY AS n (document_id, ordinal, score, coverage, place)
            FULL JOIN unnest(v_match) WITH ORDINALITY AS m (document_id, ordinal, score, coverage, place)
                USING (document_id, ordinal)
        ) fused
        WHERE p_threshold IS NULL OR score >= p_threshold
        ORDER BY score DESC, document_id, ordinal LIMIT p_top_k
    ) b
    -- One by one, whatever a user has on average: the planner would read all that is the user's, and keep it at hand.
    CROSS JOIN LATERAL (SELECT * FROM chunks WHERE document_id = b.document_id AND ordinal = b.ordinal OFFSET 0) c
    CROSS JOIN LATERAL (SELECT * FROM documents WHERE id = b.document_id OFFSET 0) d;

    filter_ms := date_part('epoch', v_filtered - v_begin) * 1000;
    vector_ms := date_part('epoch', v_vectors - v_filtered) * 1000;
    text_ms := date_part('epoch', v_texts - v_vectors) * 1000;
    total_ms := date_part('epoch', clock_timestamp() - v_begin) * 1000;
END
$$;
