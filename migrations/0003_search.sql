-- compatible-from: 1
-- Search. Each function runs with its caller's rights, so row-level security binds inside it.
--
-- A collection pays for its own size only. Small ones are read whole: sign codes with a re-rank by the true vectors,
-- and every term weight. Of large ones upkeep moves chunks into the HNSW and the inverted index, and a search reads those
-- indexes and, as before, whatever they do not hold yet. Nothing in either path depends on other tenants' sizes.

-- A hit of one half of a search: its own score there and its place, from 1.
CREATE TYPE search_leg AS (document_id uuid, ordinal integer, score double precision, coverage double precision, place bigint);

-- How many of the nearest codes are re-ranked by their vectors. Fewer bits tell less, so short vectors need more.
CREATE FUNCTION rerank_depth(p_dimensions integer, p_depth integer) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN greatest(p_depth * 3, least(1500, 240000 / p_dimensions));

-- The `p_depth` chunks nearest to `p_query` by cosine, among collections and, if given, documents, `p_chunks` in all.
--
-- In the graph: one of more vectors is searched with more candidates, or recall would fall as it grows. Outside it: by their
-- codes, then by their vectors. A scan spends a third of its time on sorting what is far away, so a sample tells first how near
-- is near; should too few turn out to be (the sample is the collection's oldest documents), the rest is sorted too.
CREATE FUNCTION nearest_chunks(
    p_space embedding_spaces, p_query halfvec, p_collections uuid[], p_documents uuid[], p_chunks bigint, p_depth integer,
    p_graph boolean
) RETURNS TABLE (document_id uuid, ordinal integer, similarity double precision)
    LANGUAGE plpgsql STABLE ROWS 50
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET max_parallel_workers_per_gather = 0
    SET jit = off SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    c_sample  constant integer := 512;
    c_spare   constant integer := 4;     -- so many times what is re-ranked should be within reach
    v_code    "bit" := binary_quantize(p_query);
    v_states  boolean[] := CASE WHEN p_graph THEN '{f}' ELSE '{f,t}' END;
    v_rerank  integer := rerank_depth(p_space.dimensions, p_depth);
    v_reach   double precision := 'Infinity';
    v_documents uuid[];                  -- the nearest by code
    v_ordinals  integer[];
BEGIN
    IF p_graph THEN
        -- Local to the transaction: a setting of the session would pin a proxied connection.
        PERFORM set_config('hnsw.ef_search', least(1000, greatest(
                               p_depth * 2, 50 * greatest(1, p_space.graph_count / 100000.0) ^ 0.3))::integer::text, true),
                set_config('hnsw.iterative_scan', 'relaxed_order', true);
        RETURN QUERY SELECT * FROM nearest_in_graph(p_space.id, p_query, p_collections, p_documents, p_depth);
        IF NOT EXISTS (SELECT FROM chunk_codes c WHERE c.collection_id = ANY (p_collections)
                       AND c.space_id = p_space.id AND NOT c.in_graph) THEN
            RETURN;
        END IF;
    END IF;
    IF p_documents IS NOT NULL THEN
        SELECT array_agg(document_id), array_agg(ordinal) INTO v_documents, v_ordinals FROM (
            SELECT c.document_id, c.ordinal FROM chunk_codes c
            WHERE c.document_id = ANY (p_documents) AND c.collection_id = ANY (p_collections)
              AND c.space_id = p_space.id AND c.in_graph = ANY (v_states)
            ORDER BY c.code <~> v_code LIMIT v_rerank
        ) near;
    ELSE
        IF NOT p_graph AND p_chunks > c_sample * c_spare AND p_chunks > v_rerank * c_spare * 2 THEN
            SELECT distance INTO v_reach FROM (
                SELECT c.code <~> v_code AS distance FROM chunk_codes c
                WHERE c.collection_id = ANY (p_collections) AND c.space_id = p_space.id LIMIT c_sample
            ) sample ORDER BY distance OFFSET c_sample * c_spare * v_rerank / p_chunks LIMIT 1;
        END IF;
        LOOP
            SELECT array_agg(document_id), array_agg(ordinal) INTO v_documents, v_ordinals FROM (
                SELECT c.document_id, c.ordinal FROM chunk_codes c
                WHERE c.collection_id = ANY (p_collections) AND c.space_id = p_space.id AND c.in_graph = ANY (v_states)
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
        WHERE e.space_id = p_space.id
        ORDER BY distance LIMIT p_depth
    ) best;
END
$$;

-- The same score over the inverted index, of chunks that hold any of `p_terms`.
--
-- Row-level security lets no condition run before its own that might leak what it compares, array overlap among them,
-- and so shuts the index out. This function therefore runs as the table's owner and states the scope itself, as the
-- policy does.
CREATE FUNCTION matching_inverted(
    p_terms integer[], p_query sparsevec, p_collections uuid[], p_documents uuid[], p_depth integer
) RETURNS TABLE (document_id uuid, ordinal integer, score double precision)
    LANGUAGE plpgsql STABLE ROWS 50 SECURITY DEFINER
    SET search_path = public, pg_temp
    SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    v_user text := current_user_id();
    v_keys bigint[] := ARRAY(SELECT key FROM unnest(p_collections) AS id, unnest(term_keys(id, p_terms)) AS key);
BEGIN
    IF p_documents IS NULL THEN
        RETURN QUERY
        SELECT document_id, ordinal, -distance FROM (
            SELECT document_id, ordinal, terms <#> p_query AS distance FROM chunk_terms
            WHERE term_keys(collection_id, terms) && v_keys AND in_inverted AND user_id = v_user
              AND collection_id = ANY (p_collections)  -- keys hold but 40 bits of it
            ORDER BY distance LIMIT p_depth
        ) best;
    ELSE
        RETURN QUERY
        SELECT document_id, ordinal, -distance FROM (
            SELECT document_id, ordinal, terms <#> p_query AS distance FROM chunk_terms
            WHERE term_keys(collection_id, terms) && v_keys AND in_inverted AND user_id = v_user
              AND collection_id = ANY (p_collections)  -- keys hold but 40 bits of it
              AND document_id = ANY (p_documents)
            ORDER BY distance LIMIT p_depth
        ) best;
    END IF;
END
$$;

GRANT CREATE ON SCHEMA public TO spandrel_system;
ALTER FUNCTION matching_inverted OWNER TO spandrel_system;
REVOKE CREATE ON SCHEMA public FROM spandrel_system;
REVOKE EXECUTE ON FUNCTION matching_inverted FROM PUBLIC;
GRANT EXECUTE ON FUNCTION matching_inverted TO spandrel_app;

-- The `p_depth` chunks with the highest BM25 score (Robertson & Zaragoza 2009) for the hashed terms. `coverage` is the score
-- as a share of what a chunk full of every term of the query would get, terms that no chunk has included.
--
-- The inverted index is read by MaxScore (Turtle & Flood 1995): the rarest terms first, which gives the score that the
-- last place needs at least; terms that together cannot reach it only add to the scores of chunks already found. At most two reads.
CREATE FUNCTION matching_chunks(
    p_terms integer[], p_collections uuid[], p_documents uuid[], p_depth integer, p_inverted boolean
) RETURNS TABLE (document_id uuid, ordinal integer, score double precision, coverage double precision)
    LANGUAGE plpgsql STABLE ROWS 50
    SET enable_seqscan = off SET jit = off SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    c_bound  constant double precision := 2.2;  -- k1 + 1: no document-side weight reaches it
    v_total  bigint;
    v_terms  integer[];           -- rarest first
    v_counts bigint[];            -- in how many chunks each occurs
    v_bounds double precision[];  -- what each can add at most to the score of a chunk in the inverted index
    v_query  sparsevec;
    v_ceiling double precision;   -- what no score can exceed
    v_needed integer := 0;        -- how many of v_terms are looked up
    v_tried  integer;
    v_sum    double precision := 0;
    v_least  double precision;
    v_documents uuid[];           -- what the first read found
    v_ordinals  integer[];
    v_scores    double precision[];
BEGIN
    SELECT sum(chunk_count) INTO v_total FROM collections WHERE id = ANY (p_collections);
    SELECT array_agg(term ORDER BY n, term) FILTER (WHERE n > 0), array_agg(n ORDER BY n, term) FILTER (WHERE n > 0),
           array_agg(max_weight * idf ORDER BY n, term) FILTER (WHERE n > 0), c_bound * sum(idf),
           ('{' || string_agg((term + 1) || ':' || idf::real, ',' ORDER BY term) FILTER (WHERE n > 0) || '}/1048576')::sparsevec
    INTO v_terms, v_counts, v_bounds, v_ceiling, v_query
    FROM (
        SELECT term, n, max_weight, ln(1 + (greatest(v_total, n) - n + 0.5) / (n + 0.5)) AS idf
        FROM (
            SELECT q.term, coalesce(folded.max_weight, 0) AS max_weight, coalesce(folded.chunks, 0)
                         + coalesce((SELECT sum(d.counts[array_position(d.terms, q.term)]) FROM document_terms d
                                     WHERE d.collection_id = ANY (p_collections) AND NOT d.folded), 0) AS n
            FROM (SELECT DISTINCT unnest(p_terms) AS term) q
            CROSS JOIN LATERAL (SELECT sum(t.chunks) AS chunks, max(t.max_weight)::double precision AS max_weight
                                FROM term_counts t
                                WHERE t.collection_id = ANY (p_collections) AND t.term = q.term) folded
        ) counted
    ) weighted;
    IF v_query IS NULL THEN
        RETURN;
    END IF;

    -- What no inverted index holds is read whole.
    IF p_documents IS NULL THEN
        RETURN QUERY
        SELECT document_id, ordinal, -distance, -distance / v_ceiling FROM (
            SELECT document_id, ordinal, terms <#> v_query AS distance FROM chunk_terms
            WHERE collection_id = ANY (p_collections) AND NOT in_inverted
            ORDER BY distance LIMIT p_depth
        ) best WHERE distance < 0;
    ELSE
        RETURN QUERY
        SELECT document_id, ordinal, -distance, -distance / v_ceiling FROM (
            SELECT document_id, ordinal, terms <#> v_query AS distance FROM chunk_terms
            WHERE document_id = ANY (p_documents) AND NOT (in_inverted AND p_inverted)
            ORDER BY distance LIMIT p_depth
        ) best WHERE distance < 0;
    END IF;
    IF NOT p_inverted THEN
        RETURN;
    END IF;

    LOOP  -- enough of the rarest terms that the last place has a score worth beating
        v_needed := v_needed + 1;
        v_sum := v_sum + v_counts[v_needed];
        EXIT WHEN v_sum >= 2 * p_depth OR v_needed = cardinality(v_terms);
    END LOOP;
    v_tried := v_needed;
    SELECT array_agg(s.document_id), array_agg(s.ordinal), array_agg(s.score), min(s.score)
    INTO v_documents, v_ordinals, v_scores, v_least
    FROM matching_inverted(v_terms[:v_tried], v_query, p_collections, p_documents, p_depth) s;
    IF coalesce(cardinality(v_scores), 0) < p_depth THEN
        v_least := 0;
    END IF;
    v_needed := cardinality(v_terms);
    v_sum := v_bounds[v_needed];  -- what v_terms[v_needed:] can give together
    WHILE v_needed > v_tried AND v_sum < v_least LOOP
        v_needed := v_needed - 1;
        v_sum := v_sum + v_bounds[v_needed];
    END LOOP;
    IF v_needed = v_tried THEN
        RETURN QUERY
        SELECT u.d, u.o, u.s, u.s / v_ceiling FROM unnest(v_documents, v_ordinals, v_scores) AS u (d, o, s);
    ELSE
        RETURN QUERY
        SELECT m.document_id, m.ordinal, m.score, m.score / v_ceiling
        FROM matching_inverted(v_terms[:v_needed], v_query, p_collections, p_documents, p_depth) m;
    END IF;
END
$$;

-- One search, whole. One row at least: `hit` columns are NULL where nothing was found. The first row tells how it was
-- done, the last how long it took.
--
-- p_collections NULL: all of the caller's. p_query NULL: no vector half; p_terms NULL: no text half. p_terms and
-- p_languages run in parallel: a term counts if one of the collections is of its language. p_filter is a jsonpath
-- predicate over documents.attributes. Scores: `similarity` cosine, `bm25` as it is, `score` reciprocal-rank fusion
-- (Cormack 2009), its text half weighted by how much of the query the chunk covers, scaled to at most 1; with one half
-- alone, that half's own score.
CREATE FUNCTION search_chunks(
    p_collections uuid[], p_model text, p_query halfvec, p_terms integer[], p_languages text[],
    p_filter jsonpath, p_variables jsonb, p_top_k integer, p_threshold double precision
) RETURNS TABLE (
    found_collections uuid[], space_ok boolean, vector_path text, text_path text,
    filter_ms double precision, vector_ms double precision, text_ms double precision, total_ms double precision,
    document_id uuid, ordinal integer, score double precision, similarity double precision, vector_rank bigint,
    bm25 double precision, text_rank bigint, coverage double precision, collection_id uuid, document_name text, attributes jsonb,
    chunk_text text, heading_path text[], page integer, start_offset integer, end_offset integer
)
    LANGUAGE plpgsql STABLE ROWS 10
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET max_parallel_workers_per_gather = 0
    SET jit = off SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    c_large      constant integer := 20000;  -- chunks that are cheaper to find through an index than to read
    c_k          constant double precision := 1;
    c_share      constant double precision := 0.04;  -- below it an iterative HNSW scan loses recall: read the codes
    v_begin      timestamptz := clock_timestamp();
    v_filtered   timestamptz;
    v_vectors    timestamptz;
    v_texts      timestamptz;
    v_space      embedding_spaces;
    v_chunks     bigint;
    v_graph      boolean;
    v_inverted   boolean;
    v_languages  text[];
    v_documents  uuid[];
    -- What one half ranks low may be what both agree on; with one half alone its best are the answer.
    v_depth      integer := CASE WHEN p_query IS NULL OR p_terms IS NULL THEN p_top_k ELSE greatest(40, p_top_k * 4) END;
    v_terms      integer[];
    v_weight     double precision;  -- of a text half that covers the whole query
    v_near       search_leg[];
    v_match      search_leg[];
BEGIN
    SELECT array_agg(c.id), array_agg(DISTINCT c.language), coalesce(sum(c.chunk_count), 0),
           bool_or(c.has_graph), bool_or(c.has_inverted)
    INTO found_collections, v_languages, v_chunks, v_graph, v_inverted
    FROM collections c WHERE c.deleted_at IS NULL AND (p_collections IS NULL OR c.id = ANY (p_collections));
    IF p_filter IS NOT NULL THEN
        SELECT coalesce(array_agg(d.id), '{}'), coalesce(sum(d.chunk_count), 0) INTO v_documents, v_chunks
        FROM documents d
        WHERE d.collection_id = ANY (found_collections)
          AND jsonb_path_match(d.attributes, p_filter, p_variables, true);
    END IF;
    v_filtered := clock_timestamp();

    IF p_query IS NOT NULL THEN
        SELECT * INTO v_space FROM embedding_spaces s
        WHERE s.status = 'active' AND s.model = p_model AND s.dimensions = vector_dims(p_query);
        space_ok := FOUND;
        v_graph := v_graph AND v_chunks > c_large AND v_chunks > c_share * v_space.graph_count;
        vector_path := CASE WHEN v_graph THEN 'graph' ELSE 'codes' END;
        IF space_ok AND v_chunks > 0 THEN
            v_near := ARRAY(
                SELECT (n.document_id, n.ordinal, n.similarity, NULL, row_number() OVER w)::search_leg
                FROM nearest_chunks(v_space, p_query, found_collections, v_documents, v_chunks, v_depth, v_graph) n
                WINDOW w AS (ORDER BY n.similarity DESC, n.document_id, n.ordinal) LIMIT v_depth);
        END IF;
    END IF;
    v_vectors := clock_timestamp();

    IF p_terms IS NOT NULL THEN
        v_inverted := v_inverted AND (v_documents IS NULL OR v_chunks > c_large);
        text_path := CASE WHEN v_inverted THEN 'inverted' ELSE 'scan' END;
        v_terms := ARRAY(SELECT DISTINCT q.term FROM unnest(p_terms, p_languages) AS q (term, lang)
                         WHERE q.lang = ANY (v_languages));
        v_weight := 1.5 * sqrt(cardinality(v_terms));  -- the longer a query, the less of it any chunk covers
        IF v_chunks > 0 THEN
            v_match := ARRAY(
                SELECT (m.document_id, m.ordinal, m.score, m.coverage, row_number() OVER w)::search_leg
                FROM matching_chunks(v_terms, found_collections, v_documents, v_depth, v_inverted) m
                WINDOW w AS (ORDER BY m.score DESC, m.document_id, m.ordinal) LIMIT v_depth);
        END IF;
    END IF;
    v_texts := clock_timestamp();
    filter_ms := extract(epoch FROM v_filtered - v_begin) * 1000;
    vector_ms := extract(epoch FROM v_vectors - v_filtered) * 1000;
    text_ms := extract(epoch FROM v_texts - v_vectors) * 1000;

    FOR document_id, ordinal, score, similarity, vector_rank, bm25, text_rank, coverage, collection_id, document_name, attributes,
        chunk_text, heading_path, page, start_offset, end_offset IN
        WITH fused AS (
            SELECT document_id, ordinal, n.score AS similarity, n.place AS vector_rank, m.score AS bm25, m.place AS text_rank,
                   m.coverage,
                   CASE WHEN p_terms IS NULL THEN n.score
                        WHEN p_query IS NULL THEN m.score
                        ELSE (coalesce(1 / (c_k + n.place), 0) + coalesce(v_weight * m.coverage / (c_k + m.place), 0))
                             * (c_k + 1) / (1 + v_weight)
                   END AS score
            FROM unnest(v_near) n FULL JOIN unnest(v_match) m USING (document_id, ordinal)
        ), best AS (
            SELECT * FROM fused WHERE p_threshold IS NULL OR score >= p_threshold
            ORDER BY score DESC, document_id, ordinal LIMIT p_top_k
        )
        SELECT b.document_id, b.ordinal, b.score, b.similarity, b.vector_rank, b.bm25, b.text_rank, b.coverage, d.collection_id,
               d.name, d.attributes, c.text, c.heading_path, c.page, c.start_offset, c.end_offset
        FROM best b
        JOIN chunks c ON c.document_id = b.document_id AND c.ordinal = b.ordinal
        JOIN documents d ON d.id = b.document_id
        ORDER BY b.score DESC, b.document_id, b.ordinal
    LOOP
        total_ms := extract(epoch FROM clock_timestamp() - v_begin) * 1000;
        RETURN NEXT;
        found_collections := NULL; space_ok := NULL; vector_path := NULL; text_path := NULL;
        filter_ms := NULL; vector_ms := NULL; text_ms := NULL;
    END LOOP;
    IF NOT FOUND THEN
        total_ms := extract(epoch FROM clock_timestamp() - v_begin) * 1000;
        document_id := NULL;
        RETURN NEXT;
    END IF;
END
$$;
