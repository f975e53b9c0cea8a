-- The audit log, the counting of usage, and plans.
\ir fixtures.psql

-- What is kept by triggers, and what there is: applications, documents, resumes, embeddings, bytes.
CREATE VIEW pgtap.kept AS
	SELECT t.user_id, ARRAY[t.applications, t.documents, t.resumes, t.embeddings, t.bytes] AS held,
		ARRAY[t.applications_created, t.documents_written, t.embeddings_stored, t.bytes_written] AS written, t.period
	FROM public.usage_tracking AS t WHERE t.is_current;
CREATE VIEW pgtap.held AS
	SELECT u.id AS user_id, ARRAY[a.n, d.n, r.n, e.n, a.bytes + d.bytes + r.bytes + 6144 * e.n]::bigint[] AS held
	FROM public.users AS u,
		LATERAL (SELECT count(*) AS n, coalesce(sum(octet_length(concat(x.name, x.company_name, x.role_title, x.job_url,
			x.job_description, x.location))), 0) AS bytes FROM public.applications AS x WHERE x.user_id = u.id) AS a,
		LATERAL (SELECT count(*) AS n, coalesce(sum(octet_length(x.content)), 0) AS bytes
			FROM public.documents AS x WHERE x.user_id = u.id) AS d,
		LATERAL (SELECT count(*) AS n, coalesce(sum(octet_length(x.name || x.content)), 0) AS bytes
			FROM public.user_resumes AS x WHERE x.user_id = u.id) AS r,
		LATERAL (SELECT count(*) AS n FROM public.document_embeddings AS x WHERE x.user_id = u.id) AS e;
GRANT SELECT ON kept, held TO PUBLIC;
CREATE FUNCTION pgtap.entries(p_table text) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT format('%s %s', l.action, l.changes) FROM public.audit_log AS l
	WHERE l.table_name = p_table AND l.user_id = 'aaaaaaaa-0000-4000-8000-000000000000' ORDER BY l.created_at
$$;

SELECT results_eq('SELECT user_id, held FROM kept ORDER BY 1', 'SELECT user_id, held FROM held ORDER BY 1',
	'an administrator''s rows are counted, each for its user');

-- What is said

SET SESSION AUTHORIZATION jobforge_app;
SELECT set_config('app.current_user_id', :user_a, true), set_config('app.request_id', repeat('r', 100), true) \g /dev/null
INSERT INTO public.documents (application_id, document_type, content)
	VALUES (:application_a, 'research_report', 'Straße to Łódź');
INSERT INTO public.documents (application_id, document_type, content)
	VALUES (:application_a, 'research_report', 'Straße to Łódź')
	ON CONFLICT (application_id, document_type) DO UPDATE SET content = excluded.content;
UPDATE public.documents SET content = 'Another text';
INSERT INTO public.document_embeddings (document_id, embedding)
	SELECT d.id, array_fill(0.5, ARRAY[1536])::public.vector FROM public.documents AS d;
UPDATE public.users SET password_hash = 'secret-hash', full_name = 'User A2';
UPDATE public.users SET full_name = full_name, email = email;
UPDATE public.applications SET location = 'Łódź';
UPDATE public.applications SET location = NULL, priority_level = 'high';
UPDATE public.applications SET location = NULL, job_description = job_description;
SELECT results_eq($$SELECT regexp_replace(entries('documents'), '"application_id": "[^"]*"', '"application_id": "ID"')$$,
	ARRAY[
		format('insert {"content": {"size": 18, "sha256": "%s"}, "document_type": "research_report", "application_id": "ID"}',
			encode(sha256(convert_to('Straße to Łódź', 'UTF8')), 'hex')),
		format('update {"content": {"new": {"size": 12, "sha256": "%s"}, "old": {"size": 18, "sha256": "%s"}}}',
			encode(sha256('Another text'), 'hex'), encode(sha256(convert_to('Straße to Łódź', 'UTF8')), 'hex'))],
	'a document by its size and hash, and nothing of a write that changed nothing');
SELECT results_eq($$SELECT l.changes -> 'embedding' ->> 'size' FROM public.audit_log AS l
	WHERE l.table_name = 'document_embeddings'$$, ARRAY['6144'], 'an embedding likewise');
SELECT results_eq($$SELECT entries('users') OFFSET 1$$,
	ARRAY['update {"full_name": {"new": "User A2", "old": "User A"}, "password_hash": {"changed": true}}'],
	'of a password only that it changed, and of a user no change that is none');
SELECT results_eq($$SELECT entries('applications') OFFSET 1$$, ARRAY[
	'update {"status": {"new": "research_complete", "old": "draft"}, "research_completed": {"new": true, "old": false}}',
	'update {"location": {"new": "Łódź"}}',
	'update {"location": {"old": "Łódź"}, "priority_level": {"new": "high", "old": "medium"}}'],
	'of an application each field that changed, also by what follows from its documents');
SELECT is_empty($$SELECT FROM public.audit_log AS l WHERE l.changes::text ~ '(secret-)?hash-?a|Another text|Straße'$$,
	'no hash and no text is in it');
SELECT results_eq($$SELECT DISTINCT l.actor, l.request_id FROM public.audit_log AS l WHERE l.action = 'update'$$,
	$$VALUES ('user', repeat('r', 64))$$, 'who, and by which request, within bounds');
SELECT set_config('app.current_user_id', :user_b, true) \g /dev/null
SELECT is((SELECT count(*) FROM public.audit_log WHERE user_id <> :user_b), 0::bigint, 'another''s log is not seen');
RESET SESSION AUTHORIZATION;
SELECT is((SELECT written FROM kept WHERE user_id = :user_a),
	ARRAY[1, 2, 1, (SELECT held[5] FROM held WHERE user_id = :user_b) + 18 + 12 + 6144
		+ (SELECT 2 * octet_length(concat(a.name, a.company_name, a.role_title, a.job_description)) + 7
			FROM public.applications AS a WHERE a.id = :application_a)]::bigint[],
	'what was written in this month');
SELECT results_eq('SELECT user_id, held FROM kept ORDER BY 1', 'SELECT user_id, held FROM held ORDER BY 1',
	'what is held after that');

-- A random mix, and the log without a single gap

SET SESSION AUTHORIZATION jobforge_app;
SELECT set_config('app.current_user_id', :user_a, true), setseed(0.5) \g /dev/null
DO $$
DECLARE
	v_kinds CONSTANT text[] := ARRAY['research_report', 'optimized_resume', 'cover_letter'];
BEGIN
	FOR i IN 1..300 LOOP
		BEGIN
			CASE floor(random() * 10)
			WHEN 0 THEN
				INSERT INTO public.applications (name, company_name, role_title, job_description, location)
				SELECT 'n' || j, repeat('é', j), 'r', repeat('word ', 10 + (50 * random())::integer), nullif(i % 3, 0)
				FROM generate_series(1, (4 * random())::integer) AS j;
			WHEN 1, 2, 3 THEN
				INSERT INTO public.documents (application_id, document_type, content)
				SELECT a.id, v_kinds[1 + floor(3 * random())]::public.document_type_enum,
					repeat('text ', 3 + (300 * random())::integer)
				FROM (SELECT * FROM public.applications ORDER BY random() LIMIT 1) AS a
				ON CONFLICT (application_id, document_type) DO UPDATE SET content = excluded.content;
			WHEN 4 THEN
				INSERT INTO public.document_embeddings (document_id, embedding)
				SELECT d.id, array_fill(random(), ARRAY[1536])::public.vector
				FROM (SELECT * FROM public.documents ORDER BY random() LIMIT 2) AS d
				ON CONFLICT (document_id) DO UPDATE SET embedding = excluded.embedding;
			WHEN 5 THEN
				DELETE FROM public.document_embeddings WHERE random() < 0.2;
			WHEN 6 THEN
				INSERT INTO public.user_resumes (name, content) VALUES ('r', repeat('resume ', 20 + (i % 7)));
			WHEN 7 THEN
				UPDATE public.user_resumes SET name = repeat('ä', 1 + (5 * random())::integer) WHERE random() < 0.5;
				DELETE FROM public.user_resumes WHERE random() < 0.2;
			WHEN 8 THEN
				UPDATE public.applications SET job_url = 'https://x.example/' || i WHERE random() < 0.3;
			ELSE
				DELETE FROM public.applications WHERE random() < 0.1;
			END CASE;
		EXCEPTION WHEN SQLSTATE 'JF010' THEN
			NULL; -- a document out of order: what it did is undone, in the counts as well
		END;
	END LOOP;
	-- One of each, whatever chance has left.
	WITH a AS (
		INSERT INTO public.applications (name, company_name, role_title, job_description)
		VALUES ('last', 'c', 'r', repeat('word ', 10)) RETURNING id)
	INSERT INTO public.documents (application_id, document_type, content)
	SELECT a.id, 'research_report', repeat('text ', 3) FROM a;
	INSERT INTO public.document_embeddings (document_id, embedding)
	SELECT d.id, array_fill(0.5, ARRAY[1536])::public.vector
	FROM public.documents AS d JOIN public.applications AS a ON a.id = d.application_id AND a.name = 'last';
	INSERT INTO public.user_resumes (name, content) VALUES ('last', repeat('resume ', 20));
END
$$;
RESET SESSION AUTHORIZATION;
SELECT results_eq('SELECT user_id, held FROM kept ORDER BY 1', 'SELECT user_id, held FROM held ORDER BY 1',
	'what is kept is what there is, after 300 changes by chance');
SELECT ok((SELECT least(held[1], held[2], held[3], held[4]) > 0 FROM kept WHERE user_id = :user_a), 'which left something');
SELECT results_eq($$
	SELECT t.name, count(*) FILTER (WHERE l.action = 'insert') - count(*) FILTER (WHERE l.action = 'delete')
	FROM unnest(ARRAY['applications', 'documents', 'user_resumes', 'document_embeddings']) AS t (name)
	JOIN public.audit_log AS l ON l.table_name = t.name AND l.user_id = 'aaaaaaaa-0000-4000-8000-000000000000'
	GROUP BY 1 ORDER BY 1
$$, $$SELECT k.name, h.held[k.place] FROM held AS h, (VALUES ('applications', 1), ('documents', 2), ('user_resumes', 3),
	('document_embeddings', 4)) AS k (name, place)
	WHERE h.user_id = 'aaaaaaaa-0000-4000-8000-000000000000' ORDER BY 1$$,
	'the log has an entry for each row that came and went, also with the application it was of');
SELECT jobforge.usage_recount(:user_a) \g /dev/null
SELECT results_eq('SELECT user_id, held FROM kept ORDER BY 1', 'SELECT user_id, held FROM held ORDER BY 1',
	'a recount finds the same');

-- An import counts when it is complete.

SET SESSION AUTHORIZATION jobforge_app;
SELECT set_config('app.current_user_id', :user_b, true), set_config('app.importing', 'on', true) \g /dev/null
INSERT INTO public.applications (name, company_name, role_title, job_description)
	SELECT 'i', 'c', 'r', :description FROM generate_series(1, 3);
INSERT INTO public.applications (name, company_name, role_title, job_description) VALUES ('i', 'c', 'r', :description);
SELECT is((SELECT held[1] FROM kept WHERE user_id = :user_b), 1::bigint, 'nothing is counted, and locked, while an import runs');
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
SELECT set_config('app.importing', 'off', true) \g /dev/null
RESET SESSION AUTHORIZATION;
SELECT results_eq('SELECT user_id, held FROM kept ORDER BY 1', 'SELECT user_id, held FROM held ORDER BY 1',
	'all of it when it ends');
SELECT is_empty('SELECT FROM jobforge.usage_pending', 'and nothing is left over');

-- Months

UPDATE public.usage_tracking SET period = '2020-02-01' WHERE user_id = :user_b;
SET SESSION AUTHORIZATION jobforge_app;
SELECT set_config('app.current_user_id', :user_b, true) \g /dev/null
DELETE FROM public.applications WHERE name = 'i' AND id = (SELECT min(id::text)::uuid FROM public.applications WHERE name = 'i');
RESET SESSION AUTHORIZATION;
SELECT results_eq(format($$SELECT period, is_current, applications, applications_created FROM public.usage_tracking
	WHERE user_id = %L ORDER BY 1$$, :user_b),
	$$VALUES ('2020-02-01'::date, false, 5::bigint, 5::bigint),
		(date_trunc('month', now())::date, true, 4, 0)$$, 'a new month begins with what was held, and nothing written');
SELECT results_eq('SELECT user_id, held FROM kept ORDER BY 1', 'SELECT user_id, held FROM held ORDER BY 1', 'exactly');
DELETE FROM public.usage_tracking WHERE user_id = :user_b;
DELETE FROM public.applications WHERE user_id = :user_b AND name = 'i';
SELECT results_eq('SELECT user_id, held FROM kept ORDER BY 1', 'SELECT user_id, held FROM held ORDER BY 1',
	'a user without a row gets one that is right');

-- Plans

SELECT is(jobforge.some_plans_limit(), false, 'as it is installed no plan limits anything');
INSERT INTO public.plans (name, title, embeddings) VALUES ('odd', 'Odd', 5);
SELECT is(jobforge.some_plans_limit(), true, 'one that does is known');
UPDATE public.plans SET embeddings = NULL WHERE name = 'odd';
SELECT is(jobforge.some_plans_limit(), false, 'and one that does no more');
UPDATE public.plans SET bytes = 5 WHERE name = 'odd';
DELETE FROM public.plans WHERE name = 'odd';
SELECT is(jobforge.some_plans_limit(), false, 'or has gone');
INSERT INTO public.plans (name, title, applications, documents, embeddings, bytes) VALUES ('small', 'Small', 2, 1, 0, 2000);
SELECT is(attempt(NULL, $$INSERT INTO public.plans (name, title, is_default) VALUES ('other', 'Other', true)$$), '23505',
	'there is one default plan');
SELECT is(jobforge.plan_of(:user_b), 'free', 'without a subscription the default plan holds');
CREATE FUNCTION pgtap.plan_with(p_status text, p_start interval, p_end interval) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM jobforge.subscription_set('bbbbbbbb-0000-4000-8000-000000000000', 'small',
		p_status::public.subscription_status_type, now() + p_start, now() + p_end, 'sub_1');
	RETURN jobforge.plan_of('bbbbbbbb-0000-4000-8000-000000000000');
END
$$;
SELECT is(plan_with(s.status, s.p_start::interval, s.p_end::interval), s.plan, format('%s, %s to %s: %s', s.status, s.p_start, s.p_end, s.plan))
FROM (VALUES ('canceled', '-1 day', '1 day', 'free'), ('active', '-2 days', '-1 day', 'free'),
	('active', '1 day', '2 days', 'free'), ('trialing', '-1 day', '1 day', 'small'), ('past_due', '-1 day', '1 day', 'small'),
	('active', '-1 day', NULL, 'small')) AS s (status, p_start, p_end, plan);
SELECT results_eq($$SELECT l.action, l.changes -> 'status' ->> 'new', l.actor = session_user FROM public.audit_log AS l
	WHERE l.table_name = 'subscriptions' ORDER BY l.created_at DESC LIMIT 1$$, $$VALUES ('update', 'active', true)$$,
	'a subscription is in the log');
SET SESSION AUTHORIZATION jobforge_app;
SELECT set_config('app.current_user_id', :user_b, true) \g /dev/null
PREPARE create_applications (integer) AS INSERT INTO public.applications (name, company_name, role_title, job_description)
	SELECT 'p', 'c', 'r', repeat('x', 50) FROM generate_series(1, $1);
SELECT is(message_of('EXECUTE create_applications(1)'), NULL, 'what the plan allows');
SELECT is(message_of('EXECUTE create_applications(2)'), 'applications 2 1', 'one too many, in one statement');
SELECT is(attempt(NULL, 'EXECUTE create_applications(2)'), 'JF020', 'has a state of its own');
SELECT is(message_of($$UPDATE public.applications SET job_description = repeat('x', 3000)$$),
	(SELECT 'bytes 2000 ' || held[5] FROM kept WHERE user_id = :user_b), 'growing text');
INSERT INTO public.documents (application_id, document_type, content) VALUES (:application_b, 'research_report', 'Some content');
SELECT is(message_of($$INSERT INTO public.documents (application_id, document_type, content)
	VALUES ('bbbbbbbb-0000-4000-8000-000000000001', 'optimized_resume', 'Some content')$$), 'documents 1 1', 'documents');
SELECT is(message_of($$INSERT INTO public.document_embeddings (document_id, embedding)
	SELECT d.id, array_fill(0.5, ARRAY[1536])::public.vector FROM public.documents AS d$$), 'embeddings 0 0', 'embeddings');
SELECT is(message_of($$INSERT INTO public.user_resumes (name, content) VALUES ('r', repeat('x', 3000))$$),
	(SELECT 'bytes 2000 ' || held[5] FROM kept WHERE user_id = :user_b), 'resumes count by their bytes');
SELECT set_config('app.importing', 'on', true) \g /dev/null
SELECT is(message_of('EXECUTE create_applications(2)'), 'applications 2 1', 'an import is refused before it ends');
SELECT set_config('app.importing', 'off', true) \g /dev/null
RESET SESSION AUTHORIZATION;
UPDATE public.plans SET applications = 0, documents = 0, bytes = 10 WHERE name = 'small';
SET SESSION AUTHORIZATION jobforge_app;
SELECT set_config('app.current_user_id', :user_b, true) \g /dev/null
SELECT is(attempt(NULL, s.statement), '1 rows', 'beyond a smaller plan still allowed: ' || s.statement)
FROM (VALUES ('UPDATE public.applications SET job_description = repeat(''x'', 50)'),
	('UPDATE public.applications SET priority_level = ''low'''),
	('UPDATE public.documents SET content = ''Less content'''),
	('DELETE FROM public.documents'), ('DELETE FROM public.applications')) AS s (statement);
SELECT is(attempt(NULL, 'UPDATE public.applications SET name = name || ''x'''), 'JF020', 'but nothing more');
RESET SESSION AUTHORIZATION;
SELECT jobforge.subscription_set(:user_b, 'free', 'active', NULL, NULL, NULL) \g /dev/null
SET SESSION AUTHORIZATION jobforge_app;
SELECT is(message_of('EXECUTE create_applications(9)'), NULL, 'a larger plan holds at once');
RESET SESSION AUTHORIZATION;

-- Partitions

SELECT is((SELECT count(*) FROM public.audit_log_default), 0::bigint, 'the coming months have their partitions');
INSERT INTO public.audit_log (user_id, created_at, actor, action, table_name, row_id, changes)
SELECT :user_b, t.at, 'user', 'insert', 'users', :user_b, '{}' FROM unnest(ARRAY['2020-01-31 23:59:59.999999+00',
	'2020-02-01 00:00+00', '2020-02-29 12:00+00']::timestamptz[]) AS t (at);
SELECT results_eq('SELECT * FROM jobforge.audit_log_prepare(3)', ARRAY['audit_log_2020_01', 'audit_log_2020_02'],
	'rows of months without a partition get one');
SELECT results_eq('SELECT (SELECT count(*) FROM public.audit_log_2020_01), (SELECT count(*) FROM public.audit_log_2020_02),
	(SELECT count(*) FROM public.audit_log_default)', 'VALUES (1::bigint, 2::bigint, 0::bigint)', 'and are moved into it');
SELECT is_empty('SELECT * FROM jobforge.audit_log_prepare(3)', 'once');
SELECT is((SELECT string_agg(format('%s %s %s %s', c.relrowsecurity, c.relforcerowsecurity, c.relowner::regrole,
		has_table_privilege('jobforge_backup', c.oid, 'SELECT')), ' ')
	FROM pg_class AS c WHERE c.oid = 'public.audit_log_2020_01'::regclass), 't t jobforge_owner t',
	'a partition is the owner''s, read by the backup, and shows no row by itself');
SELECT results_eq($$SELECT * FROM jobforge.audit_log_expire(now() - '2020-02-29')$$, ARRAY['audit_log_2020_01'],
	'a partition goes when all of it is too old');
SELECT results_eq($$SELECT * FROM jobforge.audit_log_expire('1 year')$$, ARRAY['audit_log_2020_02'], 'and not before');

-- The end

SET SESSION AUTHORIZATION jobforge_app;
SELECT set_config('app.current_user_id', :user_a, true), set_config('app.request_id', 'the-last', true) \g /dev/null
DELETE FROM public.users;
RESET SESSION AUTHORIZATION;
SELECT results_eq(format('SELECT actor, request_id, action, table_name, row_id, changes::text FROM public.audit_log WHERE user_id = %L', :user_a),
	format($$VALUES ('user', 'the-last', 'delete', 'users', %L::uuid, '{}')$$, :user_a),
	'of a user who is gone one entry is left, without any value');
SELECT is_empty(format('SELECT FROM public.usage_tracking WHERE user_id = %L', :user_a), 'and no figures');

-- The index of addresses is no key for others, and found all the same.

SET LOCAL enable_seqscan = off;
CREATE FUNCTION pgtap.scan_of_email() RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE 'EXPLAIN (COSTS OFF) SELECT u.id FROM public.users AS u WHERE lower(u.email COLLATE "C") = lower(''A@b.example'' COLLATE "C")';
END
$$;
SELECT matches((SELECT string_agg(l, ' ') FROM scan_of_email() AS l), 'users_email_key', 'a login finds its user by the index');

SELECT * FROM finish();
ROLLBACK;
