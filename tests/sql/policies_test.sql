-- Every policy, for every verb, on every table that holds a user's data: one's own row, another's, and without a user.
\ir fixtures.psql

INSERT INTO public.documents (user_id, id, application_id, document_type, content)
SELECT a.user_id, a.id, a.id, 'research_report', 'A report of some length' FROM public.applications AS a
WHERE a.id IN (:application_a, :application_b);
INSERT INTO public.document_embeddings (user_id, document_id, embedding)
SELECT d.user_id, d.id, array_fill(0.5, ARRAY[1536])::public.vector FROM public.documents AS d
WHERE d.id IN (:application_a, :application_b);
INSERT INTO public.user_resumes (user_id, name, content, is_primary)
SELECT u.id, 'Resume', repeat('Has done this before. ', 10), true FROM public.users AS u
WHERE u.id IN (:user_a, :user_b);
INSERT INTO jobforge.refresh_families (user_id, id, expires_at)
SELECT u.id, u.id, now() + interval '1 day' FROM public.users AS u WHERE u.id IN (:user_a, :user_b);
INSERT INTO jobforge.refresh_tokens (user_id, token_hash, family_id, expires_at)
SELECT u.id, sha256(u.email::bytea), u.id, now() + interval '1 day' FROM public.users AS u
WHERE u.id IN (:user_a, :user_b);
INSERT INTO jobforge.idempotency_keys (user_id, key, request_hash, status, body)
SELECT u.id, 'key', sha256(''), 201, '{}' FROM public.users AS u WHERE u.id IN (:user_a, :user_b);

-- A statement for each table and verb; %1$L is whose row, %2$L whose application (and document) it is. Inserts name a
-- row that could be inserted: the only thing that may stand in the way is the policy.
CREATE TABLE pgtap.statements (name text, verb text, statement text, PRIMARY KEY (name, verb));
INSERT INTO statements
SELECT t.name, v.verb, format(v.pattern, t.name, t.owner_column)
FROM user_tables AS t, (VALUES
	('select', 'SELECT FROM %1$s WHERE %2$s = %%1$L'),
	('update', 'UPDATE %1$s SET %2$s = %2$s WHERE %2$s = %%1$L'),
	('delete', 'DELETE FROM %1$s WHERE %2$s = %%1$L')) AS v (verb, pattern);
INSERT INTO statements VALUES
	-- One's own row is there already: a conflict, and not a refusal, is what shows that the policy lets it by.
	('public.users', 'insert', $$INSERT INTO public.users (id, email, password_hash, full_name)
		VALUES (%1$L, 'new@fixture.example', 'hash', 'New')$$),
	('public.applications', 'insert', $$INSERT INTO public.applications (user_id, name, company_name, role_title,
		job_description) VALUES (%1$L, 'n', 'c', 'r', repeat('x', 50))$$),
	('public.documents', 'insert', $$INSERT INTO public.documents (user_id, application_id, document_type, content)
		VALUES (%1$L, %2$L, 'optimized_resume', 'A resume of some length')$$),
	('public.user_resumes', 'insert', $$INSERT INTO public.user_resumes (user_id, name, content)
		VALUES (%1$L, 'n', repeat('x', 100))$$),
	('public.document_embeddings', 'insert', $$INSERT INTO public.document_embeddings (user_id, document_id, embedding)
		VALUES (%1$L, %2$L, array_fill(0.5, ARRAY[1536])::public.vector)
		ON CONFLICT (document_id) DO UPDATE SET embedding = excluded.embedding$$),
	('jobforge.refresh_families', 'insert', $$INSERT INTO jobforge.refresh_families (user_id, expires_at)
		VALUES (%1$L, now())$$),
	('jobforge.refresh_tokens', 'insert', $$INSERT INTO jobforge.refresh_tokens (user_id, token_hash, family_id,
		expires_at)
		VALUES (%1$L, sha256('new'), %1$L, now())$$),
	('jobforge.idempotency_keys', 'insert', $$INSERT INTO jobforge.idempotency_keys (user_id, key, request_hash,
		status, body)
		VALUES (%1$L, 'new', sha256(''), 201, '{}')$$),
	('public.audit_log', 'insert', $$INSERT INTO public.audit_log (user_id, actor, action, table_name, row_id, changes)
		VALUES (%1$L, 'user', 'insert', 'users', %1$L, '{}')$$),
	('public.usage_tracking', 'insert', $$INSERT INTO public.usage_tracking (user_id, period, is_current)
		VALUES (%1$L, '2000-01-01', false)$$),
	('jobforge.usage_pending', 'insert', $$INSERT INTO jobforge.usage_pending
		VALUES (%1$L, '3', 0, 0, 0, 0, 0, 0, 0, 0, 0)$$),
	('public.subscriptions', 'insert', $$INSERT INTO public.subscriptions (user_id, plan, status)
		VALUES (%1$L, 'free', 'active') ON CONFLICT (user_id) DO UPDATE SET plan = excluded.plan$$),
	('jobforge.disabled_users', 'insert', $$INSERT INTO jobforge.disabled_users (user_id)
		VALUES (%1$L) ON CONFLICT (user_id) DO UPDATE SET reason = excluded.reason$$);
SELECT set_eq('SELECT name, verb FROM statements',
	$$SELECT t.name, v.verb FROM user_tables AS t, unnest(ARRAY['select', 'insert', 'update', 'delete']) AS v (verb)$$,
	'every table with user data is tested for every verb');

-- What is tested is the policies, so column rights and the triggers that refuse before them are out of the way.
DO $$
DECLARE
	v_table text;
BEGIN
	FOR v_table IN SELECT name FROM pgtap.user_tables LOOP
		-- In this order: a GRANT first would make autovacuum wait for us while we wait for its lock on the table.
		EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', v_table);
		EXECUTE format('GRANT ALL ON %s TO jobforge_app', v_table);
	END LOOP;
END
$$;
-- One row of a user in each, as of the other tables.
DELETE FROM public.audit_log;
INSERT INTO public.audit_log (user_id, actor, action, table_name, row_id, changes)
SELECT u.id, 'user', 'insert', 'users', u.id, '{}' FROM public.users AS u WHERE u.id IN (:user_a, :user_b);
INSERT INTO jobforge.usage_pending
SELECT u.id, '4', 0, 0, 0, 0, 0, 0, 0, 0, 0 FROM public.users AS u WHERE u.id IN (:user_a, :user_b);
INSERT INTO public.subscriptions (user_id, plan, status)
SELECT u.id, 'free', 'active' FROM public.users AS u WHERE u.id IN (:user_a, :user_b);
INSERT INTO jobforge.disabled_users (user_id) SELECT u.id FROM public.users AS u WHERE u.id IN (:user_a, :user_b);
GRANT SELECT ON statements TO PUBLIC;

SET SESSION AUTHORIZATION jobforge_app;

-- First, while the setting was never set in this session; then as it reads after a SET LOCAL has ended; then garbage.
SELECT is(current_setting('app.current_user_id', true), NULL, 'nobody has been set yet');
SELECT is(attempt(NULL, format(s.statement, :user_a, :application_a)),
	CASE s.verb WHEN 'insert' THEN '42501' ELSE '0 rows' END, format('never set: no %s on %s', s.verb, s.name))
FROM statements AS s;
SELECT is(attempt('', format(s.statement, :user_a, :application_a)),
	CASE s.verb WHEN 'insert' THEN '42501' ELSE '0 rows' END, format('empty: no %s on %s', s.verb, s.name))
FROM statements AS s;
SELECT is(attempt('no uuid', format(s.statement, :user_a, :application_a)), '22P02',
	format('malformed: no %s on %s', s.verb, s.name))
FROM statements AS s;

SELECT is(attempt(w.context, format(s.statement, :user_a, :application_a)),
	CASE WHEN w.context <> :user_a THEN CASE s.verb WHEN 'insert' THEN '42501' ELSE '0 rows' END
		WHEN s.name = 'public.users' AND s.verb = 'insert' THEN '23505'
		ELSE '1 rows' END,
	format('%s: %s on %s', w.who, s.verb, s.name))
FROM statements AS s,
	(VALUES (:user_a, 'own row'), (:user_b, 'another''s row'), (gen_random_uuid()::text, 'user who is no more'))
		AS w (context, who);

-- A row may not be given away either.
SELECT is(attempt(:user_a, format('UPDATE %s SET %I = %L WHERE %2$I = %4$L', t.name, t.owner_column, :user_b, :user_a)),
	'42501', 'no row of ' || t.name || ' can be given to another')
FROM user_tables AS t;
-- And a statement without any condition sees the same.
SELECT is(attempt(:user_b, 'SELECT FROM ' || t.name), '1 rows', 'all of ' || t.name || ' is one''s own')
	FROM user_tables AS t;
SELECT is(attempt(:user_b, 'DELETE FROM ' || t.name), '1 rows', 'also to delete') FROM user_tables AS t;
RESET SESSION AUTHORIZATION;

SELECT * FROM finish();
ROLLBACK;
