-- What the service itself keeps of its users: who changed what and when, how much they hold, and what their plan allows.
--
-- audit_log. A row for each row of user data that was changed, written in the same transaction by statement-level
-- triggers over transition tables, so that 100,000 rows at once cost one function call. The workers may read their own
-- rows and do nothing else: rows come by functions of jobforge_auth alone. `changes` holds for an insertion the new
-- values by column, for a deletion the old ones, for an update {"old": ..., "new": ...} for each column that changed,
-- where null is left out; of long texts and embeddings only size and SHA-256; of a password only that it changed.
-- Partitioned by month, so that what is too old goes by dropping a table; there is a default partition, so that no write
-- fails because nobody made this month's. The key begins with the user: it serves the one list that is read.
--
-- usage_tracking. A row for each user and calendar month in UTC: what was written in it, and what was held when it ended
-- (in the current one: what is held now). The current row is locked by every write that changes it, after all other
-- locks, which makes its figures exact and plans' limits a matter of comparing two numbers.
--
-- A transaction that says app.importing (it may take a minute) locks nothing: it gathers its figures in a row of its own
-- (usage_pending), and a deferred trigger adds them when it commits.
--
-- Deleting a user deletes all this as well, and leaves one entry: who, when, by which request.
SET LOCAL ROLE jobforge_owner;

CREATE TABLE public.audit_log (
	id uuid NOT NULL DEFAULT gen_random_uuid(),
	user_id uuid NOT NULL, -- whose data; no foreign key: the entry of a deletion stays
	created_at timestamptz NOT NULL DEFAULT clock_timestamp(), -- keeps the order within a transaction
	actor text NOT NULL,
	request_id text,
	action text NOT NULL,
	table_name text NOT NULL,
	row_id uuid NOT NULL,
	changes jsonb NOT NULL,
	CONSTRAINT audit_log_pkey PRIMARY KEY (user_id, created_at, id)
) PARTITION BY RANGE (created_at);

CREATE TABLE public.audit_log_default PARTITION OF public.audit_log DEFAULT;

CREATE TABLE public.usage_tracking (
	id uuid NOT NULL DEFAULT gen_random_uuid(),
	user_id uuid NOT NULL,
	period date NOT NULL, -- the first of the month
	is_current boolean NOT NULL DEFAULT true,
	applications_created bigint NOT NULL DEFAULT 0,
	documents_written bigint NOT NULL DEFAULT 0,
	embeddings_stored bigint NOT NULL DEFAULT 0,
	bytes_written bigint NOT NULL DEFAULT 0,
	applications bigint NOT NULL DEFAULT 0,
	documents bigint NOT NULL DEFAULT 0,
	resumes bigint NOT NULL DEFAULT 0,
	embeddings bigint NOT NULL DEFAULT 0,
	bytes bigint NOT NULL DEFAULT 0, -- of the texts that the user wrote, and four for each number of an embedding
	CONSTRAINT usage_tracking_pkey PRIMARY KEY (user_id, period),
	CONSTRAINT usage_tracking_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users (id) ON DELETE CASCADE
) WITH (fillfactor = 50); -- room on the page for the next version of a row, which then needs no index entry

CREATE UNIQUE INDEX idx_usage_tracking_current ON public.usage_tracking (user_id) WHERE is_current;

CREATE TABLE jobforge.usage_pending (
	user_id uuid NOT NULL,
	transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
	applications_created bigint NOT NULL,
	documents_written bigint NOT NULL,
	embeddings_stored bigint NOT NULL,
	bytes_written bigint NOT NULL,
	applications bigint NOT NULL,
	documents bigint NOT NULL,
	resumes bigint NOT NULL,
	embeddings bigint NOT NULL,
	bytes bigint NOT NULL,
	CONSTRAINT usage_pending_pkey PRIMARY KEY (user_id, transaction_id)
);

CREATE TABLE public.plans (
	name text NOT NULL CONSTRAINT plans_pkey PRIMARY KEY,
	title text NOT NULL,
	is_default boolean NOT NULL DEFAULT false,
	-- How much a user may hold; NULL: as much as there is.
	applications bigint,
	documents bigint,
	embeddings bigint,
	bytes bigint,
	CONSTRAINT plan_name_format CHECK (name ~ '^[a-z][a-z0-9_-]{0,62}$'),
	CONSTRAINT plan_limits_not_negative CHECK (least(applications, documents, embeddings, bytes) >= 0)
);

CREATE UNIQUE INDEX idx_plans_default ON public.plans (is_default) WHERE is_default;
INSERT INTO public.plans (name, title, is_default) VALUES ('free', 'Free', true);

CREATE TYPE public.subscription_status_type AS ENUM ('trialing', 'active', 'past_due', 'canceled');

CREATE TABLE public.subscriptions (
	user_id uuid NOT NULL,
	plan text NOT NULL,
	status public.subscription_status_type NOT NULL,
	period_start timestamptz NOT NULL DEFAULT now(),
	period_end timestamptz, -- NULL: without end
	reference text, -- what the payment provider calls it
	CONSTRAINT subscriptions_pkey PRIMARY KEY (user_id),
	CONSTRAINT subscriptions_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users (id) ON DELETE CASCADE,
	CONSTRAINT subscriptions_plan_fkey FOREIGN KEY (plan) REFERENCES public.plans (name) ON UPDATE CASCADE,
	CONSTRAINT subscription_period CHECK (period_start < period_end)
);

CREATE INDEX idx_subscriptions_plan ON public.subscriptions (plan);

ALTER TABLE public.audit_log ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
-- A partition has no policy of its own: nobody reads one by its own name.
ALTER TABLE public.audit_log_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.usage_tracking ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE jobforge.usage_pending ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.subscriptions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

CREATE POLICY audit_log_user_access ON public.audit_log FOR ALL
	USING (user_id = (SELECT public.get_current_user_id()))
	WITH CHECK (user_id = (SELECT public.get_current_user_id()));
CREATE POLICY usage_tracking_user_access ON public.usage_tracking FOR ALL
	USING (user_id = (SELECT public.get_current_user_id()))
	WITH CHECK (user_id = (SELECT public.get_current_user_id()));
CREATE POLICY usage_pending_user_access ON jobforge.usage_pending FOR ALL
	USING (user_id = (SELECT public.get_current_user_id()))
	WITH CHECK (user_id = (SELECT public.get_current_user_id()));
CREATE POLICY subscriptions_user_access ON public.subscriptions FOR ALL
	USING (user_id = (SELECT public.get_current_user_id()))
	WITH CHECK (user_id = (SELECT public.get_current_user_id()));

GRANT SELECT ON public.audit_log, public.usage_tracking, public.plans, public.subscriptions TO jobforge_app;

GRANT SELECT (user_id), INSERT, DELETE ON public.audit_log TO jobforge_auth;
GRANT SELECT, INSERT, UPDATE ON public.usage_tracking TO jobforge_auth;
GRANT SELECT, INSERT, UPDATE, DELETE ON jobforge.usage_pending TO jobforge_auth;
GRANT SELECT ON public.plans TO jobforge_auth;
GRANT SELECT, INSERT, UPDATE ON public.subscriptions TO jobforge_auth;
-- What counting needs.
GRANT SELECT (name, company_name, role_title, job_url, job_description, location) ON public.applications TO jobforge_auth;
GRANT SELECT (user_id, content) ON public.documents TO jobforge_auth;
GRANT SELECT (user_id, name, content) ON public.user_resumes TO jobforge_auth;
GRANT SELECT (user_id, embedding) ON public.document_embeddings TO jobforge_auth;

GRANT CREATE ON SCHEMA jobforge TO jobforge_auth;
SET LOCAL ROLE jobforge_auth;

-- The name of the plan that holds for a user now. No subscription, an ended one, or one outside of its period: the default.
CREATE FUNCTION jobforge.plan_of(p_user uuid) RETURNS text
LANGUAGE sql STABLE
RETURN coalesce(
	(SELECT s.plan FROM public.subscriptions AS s
		WHERE s.user_id = p_user AND s.status <> 'canceled' AND s.period_start <= now()
			AND (s.period_end IS NULL OR now() < s.period_end)),
	(SELECT d.name FROM public.plans AS d WHERE d.is_default));

-- Refuses (JF020) what goes beyond the plan. What is added is counted among what is held already, unless p_later. What is not
-- added to passes, however much there is: a user beyond the limits of a smaller plan can still make room. The message is
-- for the program to read: limit, allowed, held before.
CREATE FUNCTION jobforge.plan_check(p_user uuid, p_applications bigint, p_documents bigint, p_embeddings bigint,
	p_bytes bigint, p_later boolean) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	v_plan public.plans;
	v_limit record;
BEGIN
	SELECT p.* INTO v_plan FROM public.plans AS p WHERE p.name = jobforge.plan_of(p_user);
	FOR v_limit IN
		SELECT l.name, l.allowed, CASE WHEN p_later THEN l.held ELSE l.held - l.added END AS used
		FROM public.usage_tracking AS t
		CROSS JOIN LATERAL (VALUES
			('applications', v_plan.applications, t.applications, p_applications),
			('documents', v_plan.documents, t.documents, p_documents),
			('embeddings', v_plan.embeddings, t.embeddings, p_embeddings),
			('bytes', v_plan.bytes, t.bytes, p_bytes)) AS l (name, allowed, held, added)
		WHERE t.user_id = p_user AND t.is_current AND l.added > 0
			AND l.held + CASE WHEN p_later THEN l.added ELSE 0 END > l.allowed
		LIMIT 1
	LOOP
		RAISE '% % %', v_limit.name, v_limit.allowed, v_limit.used USING ERRCODE = 'JF020';
	END LOOP;
END
$$;

-- Sets what a user holds to what is counted now; for users from before, and for whoever doubts. Writers that have not
-- committed add theirs afterwards.
CREATE FUNCTION jobforge.usage_recount(p_user uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
AS $$
BEGIN
	PERFORM FROM public.users AS u WHERE u.id = p_user FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		RETURN;
	END IF;
	PERFORM FROM public.usage_tracking AS t WHERE t.user_id = p_user AND t.is_current FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		INSERT INTO public.usage_tracking (user_id, period) VALUES (p_user, date_trunc('month', now()));
	END IF;
	UPDATE public.usage_tracking AS t
	SET applications = a.number, documents = d.number, resumes = r.number, embeddings = e.number,
		bytes = a.bytes + d.bytes + r.bytes + e.bytes
	FROM (SELECT count(*) AS number, coalesce(sum(octet_length(x.name) + octet_length(x.company_name)
				+ octet_length(x.role_title) + coalesce(octet_length(x.job_url), 0) + octet_length(x.job_description)
				+ coalesce(octet_length(x.location), 0)), 0) AS bytes
			FROM public.applications AS x WHERE x.user_id = p_user) AS a,
		(SELECT count(*) AS number, coalesce(sum(octet_length(x.content)), 0) AS bytes
			FROM public.documents AS x WHERE x.user_id = p_user) AS d,
		(SELECT count(*) AS number, coalesce(sum(octet_length(x.name) + octet_length(x.content)), 0) AS bytes
			FROM public.user_resumes AS x WHERE x.user_id = p_user) AS r,
		(SELECT count(*) AS number, coalesce(sum(4 * public.vector_dims(x.embedding)), 0) AS bytes
			FROM public.document_embeddings AS x WHERE x.user_id = p_user) AS e
	WHERE t.user_id = p_user AND t.is_current;
END
$$;

-- Begins a month for a user: the row before keeps what was held when it ended. Of several who come first in a month one
-- does it. True when there was no row at all: what is held was counted, what the caller is about to add included.
CREATE FUNCTION jobforge.usage_open(p_user uuid, p_period date) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	v_last public.usage_tracking;
BEGIN
	SELECT t.* INTO v_last FROM public.usage_tracking AS t
	WHERE t.user_id = p_user AND t.is_current
	FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		-- Either the one waited for has begun the month, which a new look tells, or there is none.
		IF EXISTS (SELECT FROM public.usage_tracking AS t WHERE t.user_id = p_user AND t.is_current) THEN
			RETURN false;
		END IF;
		PERFORM jobforge.usage_recount(p_user);
		RETURN true;
	END IF;
	IF v_last.period < p_period THEN
		UPDATE public.usage_tracking AS t SET is_current = false WHERE t.user_id = p_user AND t.is_current;
		INSERT INTO public.usage_tracking (user_id, period, applications, documents, resumes, embeddings, bytes)
		VALUES (p_user, p_period, v_last.applications, v_last.documents, v_last.resumes, v_last.embeddings, v_last.bytes);
	END IF;
	RETURN false;
END
$$;

-- Of an import: adds up, and refuses already what will be refused when it commits.
CREATE FUNCTION jobforge.usage_defer(p_user uuid, p_created bigint, p_written bigint, p_stored bigint,
	p_bytes_written bigint, p_applications bigint, p_documents bigint, p_resumes bigint, p_embeddings bigint,
	p_bytes bigint) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	v_all jobforge.usage_pending;
BEGIN
	INSERT INTO jobforge.usage_pending AS p (user_id, applications_created, documents_written, embeddings_stored,
		bytes_written, applications, documents, resumes, embeddings, bytes)
	VALUES (p_user, p_created, p_written, p_stored, p_bytes_written, p_applications, p_documents, p_resumes,
		p_embeddings, p_bytes)
	ON CONFLICT (user_id, transaction_id) DO UPDATE
	SET applications_created = p.applications_created + p_created,
		documents_written = p.documents_written + p_written,
		embeddings_stored = p.embeddings_stored + p_stored,
		bytes_written = p.bytes_written + p_bytes_written,
		applications = p.applications + p_applications,
		documents = p.documents + p_documents,
		resumes = p.resumes + p_resumes,
		embeddings = p.embeddings + p_embeddings,
		bytes = p.bytes + p_bytes
	RETURNING p.* INTO v_all;
	PERFORM jobforge.plan_check(p_user, v_all.applications, v_all.documents, v_all.embeddings, v_all.bytes, true);
END
$$;

-- Adds to what a user has written and holds, under the lock of the current row, and checks the plan.
CREATE FUNCTION jobforge.usage_add(p_user uuid, p_created bigint, p_written bigint, p_stored bigint,
	p_bytes_written bigint, p_applications bigint, p_documents bigint, p_resumes bigint, p_embeddings bigint,
	p_bytes bigint, p_at_once boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	v_period CONSTANT date := date_trunc('month', now() AT TIME ZONE 'UTC');
	v_times integer := 1; -- 0: what is held was counted a moment ago
	v_beyond boolean; -- the limits of some plan; only then is it asked which one is the user's
BEGIN
	IF NOT p_at_once AND current_setting('app.importing', true) = 'on' THEN
		PERFORM jobforge.usage_defer(p_user, p_created, p_written, p_stored, p_bytes_written, p_applications,
			p_documents, p_resumes, p_embeddings, p_bytes);
		RETURN;
	END IF;
	LOOP
		UPDATE public.usage_tracking AS t
		SET applications_created = t.applications_created + p_created,
			documents_written = t.documents_written + p_written,
			embeddings_stored = t.embeddings_stored + p_stored,
			bytes_written = t.bytes_written + p_bytes_written,
			applications = t.applications + v_times * p_applications,
			documents = t.documents + v_times * p_documents,
			resumes = t.resumes + v_times * p_resumes,
			embeddings = t.embeddings + v_times * p_embeddings,
			bytes = t.bytes + v_times * p_bytes
		WHERE t.user_id = p_user AND t.is_current AND t.period >= v_period
		RETURNING EXISTS (SELECT FROM public.plans AS p WHERE t.applications > p.applications OR t.documents > p.documents
			OR t.embeddings > p.embeddings OR t.bytes > p.bytes)
		INTO v_beyond;
		EXIT WHEN FOUND;
		IF jobforge.usage_open(p_user, v_period) THEN
			v_times := 0;
		END IF;
		-- A user who is no more has no row, and needs none.
		EXIT WHEN NOT EXISTS (SELECT FROM public.usage_tracking AS t WHERE t.user_id = p_user AND t.is_current);
	END LOOP;
	IF v_beyond THEN
		PERFORM jobforge.plan_check(p_user, p_applications, p_documents, p_embeddings, p_bytes, false);
	END IF;
END
$$;

-- When an import commits.
CREATE FUNCTION jobforge.usage_settle() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	v_all jobforge.usage_pending;
BEGIN
	DELETE FROM jobforge.usage_pending AS p
	WHERE p.user_id = NEW.user_id AND p.transaction_id = NEW.transaction_id
	RETURNING p.* INTO v_all;
	PERFORM jobforge.usage_add(v_all.user_id, v_all.applications_created, v_all.documents_written,
		v_all.embeddings_stored, v_all.bytes_written, v_all.applications, v_all.documents, v_all.resumes,
		v_all.embeddings, v_all.bytes, true);
	RETURN NULL;
END
$$;

-- Who is changing data, and by which request.
CREATE FUNCTION jobforge.audit_actor() RETURNS text
LANGUAGE sql STABLE
RETURN CASE session_user WHEN 'jobforge_app' THEN 'user' ELSE session_user::text END;
CREATE FUNCTION jobforge.audit_request() RETURNS text
LANGUAGE sql STABLE
RETURN nullif(left(current_setting('app.request_id', true), 64), '');

-- The user is gone, and with it everything by foreign keys; the triggers below have kept still.
CREATE FUNCTION jobforge.account_closed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	DELETE FROM public.audit_log AS l WHERE l.user_id = ANY (ARRAY(SELECT o.id FROM old_rows AS o));
	INSERT INTO public.audit_log (user_id, actor, request_id, action, table_name, row_id, changes)
	SELECT o.id, jobforge.audit_actor(), jobforge.audit_request(), 'delete', 'users', o.id, '{}' FROM old_rows AS o;
	RETURN NULL;
END
$$;

CREATE FUNCTION jobforge.account_opened() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	INSERT INTO public.usage_tracking (user_id, period)
	SELECT n.id, date_trunc('month', now() AT TIME ZONE 'UTC') FROM new_rows AS n;
	RETURN NULL;
END
$$;

-- Three functions a table, jobforge.record_TABLE_insert() and so on, all of one form, which is spelled out once here:
-- static SQL, whose plans a session makes once, is several times as fast as anything that looks at columns when it runs.
-- One statement writes the audit log and adds up, by user, what was written and is held; users in order, so that two who
-- change rows of several do not wait for each other.
DO $generate$
DECLARE
	-- {owner} and {key} are columns, {said} what of a row goes into `changes`, {bytes} its size.
	v_head CONSTANT text := $template$
		CREATE FUNCTION jobforge.record_{table}_{verb}() RETURNS trigger
		LANGUAGE plpgsql SECURITY DEFINER
		SET search_path = pg_catalog, pg_temp
		{setting}
		AS $body$
		DECLARE
			v_actor CONSTANT text := jobforge.audit_actor();
			v_request CONSTANT text := jobforge.audit_request();
			v_user CONSTANT uuid := nullif(current_setting('app.current_user_id', true), '')::uuid;
			v_rows bigint;
			v_bytes bigint;
			v_own boolean;
			v_beyond boolean; -- the limits of some plan; only then is it asked which one is the user's
		BEGIN
			{body}
			RETURN NULL;
		END
		$body$
	$template$;
	v_bodies CONSTANT jsonb := jsonb_build_object('insert', $template$
			WITH logged AS (
				INSERT INTO public.audit_log (user_id, actor, request_id, action, table_name, row_id, changes)
				SELECT n.{owner}, v_actor, v_request, 'insert', '{table}', n.{key}, jsonb_build_object({said})
				FROM new_rows AS n)
			SELECT count(*), sum({bytes})::bigint, bool_and(n.{owner} = v_user) INTO v_rows, v_bytes, v_own
			FROM new_rows AS n;
			{usage}
		$template$, 'update', $template$
			WITH changed AS MATERIALIZED (
				SELECT o.{owner} AS old_user, n.{owner} AS new_user, n.{key} AS row_id, {old_bytes} AS old_bytes,
					{bytes} AS new_bytes, jsonb_strip_nulls(jsonb_build_object({said})) AS changes
				FROM old_rows AS o JOIN new_rows AS n ON n.{key} = o.{key}),
			logged AS (
				INSERT INTO public.audit_log (user_id, actor, request_id, action, table_name, row_id, changes)
				SELECT c.new_user, v_actor, v_request, 'update', '{table}', c.row_id, c.changes
				FROM changed AS c WHERE c.changes <> '{}')
			{usage}
		$template$, 'delete', $template$
			WITH gone AS MATERIALIZED (
				SELECT o.* FROM old_rows AS o
				-- The children of a user who is being deleted need no entries just to be deleted with the others.
				WHERE EXISTS (SELECT FROM public.users AS u WHERE u.id = o.{owner})),
			logged AS (
				INSERT INTO public.audit_log (user_id, actor, request_id, action, table_name, row_id, changes)
				SELECT o.{owner}, v_actor, v_request, 'delete', '{table}', o.{key}, jsonb_build_object({said})
				FROM gone AS o)
			{usage}
		$template$);
	-- {w1} to {w3} say whether writing a row counts for applications_created, documents_written, embeddings_stored; {h1} to {h4}
	-- whether a row is one of applications, documents, resumes, embeddings; {set} says the same for the usual insertion.
	v_usages CONSTANT jsonb := jsonb_build_object('insert', $template$
			-- The usual case, in one statement instead of many: rows of the current user, whose month has begun.
			IF v_own AND current_setting('app.importing', true) IS DISTINCT FROM 'on' THEN
				UPDATE public.usage_tracking AS t
				SET {set}
				WHERE t.user_id = v_user AND t.is_current AND t.period >= date_trunc('month', now() AT TIME ZONE 'UTC')::date
				RETURNING EXISTS (SELECT FROM public.plans AS p WHERE t.applications > p.applications
					OR t.documents > p.documents OR t.embeddings > p.embeddings OR t.bytes > p.bytes)
				INTO v_beyond;
				IF v_beyond THEN
					PERFORM jobforge.plan_check(v_user, {h1} * v_rows, {h2} * v_rows, {h4} * v_rows, v_bytes, false);
				END IF;
				IF v_beyond IS NOT NULL THEN
					RETURN NULL;
				END IF;
			END IF;
			SELECT count(jobforge.usage_add(u.user_id, {w1} * u.rows, {w2} * u.rows, {w3} * u.rows, u.bytes,
				{h1} * u.rows, {h2} * u.rows, {h3} * u.rows, {h4} * u.rows, u.bytes)) INTO v_rows
			FROM (SELECT n.user_id, count(*) AS rows, sum({bytes})::bigint AS bytes FROM new_rows AS n
				GROUP BY n.user_id ORDER BY n.user_id) AS u;
		$template$, 'update', $template$
			SELECT count(jobforge.usage_add(u.user_id, 0, {w2} * u.written, {w3} * u.written, u.bytes_written,
				{h1} * u.rows, {h2} * u.rows, {h3} * u.rows, {h4} * u.rows, u.bytes)) INTO v_rows
			FROM (SELECT s.user_id, sum(s.rows)::bigint AS rows, sum(s.bytes)::bigint AS bytes,
					sum(s.written)::bigint AS written, sum(s.written * s.bytes)::bigint AS bytes_written
				FROM (
					-- Written is a row of which some text changed, not one that was only marked.
					SELECT c.new_user, 1, c.new_bytes, (c.changes ?| '{texts}'::text[])::integer FROM changed AS c
					UNION ALL
					SELECT c.old_user, -1, -c.old_bytes, 0 FROM changed AS c) AS s (user_id, rows, bytes, written)
				GROUP BY s.user_id ORDER BY s.user_id) AS u
			WHERE (u.rows, u.bytes, u.written) <> (0, 0, 0);
		$template$, 'delete', $template$
			SELECT count(jobforge.usage_add(u.user_id, 0, 0, 0, 0, - {h1} * u.rows, - {h2} * u.rows, - {h3} * u.rows,
				- {h4} * u.rows, - u.bytes)) INTO v_rows
			FROM (SELECT o.user_id, count(*) AS rows, sum({old_bytes})::bigint AS bytes FROM gone AS o
				GROUP BY o.user_id ORDER BY o.user_id) AS u;
		$template$);
	-- How a value of a column (?) is said.
	v_values CONSTANT jsonb := jsonb_build_object(
		'plain', '?', 'derived', '?', 'secret', 'NULL',
		'long', $$jsonb_build_object('size', octet_length(?), 'sha256', encode(sha256(convert_to(?, 'UTF8')), 'hex'))$$,
		'vector', $$jsonb_build_object('size', 4 * public.vector_dims(?), 'sha256',
			encode(sha256(public.vector_send(?)), 'hex'))$$);
	v_table record;
	v_column record;
	v_verb text;
	v_value text;
	v_said text;
	v_text text;
	v_piece record;
BEGIN
	FOR v_table IN SELECT * FROM (VALUES
		-- A password, and what follows from other tables ("derived"), is mentioned only when it changes.
		('users', 'id', 'id', '{email,full_name}'::text[], '{}'::text[], '{}'::text[], '{password_hash}'::text[],
			NULL, '{0,0,0}'::text[], '{0,0,0,0}'::text[], '{}', NULL),
		('applications', 'user_id', 'id',
			'{name,company_name,role_title,job_url,location,priority_level}', '{job_description}',
			'{status,research_completed,resume_optimized,cover_letter_generated}', '{}',
			'octet_length(n.name) + octet_length(n.company_name) + octet_length(n.role_title)'
			' + coalesce(octet_length(n.job_url), 0) + octet_length(n.job_description)'
			' + coalesce(octet_length(n.location), 0)', '{1,0,0}', '{1,0,0,0}',
			'{name,company_name,role_title,job_url,job_description,location}',
			'applications_created = t.applications_created + v_rows, applications = t.applications + v_rows'),
		('documents', 'user_id', 'id', '{application_id,document_type}', '{content}', '{}', '{}',
			'octet_length(n.content)', '{0,1,0}', '{0,1,0,0}', '{content}',
			'documents_written = t.documents_written + v_rows, documents = t.documents + v_rows'),
		('user_resumes', 'user_id', 'id', '{name,focus_area,is_primary}', '{content}', '{}', '{}',
			'octet_length(n.name) + octet_length(n.content)', '{0,0,0}', '{0,0,1,0}', '{name,content}',
			'resumes = t.resumes + v_rows'),
		('document_embeddings', 'user_id', 'id', '{document_id}', '{embedding}', '{}', '{}',
			'4 * public.vector_dims(n.embedding)', '{0,0,1}', '{0,0,0,1}', '{embedding}',
			'embeddings_stored = t.embeddings_stored + v_rows, embeddings = t.embeddings + v_rows'),
		('subscriptions', 'user_id', 'user_id', '{plan,status,period_start,period_end,reference}', '{}', '{}', '{}',
			NULL, '{0,0,0}', '{0,0,0,0}', '{}', NULL)
	) AS t (name, owner, key, plain, long, derived, secret, bytes, w, h, texts, set)
	LOOP
		FOREACH v_verb IN ARRAY ARRAY['insert', 'update', 'delete'] LOOP
			v_said := '';
			FOR v_column IN
				SELECT p.name, 'plain' AS kind FROM unnest(v_table.plain) AS p (name)
				UNION ALL SELECT p.name, CASE p.name WHEN 'embedding' THEN 'vector' ELSE 'long' END
					FROM unnest(v_table.long) AS p (name)
				UNION ALL SELECT p.name, 'derived' FROM unnest(v_table.derived) AS p (name) WHERE v_verb = 'update'
				UNION ALL SELECT p.name, 'secret' FROM unnest(v_table.secret) AS p (name) WHERE v_verb = 'update'
			LOOP
				v_value := v_values ->> v_column.kind;
				v_said := concat_ws(', ', nullif(v_said, ''), quote_literal(v_column.name), CASE v_verb
					WHEN 'insert' THEN replace(v_value, '?', 'n.' || v_column.name)
					WHEN 'delete' THEN replace(v_value, '?', 'o.' || v_column.name)
					ELSE format('CASE WHEN %s THEN %s END',
						CASE v_column.kind WHEN 'vector' THEN format('o.%1$I OPERATOR(public.<>) n.%1$I', v_column.name)
							ELSE format('o.%1$I IS DISTINCT FROM n.%1$I', v_column.name) END,
						CASE v_column.kind WHEN 'secret' THEN $$jsonb_build_object('changed', true)$$
							ELSE format($$jsonb_build_object('old', %s, 'new', %s)$$,
								replace(v_value, '?', 'o.' || v_column.name),
								replace(v_value, '?', 'n.' || v_column.name)) END) END);
			END LOOP;
			v_text := v_head;
			FOR v_piece IN SELECT * FROM (VALUES
				(1, 'body', v_bodies ->> v_verb),
				(2, 'usage', CASE WHEN v_table.bytes IS NOT NULL THEN v_usages ->> v_verb
					WHEN v_verb = 'insert' THEN '' ELSE 'SELECT 0 INTO v_rows;' END),
				(3, 'said', v_said),
				(3, 'set', concat_ws(', ', v_table.set, 'bytes_written = t.bytes_written + v_bytes, bytes = t.bytes + v_bytes')),
				-- Or old and new of many rows, in a plan that was made for one, are compared each with each.
				(4, 'setting', CASE v_verb WHEN 'update' THEN 'SET enable_nestloop = off' ELSE '' END),
				(5, 'old_bytes', coalesce(replace(v_table.bytes, 'n.', 'o.'), '0')), (6, 'bytes', coalesce(v_table.bytes, '0')),
				(7, 'table', v_table.name), (8, 'verb', v_verb), (9, 'owner', v_table.owner), (10, 'key', v_table.key),
				(11, 'texts', v_table.texts), (12, 'w1', v_table.w[1]), (13, 'w2', v_table.w[2]),
				(14, 'w3', v_table.w[3]), (15, 'h1', v_table.h[1]), (16, 'h2', v_table.h[2]), (17, 'h3', v_table.h[3]),
				(18, 'h4', v_table.h[4])) AS p (place, name, text) ORDER BY p.place
			LOOP
				v_text := replace(v_text, '{' || v_piece.name || '}', v_piece.text);
			END LOOP;
			EXECUTE v_text;
			EXECUTE format('GRANT EXECUTE ON FUNCTION jobforge.record_%s_%s() TO jobforge_owner', v_table.name, v_verb);
		END LOOP;
	END LOOP;
	DROP FUNCTION jobforge.record_users_delete(); -- account_closed() does
END
$generate$;

-- For whoever takes payments: the subscription of a user is now this one. To be told the same twice changes nothing.
CREATE FUNCTION jobforge.subscription_set(p_user uuid, p_plan text, p_status public.subscription_status_type,
	p_period_start timestamptz, p_period_end timestamptz, p_reference text) RETURNS void
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	INSERT INTO public.subscriptions (user_id, plan, status, period_start, period_end, reference)
	VALUES (p_user, p_plan, p_status, coalesce(p_period_start, now()), p_period_end, p_reference)
	ON CONFLICT (user_id) DO UPDATE
	SET plan = excluded.plan, status = excluded.status, period_start = excluded.period_start,
		period_end = excluded.period_end, reference = excluded.reference;
END;

GRANT EXECUTE ON FUNCTION jobforge.plan_of(uuid) TO jobforge_app;
GRANT EXECUTE ON FUNCTION jobforge.plan_of(uuid), jobforge.usage_recount(uuid),
	jobforge.subscription_set(uuid, text, public.subscription_status_type, timestamptz, timestamptz, text),
	jobforge.usage_settle(), jobforge.account_opened(), jobforge.account_closed() TO jobforge_owner;

-- Users from before.
SELECT jobforge.usage_recount(u.id) FROM public.users AS u ORDER BY u.id;

SET LOCAL ROLE jobforge_owner;
REVOKE CREATE ON SCHEMA jobforge FROM jobforge_auth;

CREATE CONSTRAINT TRIGGER usage_settle AFTER INSERT ON jobforge.usage_pending
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION jobforge.usage_settle();

CREATE TRIGGER account_closed AFTER DELETE ON public.users REFERENCING OLD TABLE AS old_rows
	FOR EACH STATEMENT EXECUTE FUNCTION jobforge.account_closed();
CREATE TRIGGER account_opened AFTER INSERT ON public.users REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION jobforge.account_opened();

DO $$
DECLARE
	v_function record;
BEGIN
	FOR v_function IN
		SELECT m.match[1] AS "table", m.match[2] AS verb
		FROM pg_catalog.pg_proc AS p, regexp_match(p.proname, '^record_(.*)_(insert|update|delete)$') AS m (match)
		WHERE p.pronamespace = 'jobforge'::regnamespace AND m.match IS NOT NULL
	LOOP
		EXECUTE format('CREATE TRIGGER record_%2$s AFTER %2$s ON public.%1$I REFERENCING %3$s'
			' FOR EACH STATEMENT EXECUTE FUNCTION jobforge.record_%1$s_%2$s()', v_function."table", v_function.verb,
			CASE v_function.verb WHEN 'insert' THEN 'NEW TABLE AS new_rows' WHEN 'delete' THEN 'OLD TABLE AS old_rows'
				ELSE 'OLD TABLE AS old_rows NEW TABLE AS new_rows' END);
	END LOOP;
END
$$;

-- Partitions. To be called by an administrator (a superuser, or a role with BYPASSRLS that has jobforge_owner), regularly.

-- Makes the partitions of this month and the coming ones, and of months that rows in the default partition are of, which
-- it moves. Returns the names of those made. A writer waits only while its own month is being made.
CREATE FUNCTION jobforge.audit_log_prepare(p_months_ahead integer) RETURNS SETOF text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
SET lock_timeout = '5s'
AS $$
DECLARE
	v_month timestamptz;
	v_name text;
BEGIN
	PERFORM pg_advisory_xact_lock(hashtextextended('jobforge.audit_log', 0));
	FOR v_month IN
		SELECT date_trunc('month', now()) + i * interval '1 month' FROM generate_series(0, p_months_ahead) AS i
		UNION SELECT date_trunc('month', l.created_at) FROM public.audit_log_default AS l
		ORDER BY 1
	LOOP
		v_name := to_char(v_month, '"audit_log_"YYYY_MM');
		CONTINUE WHEN to_regclass('public.' || v_name) IS NOT NULL;
		EXECUTE format('CREATE TABLE public.%I (LIKE public.audit_log INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', v_name);
		EXECUTE format('ALTER TABLE public.%I OWNER TO jobforge_owner', v_name);
		EXECUTE format('GRANT SELECT ON public.%I TO jobforge_backup', v_name);
		LOCK TABLE public.audit_log_default IN ACCESS EXCLUSIVE MODE;
		EXECUTE format('WITH moved AS (DELETE FROM public.audit_log_default AS l WHERE l.created_at >= %L'
			' AND l.created_at < %L RETURNING l.*) INSERT INTO public.%I SELECT m.* FROM moved AS m',
			v_month, v_month + interval '1 month', v_name);
		EXECUTE format('ALTER TABLE public.audit_log ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)', v_name,
			v_month, v_month + interval '1 month');
		EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', v_name);
		RETURN NEXT v_name;
	END LOOP;
END
$$;

-- Drops the partitions of which every row is older than that, and such rows of the default one. Returns the names of those
-- dropped. Readers and writers wait for it, and it waits for them no longer than its lock_timeout.
CREATE FUNCTION jobforge.audit_log_expire(p_keep interval) RETURNS SETOF text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
SET lock_timeout = '5s'
AS $$
DECLARE
	v_name text;
BEGIN
	PERFORM pg_advisory_xact_lock(hashtextextended('jobforge.audit_log', 0));
	FOR v_name IN
		SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
		WHERE i.inhparent = 'public.audit_log'::regclass AND c.relname ~ '^audit_log_[0-9]{4}_[0-9]{2}$'
			AND to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month' <= now() - p_keep
		ORDER BY 1
	LOOP
		EXECUTE format('DROP TABLE public.%I', v_name);
		RETURN NEXT v_name;
	END LOOP;
	DELETE FROM public.audit_log_default AS l WHERE l.created_at < now() - p_keep;
END
$$;

-- As the administrator, since the owner is held by the policies.
SET LOCAL ROLE NONE;
SELECT jobforge.audit_log_prepare(3);
