-- Answers kept for a day, so that a client may send the same creation again without making it twice.
SET LOCAL ROLE jobforge_owner;

CREATE TABLE jobforge.idempotency_keys (
	user_id uuid NOT NULL DEFAULT public.get_current_user_id(),
	key text NOT NULL,
	request_hash bytea NOT NULL,
	status smallint NOT NULL,
	location text,
	etag text,
	body bytea NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	CONSTRAINT idempotency_keys_pkey PRIMARY KEY (user_id, key),
	CONSTRAINT idempotency_keys_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users (id) ON DELETE CASCADE,
	CONSTRAINT key_length CHECK (length(key) BETWEEN 1 AND 255),
	CONSTRAINT request_hash_is_sha256 CHECK (octet_length(request_hash) = 32)
);

CREATE INDEX idx_idempotency_keys_created_at ON jobforge.idempotency_keys (user_id, created_at);

ALTER TABLE jobforge.idempotency_keys ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

CREATE POLICY idempotency_keys_user_access ON jobforge.idempotency_keys FOR ALL
	USING (user_id = (SELECT public.get_current_user_id()))
	WITH CHECK (user_id = (SELECT public.get_current_user_id()));

GRANT SELECT, DELETE, INSERT (user_id, key, request_hash, status, location, etag, body),
	UPDATE (status, location, etag, body)
	ON jobforge.idempotency_keys TO jobforge_app;

-- Claims a key of the current user for this transaction; returning means that the request is to be carried out, and its
-- answer inserted before COMMIT. Else an error: JF001, answered before (replay it); JF002, being answered; JF003, the
-- key was used for another request.
CREATE FUNCTION jobforge.idempotency_claim(p_key text, p_hash bytea) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	v_user CONSTANT uuid := public.get_current_user_id();
	v_limit CONSTANT timestamptz := now() - interval '24 hours';
	v_hash bytea;
BEGIN
	IF v_user IS NULL THEN
		RAISE insufficient_privilege USING MESSAGE = 'an idempotency key needs a current user';
	END IF;
	-- Held until the transaction ends. What the last holder committed is seen by the statements after this one.
	IF NOT pg_try_advisory_xact_lock(hashtextextended(v_user || ' ' || p_key, 0)) THEN
		RAISE 'the first request with this key is still running' USING ERRCODE = 'JF002';
	END IF;

	DELETE FROM jobforge.idempotency_keys AS k
	WHERE k.user_id = v_user AND k.key = p_key AND k.created_at <= v_limit;
	-- ARRAY: a plain IN (SELECT ...) may be planned as a join that runs the sub-select, and its LIMIT, many times.
	DELETE FROM jobforge.idempotency_keys AS k
	WHERE k.user_id = v_user AND k.key = ANY (ARRAY(
		SELECT o.key FROM jobforge.idempotency_keys AS o
		WHERE o.user_id = v_user AND o.created_at <= v_limit
		ORDER BY o.created_at
		LIMIT 100
		FOR UPDATE SKIP LOCKED));

	SELECT k.request_hash INTO v_hash FROM jobforge.idempotency_keys AS k
	WHERE k.user_id = v_user AND k.key = p_key;
	IF v_hash = p_hash THEN
		RAISE 'this request was answered before' USING ERRCODE = 'JF001';
	ELSIF v_hash IS NOT NULL THEN
		RAISE 'this key was used for another request' USING ERRCODE = 'JF003';
	END IF;
END
$$;

GRANT EXECUTE ON FUNCTION jobforge.idempotency_claim(text, bytea) TO jobforge_app;
