-- name: search_chunks
-- The whole search in one statement; the function is documented with its migration, and sets the scope.
SELECT * FROM search_chunks(
    %(user_id)s, %(collections)s::uuid[], %(model)s, %(query)s::halfvec, %(terms)s::int[], %(languages)s::text[],
    %(filter)s::jsonpath, %(variables)s::jsonb, %(top_k)s::int, %(threshold)s::float8);
