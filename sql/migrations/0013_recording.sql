-- What recording an insertion costs, and a copy that is right at any moment.
--
-- The functions of 0010 that record insertions took two statements for what fits into one: the entries of the log, and the
-- figures of the usual case, one row of a user whose month has begun. They say and count the same as before. The entry of an
-- insertion takes the id of its row, which is as random as one that would have to be made. And they look at the plans only
-- where some plan has a limit, which a constant function says, as in 0012: a trigger of the plans replaces it.
--
-- jobforge.some_are_disabled() (0012) had a body that was parsed when it was made. A dump reads such a body as it is when the
-- dump comes to it, and rows as they were when the dump began; a body of text it reads like rows. Whoever was disabled when the
-- dump began, and enabled meanwhile, would otherwise be disabled in its copy without anybody looking there.
SET LOCAL ROLE jobforge_owner;

CREATE FUNCTION jobforge.some_plans_limit_set(p_some boolean) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format('CREATE OR REPLACE FUNCTION jobforge.some_plans_limit() RETURNS boolean'
		' LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS %L', 'SELECT ' || p_some);
END
$$;

-- One change of plans after another, so that the last one looks at all of them. That there is no limit is believed only where
-- what others have committed is seen.
CREATE FUNCTION jobforge.plans_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	v_some boolean;
BEGIN
	PERFORM pg_advisory_xact_lock(hashtextextended('jobforge.plans', 0));
	v_some := current_setting('transaction_isolation') <> 'read committed'
		OR EXISTS (SELECT FROM public.plans AS p WHERE num_nonnulls(p.applications, p.documents, p.embeddings, p.bytes) > 0);
	IF v_some <> jobforge.some_plans_limit() THEN
		PERFORM jobforge.some_plans_limit_set(v_some);
	END IF;
	RETURN NULL;
END
$$;

SELECT jobforge.some_plans_limit_set(EXISTS (SELECT FROM public.plans AS p
	WHERE num_nonnulls(p.applications, p.documents, p.embeddings, p.bytes) > 0));
GRANT EXECUTE ON FUNCTION jobforge.some_plans_limit() TO jobforge_auth;

CREATE TRIGGER plans_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON public.plans
	FOR EACH STATEMENT EXECUTE FUNCTION jobforge.plans_changed();
ALTER TABLE public.plans ENABLE ALWAYS TRIGGER plans_changed;

GRANT CREATE ON SCHEMA jobforge TO jobforge_auth;
SET LOCAL ROLE jobforge_auth;

DO $generate$
DECLARE
	v_template CONSTANT text := $template$
		CREATE OR REPLACE FUNCTION jobforge.record_{table}_insert() RETURNS trigger
		LANGUAGE plpgsql SECURITY DEFINER
		SET search_path = pg_catalog, pg_temp
		AS $body$
		DECLARE
			v_rows bigint;
			v_beyond boolean; -- the limits of some plan; only then is it asked which one is the user's
		BEGIN
			WITH logged AS (
				INSERT INTO public.audit_log (id, user_id, actor, request_id, action, table_name, row_id, changes)
				SELECT n.id, n.user_id, jobforge.audit_actor(), jobforge.audit_request(), 'insert', '{table}', n.id,
					jsonb_build_object({said})
				FROM new_rows AS n)
			UPDATE public.usage_tracking AS t
			SET {counted}bytes_written = t.bytes_written + {bytes}, bytes = t.bytes + {bytes}
			FROM new_rows AS n
			WHERE t.user_id = n.user_id AND t.is_current AND t.period >= date_trunc('month', now() AT TIME ZONE 'UTC')::date
				AND NOT EXISTS (SELECT FROM new_rows OFFSET 1)
				AND current_setting('app.importing', true) IS DISTINCT FROM 'on'
			RETURNING jobforge.some_plans_limit() AND EXISTS (SELECT FROM public.plans AS p
				WHERE t.applications > p.applications OR t.documents > p.documents OR t.embeddings > p.embeddings
					OR t.bytes > p.bytes)
			INTO v_beyond;
			IF v_beyond THEN
				PERFORM jobforge.plan_check(n.user_id, {h1}, {h2}, {h4}, {bytes}, false) FROM new_rows AS n;
			ELSIF v_beyond IS NULL THEN
				SELECT count(jobforge.usage_add(u.user_id, {w1} * u.rows, {w2} * u.rows, {w3} * u.rows, u.bytes,
					{h1} * u.rows, {h2} * u.rows, {h3} * u.rows, {h4} * u.rows, u.bytes)) INTO v_rows
				FROM (SELECT n.user_id, count(*) AS rows, sum({bytes})::bigint AS bytes FROM new_rows AS n
					GROUP BY n.user_id ORDER BY n.user_id) AS u;
			END IF;
			RETURN NULL;
		END
		$body$
	$template$;
	v_digest CONSTANT text := $$jsonb_build_object('size', octet_length(n.?), 'sha256',
		encode(sha256(convert_to(n.?, 'UTF8')), 'hex'))$$;
	v_table record;
	v_said text;
	v_text text;
	v_piece record;
BEGIN
	-- The digits of w and h as in 0010: what writing a row counts for, and what a row is.
	FOR v_table IN SELECT * FROM (VALUES
		('applications', '{name,company_name,role_title,job_url,location,priority_level}'::text[], 'job_description',
			replace(v_digest, '?', 'job_description'),
			'octet_length(concat(n.name, n.company_name, n.role_title, n.job_url, n.job_description, n.location))',
			'{applications_created,applications}'::text[], '{1,0,0}'::text[], '{1,0,0,0}'::text[]),
		('documents', '{application_id,document_type}', 'content', replace(v_digest, '?', 'content'),
			'octet_length(n.content)', '{documents_written,documents}', '{0,1,0}', '{0,1,0,0}'),
		('user_resumes', '{name,focus_area,is_primary}', 'content', replace(v_digest, '?', 'content'),
			'octet_length(n.name) + octet_length(n.content)', '{resumes}', '{0,0,0}', '{0,0,1,0}'),
		('document_embeddings', '{document_id}', 'embedding',
			$$jsonb_build_object('size', 4 * public.vector_dims(n.embedding), 'sha256',
				encode(sha256(public.vector_send(n.embedding)), 'hex'))$$,
			'4 * public.vector_dims(n.embedding)', '{embeddings_stored,embeddings}', '{0,0,1}', '{0,0,0,1}')
	) AS t (name, plain, long, digest, bytes, counters, w, h)
	LOOP
		SELECT string_agg(format('%L, n.%1$I', p.name), ', ' ORDER BY p.place) INTO v_said
		FROM unnest(v_table.plain) WITH ORDINALITY AS p (name, place);
		v_text := v_template;
		FOR v_piece IN SELECT * FROM (VALUES
			('said', concat_ws(', ', v_said, quote_literal(v_table.long), v_table.digest)),
			('counted', (SELECT string_agg(format('%1$I = t.%1$I + 1, ', c.name), '')
				FROM unnest(v_table.counters) AS c (name))),
			('bytes', v_table.bytes), ('table', v_table.name),
			('w1', v_table.w[1]), ('w2', v_table.w[2]), ('w3', v_table.w[3]),
			('h1', v_table.h[1]), ('h2', v_table.h[2]), ('h3', v_table.h[3]), ('h4', v_table.h[4])) AS p (name, text)
		LOOP
			v_text := replace(v_text, '{' || v_piece.name || '}', v_piece.text);
		END LOOP;
		EXECUTE v_text;
	END LOOP;
END
$generate$;

SET LOCAL ROLE jobforge_owner;
REVOKE CREATE ON SCHEMA jobforge FROM jobforge_auth;

CREATE FUNCTION jobforge.some_are_disabled_set(p_some boolean) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format('CREATE OR REPLACE FUNCTION jobforge.some_are_disabled() RETURNS boolean'
		' LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS %L', 'SELECT ' || p_some);
END
$$;

SELECT jobforge.some_are_disabled_set(jobforge.some_are_disabled());

-- As before, but for how the function is replaced.
CREATE OR REPLACE FUNCTION jobforge.user_disable(p_user uuid, p_reason text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM pg_advisory_xact_lock(hashtextextended('jobforge.disabled_users', 0));
	-- As a sign-in locks it: one at the same moment sees that the user is disabled, or has its session revoked here.
	PERFORM FROM public.users AS u WHERE u.id = p_user FOR NO KEY UPDATE;
	INSERT INTO jobforge.disabled_users AS d (user_id, reason) VALUES (p_user, p_reason)
	ON CONFLICT (user_id) DO UPDATE SET reason = coalesce(excluded.reason, d.reason);
	UPDATE jobforge.refresh_families AS f SET revoked_at = now() WHERE f.user_id = p_user AND f.revoked_at IS NULL;
	IF NOT jobforge.some_are_disabled() THEN
		PERFORM jobforge.some_are_disabled_set(true);
	END IF;
END
$$;

CREATE OR REPLACE FUNCTION jobforge.user_enable(p_user uuid) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM pg_advisory_xact_lock(hashtextextended('jobforge.disabled_users', 0));
	DELETE FROM jobforge.disabled_users AS d WHERE d.user_id = p_user;
	IF jobforge.some_are_disabled() AND NOT EXISTS (SELECT FROM jobforge.disabled_users) THEN
		PERFORM jobforge.some_are_disabled_set(false);
	END IF;
END
$$;
