-- The length of each embedding beside it, so that the cosine of every vector that single precision can hold is right.
--
-- Measured (tests/bench/vectors.py, README): among the exact ways none is faster than reading a user's vectors, PLAIN, by
-- idx_document_embeddings_user_id. What takes the time is the page that each vector fills, not the arithmetic, and so
-- `<=>` and `<#>`, divided by a stored length or on a normalised copy, cost the same. But `<=>` sums squares in single
-- precision: beyond lengths of 1e19 and below 1e-19 its answer is wrong or NaN. The length, computed in double
-- precision when the vector is written, tells such vectors apart for eight bytes each.
SET LOCAL ROLE jobforge_owner;

ALTER TABLE public.document_embeddings
	ADD COLUMN norm double precision NOT NULL GENERATED ALWAYS AS (public.vector_norm(embedding)) STORED;
