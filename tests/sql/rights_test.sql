-- Who may do what: roles, ownership, column rights, functions, and that row level security is forced.
\ir fixtures.psql

-- Roles

SELECT is(
	(SELECT concat_ws(' ', CASE WHEN rolcanlogin THEN 'login' END, CASE WHEN rolbypassrls THEN 'bypassrls' END,
			CASE WHEN rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication THEN 'too much' END)
		FROM pg_roles WHERE rolname = r.name),
	r.attributes, 'role ' || r.name)
FROM (VALUES ('jobforge_owner', ''), ('jobforge_app', 'login'), ('jobforge_auth', 'bypassrls'),
	('jobforge_backup', 'login bypassrls')) AS r (name, attributes);
SELECT is_empty($$SELECT roleid::regrole FROM pg_auth_members WHERE member = 'jobforge_app'::regrole$$,
	'jobforge_app is a member of no role');
SELECT is((SELECT setconfig FROM pg_db_role_setting WHERE setdatabase = 0 AND setrole = 'jobforge_app'::regrole)
		@> ARRAY[s.setting], true, 'jobforge_app has ' || s.setting)
FROM (VALUES ('plan_cache_mode=force_generic_plan'), ('jit=off'), ('enable_seqscan=off'), ('TimeZone=UTC'),
	('DateStyle=ISO'), ('search_path=""'), ('client_min_messages=warning'), ('idle_in_transaction_session_timeout=10s'),
	('lock_timeout=4s')) AS s (setting);

-- Ownership: pg_shdepend lists everything that a role owns in this database.

SELECT is_empty($$
	SELECT classid::regclass, objid FROM pg_shdepend
	WHERE refclassid = 'pg_authid'::regclass AND refobjid IN ('jobforge_app'::regrole, 'jobforge_backup'::regrole)
		AND deptype = 'o'
$$, 'jobforge_app and jobforge_backup own nothing, in any database');
SELECT is_empty($$
	SELECT oid::regclass FROM pg_class
	WHERE relnamespace IN ('public'::regnamespace, 'jobforge'::regnamespace) AND relowner <> 'jobforge_owner'::regrole
$$, 'every table and index belongs to jobforge_owner');
SELECT is_empty($$
	SELECT classid::regclass, objid FROM pg_shdepend
	WHERE refclassid = 'pg_authid'::regclass AND refobjid = 'jobforge_auth'::regrole AND deptype = 'o'
		AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND classid <> 'pg_proc'::regclass
		AND classid <> 'pg_default_acl'::regclass
$$, 'jobforge_auth owns functions alone');

-- Row level security, for every table that holds a user's data

SELECT cmp_ok((SELECT count(*) FROM user_tables), '>=', 8::bigint, 'the tables with user data are found');
SELECT ok(c.relrowsecurity AND c.relforcerowsecurity, 'row level security is enabled and forced on ' || t.name)
FROM user_tables AS t JOIN pg_class AS c ON c.oid = t.oid;
SELECT is(
	(SELECT string_agg(format('%s %s for %s to %s using %s check %s', p.polname,
			CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END, p.polcmd, p.polroles,
			pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)), ', ')
		FROM pg_policy AS p WHERE p.polrelid = t.oid),
	format('%s permissive for * to {0} using %s check %s', n.policy, e.rule, e.rule),
	'one policy for all verbs on ' || t.name)
FROM user_tables AS t
LEFT JOIN (VALUES ('public.users', 'users_own_data'), ('public.applications', 'applications_user_access'),
	('public.documents', 'documents_user_access'), ('public.user_resumes', 'user_resumes_access'),
	('public.document_embeddings', 'document_embeddings_access')) AS named (relation, policy) ON named.relation = t.name
CROSS JOIN LATERAL (SELECT coalesce(named.policy, t."table" || '_user_access')) AS n (policy)
CROSS JOIN LATERAL (SELECT format('(%s = ( SELECT public.get_current_user_id() AS get_current_user_id))',
	t.owner_column)) AS e (rule);
SET LOCAL ROLE pg_monitor; -- any role that was granted nothing here
SELECT is(attempt(NULL, 'SELECT FROM ' || t.name), '42501', 'PUBLIC has no right on ' || t.name) FROM user_tables AS t;
RESET ROLE;

-- Functions

SELECT is_empty($$
	SELECT p.oid::regprocedure FROM pg_proc AS p
	CROSS JOIN aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
	WHERE p.pronamespace IN ('public'::regnamespace, 'jobforge'::regnamespace) AND a.grantee = 0
		AND NOT EXISTS (SELECT FROM pg_depend AS d
			WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
$$, 'no function of ours may be executed by PUBLIC');
SELECT is_empty($$
	SELECT p.oid::regprocedure FROM pg_proc AS p
	WHERE p.pronamespace IN ('public'::regnamespace, 'jobforge'::regnamespace) AND p.prosecdef
		AND NOT (coalesce(p.proconfig, '{}') @> ARRAY['search_path=pg_catalog, pg_temp']
			AND p.proowner IN ('jobforge_auth'::regrole, 'jobforge_owner'::regrole))
$$, 'every SECURITY DEFINER function has a fixed search_path and belongs to a role that cannot log in');
SELECT is_empty($$
	SELECT p.oid::regprocedure FROM pg_proc AS p
	JOIN pg_language AS l ON l.oid = p.prolang
	WHERE p.pronamespace IN ('public'::regnamespace, 'jobforge'::regnamespace) AND l.lanname IN ('sql', 'plpgsql')
		AND coalesce(p.proconfig, '{}') @> ARRAY['search_path=pg_catalog, pg_temp'] IS FALSE
		AND p.prosqlbody IS NULL
$$, 'every other function has one too, or a body that was parsed when it was made');
SELECT results_eq($$
	SELECT p.oid::regprocedure::text FROM pg_proc AS p
	WHERE p.pronamespace IN ('public'::regnamespace, 'jobforge'::regnamespace) AND p.prosecdef ORDER BY 1
$$, ARRAY[
	'jobforge.account_closed()',
	'jobforge.account_opened()',
	'jobforge.login_begin(text,integer,integer)',
	'jobforge.login_succeeded(text)',
	'jobforge.performance_record(text,bigint,bigint,jsonb,integer)',
	'jobforge.plans_changed()',
	'jobforge.record_applications_delete()',
	'jobforge.record_applications_insert()',
	'jobforge.record_applications_update()',
	'jobforge.record_document_embeddings_delete()',
	'jobforge.record_document_embeddings_insert()',
	'jobforge.record_document_embeddings_update()',
	'jobforge.record_documents_delete()',
	'jobforge.record_documents_insert()',
	'jobforge.record_documents_update()',
	'jobforge.record_subscriptions_delete()',
	'jobforge.record_subscriptions_insert()',
	'jobforge.record_subscriptions_update()',
	'jobforge.record_user_resumes_delete()',
	'jobforge.record_user_resumes_insert()',
	'jobforge.record_user_resumes_update()',
	'jobforge.record_users_insert()',
	'jobforge.record_users_update()',
	'jobforge.refresh_revoke(bytea)',
	'jobforge.refresh_rotate(bytea,bytea,integer,integer)',
	'jobforge.register(text,text,text)',
	'jobforge.session_open(uuid,text,text,bytea,integer)',
	'jobforge.subscription_set(uuid,text,public.subscription_status_type,timestamp with time zone,timestamp with time zone,text)',
	'jobforge.usage_recount(uuid)',
	'jobforge.usage_settle()',
	'public.update_application_phases()'
], 'these and no other functions are SECURITY DEFINER');
SELECT results_eq($$
	SELECT p.oid::regprocedure::text FROM pg_proc AS p
	WHERE p.pronamespace IN ('public'::regnamespace, 'jobforge'::regnamespace)
		AND NOT EXISTS (SELECT FROM pg_depend AS d
			WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
		AND has_function_privilege('jobforge_app', p.oid, 'EXECUTE') ORDER BY 1
$$, ARRAY[
	'jobforge.account_disabled()',
	'jobforge.idempotency_claim(text,bytea)',
	'jobforge.keep_one_primary(uuid[],uuid[],uuid[])',
	'jobforge.login_begin(text,integer,integer)',
	'jobforge.login_succeeded(text)',
	'jobforge.performance_record(text,bigint,bigint,jsonb,integer)',
	'jobforge.plan_of(uuid)',
	'jobforge.refresh_revoke(bytea)',
	'jobforge.refresh_rotate(bytea,bytea,integer,integer)',
	'jobforge.register(text,text,text)',
	'jobforge.search_any(tsquery)',
	'jobforge.search_marked(text)',
	'jobforge.search_query(text)',
	'jobforge.search_snippet(text,tsquery)',
	'jobforge.search_text(text)',
	'jobforge.search_vector(text)',
	'jobforge.search_words(tsquery)',
	'jobforge.session_open(uuid,text,text,bytea,integer)',
	'jobforge.sessions_revoke_all()',
	'jobforge.some_are_disabled()',
	'public.generate_application_name(character varying,character varying)',
	'public.get_current_user_id()',
	'public.user_owns_application(uuid)'
], 'these and no other functions are for the workers');

-- What each role may do with each column. Anything not listed, on a table of ours, is a right too many.

CREATE VIEW pgtap.column_rights AS
	SELECT c.oid::regclass::text AS relation, r.role, v.verb,
		(SELECT CASE WHEN has_table_privilege(r.role, c.oid, v.verb) THEN 'all'
			ELSE (SELECT string_agg(a.attname, ' ' ORDER BY a.attnum) FROM pg_attribute AS a
				WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND v.verb <> 'DELETE'
					AND has_column_privilege(r.role, c.oid, a.attnum, v.verb)) END) AS columns
	FROM pg_class AS c
	CROSS JOIN (VALUES ('jobforge_app'), ('jobforge_auth'), ('jobforge_backup')) AS r (role)
	CROSS JOIN (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE')) AS v (verb)
	WHERE c.relkind IN ('r', 'p') AND c.relnamespace IN ('public'::regnamespace, 'jobforge'::regnamespace);
CREATE FUNCTION pgtap.rights_of(p_role text) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT relation || ' ' || lower(verb) || ': ' || columns FROM pgtap.column_rights
	WHERE role = p_role AND columns IS NOT NULL ORDER BY relation, verb
$$;
SELECT set_eq($$SELECT * FROM rights_of('jobforge_app')$$, ARRAY[
	'jobforge.disabled_users select: user_id',
	'jobforge.idempotency_keys delete: all',
	'jobforge.idempotency_keys insert: user_id key request_hash status location etag body',
	'jobforge.idempotency_keys select: all',
	'jobforge.idempotency_keys update: status location etag body',
	'jobforge.refresh_families select: all',
	'jobforge.refresh_families update: revoked_at',
	'jobforge.schema_migrations select: all',
	'public.applications delete: all',
	'public.applications insert: user_id name company_name role_title job_url job_description location'
		|| ' priority_level created_at updated_at',
	'public.applications select: all',
	'public.applications update: name company_name role_title job_url job_description location priority_level',
	'public.document_embeddings delete: all',
	'public.document_embeddings insert: user_id document_id embedding created_at',
	'public.document_embeddings select: all',
	'public.document_embeddings update: embedding',
	'public.documents delete: all',
	'public.documents insert: user_id application_id document_type content created_at updated_at',
	'public.documents select: all',
	'public.documents update: content',
	'public.user_resumes delete: all',
	'public.user_resumes insert: user_id name content focus_area is_primary created_at updated_at',
	'public.user_resumes select: all',
	'public.user_resumes update: name content focus_area is_primary',
	'public.audit_log select: all',
	'public.plans select: all',
	'public.subscriptions select: all',
	'public.usage_tracking select: all',
	'public.users delete: all',
	'public.users select: all',
	'public.users update: email password_hash full_name'
], 'the rights of jobforge_app');
SELECT set_eq($$SELECT * FROM rights_of('jobforge_auth')$$, ARRAY[
	'jobforge.disabled_users select: user_id',
	'jobforge.login_attempts delete: all',
	'jobforge.login_attempts insert: all',
	'jobforge.login_attempts select: all',
	'jobforge.login_attempts update: all',
	'jobforge.refresh_families delete: all',
	'jobforge.refresh_families insert: all',
	'jobforge.refresh_families select: all',
	'jobforge.refresh_families update: all',
	'jobforge.refresh_tokens delete: all',
	'jobforge.refresh_tokens insert: all',
	'jobforge.refresh_tokens select: all',
	'jobforge.refresh_tokens update: all',
	'jobforge.usage_pending delete: all',
	'jobforge.usage_pending insert: all',
	'jobforge.usage_pending select: all',
	'jobforge.usage_pending update: all',
	'public.audit_log delete: all',
	'public.audit_log insert: all',
	'public.audit_log select: user_id',
	'public.document_embeddings select: user_id embedding',
	'public.plans select: all',
	'public.subscriptions insert: all',
	'public.subscriptions select: all',
	'public.subscriptions update: all',
	'public.usage_tracking insert: all',
	'public.usage_tracking select: all',
	'public.usage_tracking update: all',
	'public.user_resumes select: user_id name content',
	'public.applications select: id user_id name company_name role_title job_url job_description location status'
		|| ' research_completed resume_optimized cover_letter_generated',
	'public.applications update: status research_completed resume_optimized cover_letter_generated',
	'public.documents select: user_id application_id document_type content',
	'public.users insert: email password_hash full_name',
	'public.users select: id email password_hash full_name created_at updated_at',
	'public.users update: password_hash'
], 'the rights of jobforge_auth');
SELECT is_empty($$
	SELECT relation, verb FROM column_rights
	WHERE role = 'jobforge_backup' AND columns IS DISTINCT FROM CASE verb WHEN 'SELECT' THEN 'all' END
$$, 'jobforge_backup reads every table and writes none');
SELECT is(has_schema_privilege(r.role, s.schema, 'CREATE'), false, r.role || ' makes nothing in ' || s.schema)
FROM (VALUES ('jobforge_app'), ('jobforge_auth'), ('jobforge_backup')) AS r (role),
	(VALUES ('public'), ('jobforge')) AS s (schema);
SELECT is(has_database_privilege('jobforge_app', current_database(), p.privilege), p.granted,
	'jobforge_app and the right ' || p.privilege)
FROM (VALUES ('CONNECT', true), ('CREATE', false), ('TEMPORARY', false)) AS p (privilege, granted);

-- Tables and functions yet to come

SET LOCAL ROLE jobforge_owner;
CREATE TABLE public.later (id integer);
CREATE FUNCTION jobforge.later() RETURNS integer LANGUAGE sql RETURN 1;
RESET ROLE;
SELECT ok(has_table_privilege('jobforge_backup', 'public.later', 'SELECT'), 'a new table is in the backup');
SELECT ok(NOT has_table_privilege('jobforge_app', 'public.later', 'SELECT'), 'and not for the workers');
SELECT ok(NOT has_function_privilege('jobforge_app', 'jobforge.later()', 'EXECUTE'), 'nor is a new function');

-- The same by trying it, as the workers' role

SET SESSION AUTHORIZATION jobforge_app;
SELECT is(attempt('aaaaaaaa-0000-4000-8000-000000000000', s.statement), '42501',
	'jobforge_app may not: ' || s.statement)
FROM (VALUES
	('UPDATE public.applications SET status = ''draft'''),
	('UPDATE public.applications SET research_completed = true'),
	('UPDATE public.applications SET resume_optimized = true'),
	('UPDATE public.applications SET cover_letter_generated = true'),
	('UPDATE public.applications SET id = gen_random_uuid()'),
	('UPDATE public.applications SET user_id = ''bbbbbbbb-0000-4000-8000-000000000000'''),
	('UPDATE public.applications SET created_at = now()'),
	('UPDATE public.applications SET updated_at = now()'),
	('UPDATE public.documents SET created_at = now()'),
	('UPDATE public.documents SET updated_at = now()'),
	('UPDATE public.user_resumes SET created_at = now()'),
	('UPDATE public.user_resumes SET updated_at = now()'),
	('UPDATE public.document_embeddings SET created_at = now()'),
	('UPDATE public.documents SET application_id = ''bbbbbbbb-0000-4000-8000-000000000001'''),
	('UPDATE public.users SET id = gen_random_uuid()'),
	('INSERT INTO public.users (email, password_hash, full_name) VALUES (''c@fixture.example'', ''h'', ''C'')'),
	('INSERT INTO public.applications (status) VALUES (''draft'')'),
	('TRUNCATE public.applications'),
	('INSERT INTO public.audit_log (user_id, actor, action, table_name, row_id, changes) VALUES'
		|| ' (''aaaaaaaa-0000-4000-8000-000000000000'', ''user'', ''insert'', ''users'', gen_random_uuid(), ''{}'')'),
	('UPDATE public.audit_log SET changes = ''{}'''),
	('DELETE FROM public.audit_log'),
	('TRUNCATE public.audit_log'),
	('MERGE INTO public.audit_log AS l USING public.users AS u ON l.user_id = u.id WHEN MATCHED THEN DELETE'),
	('SELECT FROM public.audit_log FOR UPDATE'),
	('SELECT FROM public.audit_log_default'),
	('DELETE FROM public.audit_log_default'),
	('DROP TABLE public.audit_log_default'),
	('ALTER TABLE public.audit_log DETACH PARTITION public.audit_log_default'),
	('ALTER TABLE public.applications DISABLE TRIGGER record_insert'),
	('SELECT jobforge.audit_log_expire(''0'')'),
	('SELECT jobforge.audit_log_prepare(1)'),
	('SELECT jobforge.usage_recount(''aaaaaaaa-0000-4000-8000-000000000000'')'),
	('SELECT jobforge.usage_add(''aaaaaaaa-0000-4000-8000-000000000000'', 0, 0, 0, 0, -1, 0, 0, 0, 0)'),
	('SELECT jobforge.subscription_set(''aaaaaaaa-0000-4000-8000-000000000000'', ''free'', ''active'', NULL, NULL, NULL)'),
	('UPDATE public.usage_tracking SET bytes = 0'),
	('DELETE FROM public.usage_tracking'),
	('UPDATE public.plans SET bytes = NULL'),
	('INSERT INTO public.subscriptions (user_id, plan, status) VALUES'
		|| ' (''aaaaaaaa-0000-4000-8000-000000000000'', ''free'', ''active'')'),
	('UPDATE public.subscriptions SET plan = ''free'''),
	('DELETE FROM public.subscriptions'),
	('SELECT FROM jobforge.usage_pending'),
	('SELECT reason FROM jobforge.disabled_users'),
	('DELETE FROM jobforge.disabled_users'),
	('INSERT INTO jobforge.disabled_users (user_id) VALUES (''bbbbbbbb-0000-4000-8000-000000000000'')'),
	('SELECT jobforge.user_disable(''bbbbbbbb-0000-4000-8000-000000000000'', NULL)'),
	('SELECT jobforge.user_enable(''aaaaaaaa-0000-4000-8000-000000000000'')'),
	('CREATE OR REPLACE FUNCTION jobforge.some_are_disabled() RETURNS boolean LANGUAGE sql RETURN false'),
	('SELECT FROM jobforge.login_attempts'),
	('SELECT FROM jobforge.refresh_tokens'),
	('UPDATE jobforge.refresh_families SET expires_at = now()'),
	('DELETE FROM jobforge.refresh_families'),
	('UPDATE jobforge.schema_migrations SET version = 99'),
	('ALTER TABLE public.applications DISABLE ROW LEVEL SECURITY'),
	('ALTER TABLE public.applications NO FORCE ROW LEVEL SECURITY'),
	('ALTER TABLE public.documents DISABLE TRIGGER documents_update_phases'),
	('DROP POLICY applications_user_access ON public.applications'),
	('CREATE POLICY mine ON public.applications USING (true)'),
	('CREATE TABLE public.mine (id integer)'),
	('CREATE TEMPORARY TABLE mine (id integer)'),
	('CREATE FUNCTION public.mine() RETURNS integer LANGUAGE sql RETURN 1'),
	('CREATE ROLE jobforge_mine'),
	('ALTER ROLE jobforge_app BYPASSRLS'),
	('SET ROLE jobforge_owner'),
	('SET ROLE jobforge_auth'),
	('SET ROLE jobforge_backup'),
	('SET session_replication_role = replica'),
	('COPY public.users TO PROGRAM ''cat''')
) AS s (statement);
-- Not refused as such: the setting makes a statement that a policy would cut short an error.
SELECT is(attempt('aaaaaaaa-0000-4000-8000-000000000000',
	'SET LOCAL row_security = off; SELECT FROM public.applications'),
	'42501', 'row_security = off shows nothing more');
RESET SESSION AUTHORIZATION;

-- The owner is held by the policies as well; the backup role is not.
SET LOCAL ROLE jobforge_owner;
SELECT is((SELECT count(*) FROM public.applications), 0::bigint,
	'forced: the owner sees no rows without a current user');
SET LOCAL ROLE jobforge_backup;
SELECT cmp_ok((SELECT count(*) FROM public.applications), '>=', 2::bigint, 'the backup role sees all');
RESET ROLE;

SELECT * FROM finish();
ROLLBACK;
