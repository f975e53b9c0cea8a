-- What a plan tells of others' rows.
--
-- Row Level Security has a policy looked at before any condition that could tell what it sees. Conditions of leakproof
-- operators, as = and < of texts and times are, may come first, and plans show two things of them:
--  * An index that begins with what users wrote finds rows by it, and EXPLAIN ANALYZE counts those of other users as "Rows
--    Removed by Filter". There was one such index, of the email address. Now it is of lower(), which is not leakproof: a
--    worker's condition never gets to it, while the functions of jobforge_auth, which pass by the policies, use it as before.
--  * How many rows a condition will leave is estimated by statistics, and those keep values of all users' rows. No statement of
--    a worker finds anything by such a value but within one user's rows, so no plan is the worse for keeping none.
SET LOCAL ROLE jobforge_owner;

-- Like a partial index (0009), one of an expression is never a key; a violation still carries its name.
DROP INDEX public.users_email_key;
CREATE UNIQUE INDEX users_email_key ON public.users (lower(email COLLATE "C"));

ALTER INDEX public.users_email_key ALTER COLUMN 1 SET STATISTICS 0;
ALTER TABLE public.users
	ALTER COLUMN email SET STATISTICS 0,
	ALTER COLUMN password_hash SET STATISTICS 0,
	ALTER COLUMN full_name SET STATISTICS 0,
	ALTER COLUMN created_at SET STATISTICS 0,
	ALTER COLUMN updated_at SET STATISTICS 0;
ALTER TABLE public.applications
	ALTER COLUMN name SET STATISTICS 0,
	ALTER COLUMN company_name SET STATISTICS 0,
	ALTER COLUMN role_title SET STATISTICS 0,
	ALTER COLUMN job_url SET STATISTICS 0,
	ALTER COLUMN job_description SET STATISTICS 0,
	ALTER COLUMN location SET STATISTICS 0,
	ALTER COLUMN research_completed SET STATISTICS 0,
	ALTER COLUMN resume_optimized SET STATISTICS 0,
	ALTER COLUMN cover_letter_generated SET STATISTICS 0,
	ALTER COLUMN created_at SET STATISTICS 0,
	ALTER COLUMN updated_at SET STATISTICS 0,
	ALTER COLUMN search SET STATISTICS 0;
ALTER TABLE public.documents
	ALTER COLUMN content SET STATISTICS 0,
	ALTER COLUMN created_at SET STATISTICS 0,
	ALTER COLUMN updated_at SET STATISTICS 0,
	ALTER COLUMN search SET STATISTICS 0;
ALTER TABLE public.user_resumes
	ALTER COLUMN name SET STATISTICS 0,
	ALTER COLUMN content SET STATISTICS 0,
	ALTER COLUMN is_primary SET STATISTICS 0,
	ALTER COLUMN created_at SET STATISTICS 0,
	ALTER COLUMN updated_at SET STATISTICS 0,
	ALTER COLUMN search SET STATISTICS 0;
ALTER TABLE public.document_embeddings
	ALTER COLUMN embedding SET STATISTICS 0,
	ALTER COLUMN norm SET STATISTICS 0,
	ALTER COLUMN created_at SET STATISTICS 0;
ALTER TABLE jobforge.idempotency_keys
	ALTER COLUMN key SET STATISTICS 0,
	ALTER COLUMN request_hash SET STATISTICS 0,
	ALTER COLUMN status SET STATISTICS 0,
	ALTER COLUMN location SET STATISTICS 0,
	ALTER COLUMN etag SET STATISTICS 0,
	ALTER COLUMN body SET STATISTICS 0,
	ALTER COLUMN created_at SET STATISTICS 0;

GRANT CREATE ON SCHEMA jobforge TO jobforge_auth;
SET LOCAL ROLE jobforge_auth;

-- As before, but by the index above.
CREATE OR REPLACE FUNCTION jobforge.login_begin(p_email text, p_limit integer, p_window integer)
RETURNS TABLE (user_id uuid, password_hash text, retry_after integer)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	v_now CONSTANT timestamptz := clock_timestamp();
	v_window CONSTANT interval := make_interval(secs => p_window);
	v_attempts integer;
	v_start timestamptz;
BEGIN
	-- ARRAY: a plain IN (SELECT ...) may be planned as a join that runs the sub-select, and its LIMIT, many times.
	DELETE FROM jobforge.login_attempts AS l
	WHERE l.email_hash = ANY (ARRAY(
		SELECT o.email_hash FROM jobforge.login_attempts AS o
		WHERE o.window_start <= v_now - v_window
		ORDER BY o.window_start
		LIMIT 10
		FOR UPDATE SKIP LOCKED));

	-- A window that begins in the future was begun before the clock was set back: it begins now instead.
	INSERT INTO jobforge.login_attempts AS l (email_hash, window_start, attempts)
	VALUES (jobforge.login_key(p_email), v_now, 1)
	ON CONFLICT (email_hash) DO UPDATE SET
		window_start = CASE WHEN l.window_start <= v_now - v_window THEN v_now ELSE least(l.window_start, v_now) END,
		attempts = CASE WHEN l.window_start <= v_now - v_window THEN 1 ELSE least(l.attempts, p_limit) + 1 END
	RETURNING l.attempts, l.window_start INTO v_attempts, v_start;

	IF v_attempts > p_limit THEN
		RETURN QUERY SELECT NULL::uuid, NULL::text,
			greatest(1, ceil(extract(epoch FROM v_start + v_window - v_now))::integer);
		RETURN;
	END IF;
	RETURN QUERY SELECT u.id, u.password_hash::text, 0
		FROM (VALUES (1)) AS one (row)
		LEFT JOIN public.users AS u ON lower(u.email COLLATE "C") = lower(p_email COLLATE "C");
END
$$;

SET LOCAL ROLE jobforge_owner;
REVOKE CREATE ON SCHEMA jobforge FROM jobforge_auth;

-- ANALYZE leaves what it kept of such columns before, and only a superuser can remove that. Another administrator's database
-- has those estimates until it is restored from a dump, which holds none.
SET LOCAL ROLE NONE;
DO $$
BEGIN
	IF (SELECT r.rolsuper FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user) THEN
		DELETE FROM pg_catalog.pg_statistic AS s USING pg_catalog.pg_attribute AS a, pg_catalog.pg_class AS c
		WHERE a.attrelid = s.starelid AND a.attnum = s.staattnum AND a.attstattarget = 0 AND c.oid = s.starelid
			AND c.relnamespace IN ('public'::regnamespace, 'jobforge'::regnamespace);
	END IF;
END
$$;
