-- The statements that the product lives on are ranges of an index, for a worker: under the policies, prepared, with the
-- generic plan and the other settings of its role.
\ir fixtures.psql

-- The conditions of the plan's scan of a table, and whether anything is sorted.
CREATE FUNCTION pgtap.plan_of(p_statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v_line text;
	v_plan text := '';
BEGIN
	FOR v_line IN EXECUTE 'EXPLAIN (COSTS OFF) EXECUTE ' || p_statement LOOP
		IF v_line ~ '(Scan|Index Cond|Recheck|Filter|Sort)' AND v_line !~ 'Sort Key' THEN
			v_plan := v_plan || regexp_replace(v_line, '^[ ]*(->)?[ ]*', '') || E'\n';
		END IF;
	END LOOP;
	v_plan := replace(v_plan, '(company_name)::text', 'company_name');
	v_plan := rtrim(regexp_replace(v_plan, ' \(?InitPlan \d+\)?\.col1| \$0(?=\))', ' me', 'g'), E'\n');
	-- Which of two unique indexes it is makes no difference.
	v_plan := regexp_replace(v_plan,
		'^Index Scan using \w+_pkey on (\w+) \w+\nIndex Cond: \(id = \$1\)\nFilter: \(user_id = me\)$',
		'one row of \1 by its id');
	RETURN regexp_replace(v_plan,
		'^Index Scan using \w+_id_user_id_key on (\w+) \w+\nIndex Cond: \(\(id = \$1\) AND \(user_id = me\)\)$',
		'one row of \1 by its id');
END
$$;

CREATE VIEW pgtap.calls AS
	SELECT p.name, p.call, concat_ws(E'\n', p.scan, 'Index Cond: ' || p.condition) AS plan
	FROM (VALUES
		('the newest', 'newest(20, 0)',
			'Index Scan Backward using idx_applications_created_at on applications a', '(user_id = me)'),
		('the page after', format('older(now(), %L, 20)', gen_random_uuid()),
			'Index Scan Backward using idx_applications_created_at on applications a',
			'((user_id = me) AND (ROW(created_at, id) < ROW($1, $2)))'),
		('the page after, from the oldest', format('newer(now(), %L, 20)', gen_random_uuid()),
			'Index Scan using idx_applications_created_at on applications a',
			'((user_id = me) AND (ROW(created_at, id) > ROW($1, $2)))'),
		('by company', 'companies(20, 0)',
			'Index Scan using idx_applications_company_name on applications a', '(user_id = me)'),
		('by company, the page after', format('companies_after(%L, %L, 20)', 'M', gen_random_uuid()),
			'Index Scan using idx_applications_company_name on applications a',
			'((user_id = me) AND (ROW(company_name, id) > ROW($1, $2)))'),
		('by company, descending, the page after', format('companies_before(%L, %L, 20)', 'M', gen_random_uuid()),
			'Index Scan Backward using idx_applications_company_name on applications a',
			'((user_id = me) AND (ROW(company_name, id) < ROW($1, $2)))'),
		('one application', format('application(%L)', gen_random_uuid()), 'one row of applications by its id', NULL),
		('deleting one', format('delete_application(%L)', gen_random_uuid()), 'one row of applications by its id',
			NULL),
		('one document', format('document(%L)', gen_random_uuid()), 'one row of documents by its id', NULL),
		('all documents', 'documents(20)',
			'Index Scan Backward using idx_documents_updated_at on documents d', '(user_id = me)'),
		('the most similar', format('nearest(%L)', array_fill(1, ARRAY[1536])::public.vector),
			E'Sort\nIndex Scan using idx_document_embeddings_user_id on document_embeddings e', '(user_id = me)'),
		('one resume', format('resume(%L)', gen_random_uuid()), 'one row of user_resumes by its id', NULL),
		('the user', 'me', 'Index Scan using users_pkey on users u', '(id = me)')
	) AS p (name, call, scan, condition);
GRANT SELECT ON calls TO PUBLIC;

SET SESSION AUTHORIZATION jobforge_app;
-- As ALTER ROLE has it for a session that begins as jobforge_app, which this one did not.
SELECT count(set_config(split_part(s.setting, '=', 1), split_part(s.setting, '=', 2), true))
FROM pg_db_role_setting AS r, unnest(r.setconfig) AS s (setting)
WHERE r.setdatabase = 0 AND r.setrole = 'jobforge_app'::regrole AND s.setting !~ '^search_path=' \g /dev/null
SELECT set_config('app.current_user_id', :user_a, true) \g /dev/null
PREPARE newest (integer, integer) AS
	SELECT a.id, a.name, a.status, a.created_at FROM public.applications AS a
	ORDER BY a.created_at DESC, a.id DESC LIMIT $1 OFFSET $2;
PREPARE older (timestamptz, uuid, integer) AS
	SELECT a.id, a.name, a.status, a.created_at FROM public.applications AS a
	WHERE (a.created_at, a.id) < ($1, $2) ORDER BY a.created_at DESC, a.id DESC LIMIT $3;
PREPARE newer (timestamptz, uuid, integer) AS
	SELECT a.id, a.name, a.status, a.created_at FROM public.applications AS a
	WHERE (a.created_at, a.id) > ($1, $2) ORDER BY a.created_at, a.id LIMIT $3;
PREPARE companies (integer, integer) AS
	SELECT a.id, a.name, a.status, a.created_at FROM public.applications AS a
	ORDER BY a.company_name COLLATE "und-x-icu", a.id LIMIT $1 OFFSET $2;
PREPARE companies_after (text, uuid, integer) AS
	SELECT a.id, a.name, a.status, a.created_at FROM public.applications AS a
	WHERE (a.company_name COLLATE "und-x-icu", a.id) > ($1, $2)
	ORDER BY a.company_name COLLATE "und-x-icu", a.id LIMIT $3;
PREPARE companies_before (text, uuid, integer) AS
	SELECT a.id, a.name, a.status, a.created_at FROM public.applications AS a
	WHERE (a.company_name COLLATE "und-x-icu", a.id) < ($1, $2)
	ORDER BY a.company_name COLLATE "und-x-icu" DESC, a.id DESC LIMIT $3;
PREPARE application (uuid) AS SELECT a.* FROM public.applications AS a WHERE a.id = $1;
PREPARE delete_application (uuid) AS DELETE FROM public.applications AS a WHERE a.id = $1 RETURNING a.id;
PREPARE document (uuid) AS SELECT d.* FROM public.documents AS d WHERE d.id = $1;
PREPARE documents (integer) AS
	SELECT d.id, d.document_type FROM public.documents AS d ORDER BY d.updated_at DESC, d.id DESC LIMIT $1;
PREPARE nearest (public.vector) AS
	SELECT e.document_id FROM public.document_embeddings AS e
	ORDER BY (e.embedding OPERATOR(public.<#>) $1) / e.norm, e.document_id LIMIT 10;
PREPARE resume (uuid) AS SELECT r.* FROM public.user_resumes AS r WHERE r.id = $1;
PREPARE me AS SELECT u.* FROM public.users AS u;

SELECT doesnt_match(plan_of(c.call), 'Seq Scan', c.name || ': no scan of a whole table, whatever its statistics')
	FROM calls AS c;
RESET SESSION AUTHORIZATION;

-- 300 users with 20 applications and one with 2,000, each fourth with a document, and statistics

SET LOCAL session_replication_role = replica;
INSERT INTO public.users (id, email, password_hash, full_name)
SELECT ('cccccccc-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid, 'c' || i || '@fixture.example', 'hash', 'User C'
FROM generate_series(1, 300) AS i;
INSERT INTO public.applications (user_id, name, company_name, role_title, job_description, created_at)
SELECT u.id, 'n', 'Company ' || (i * 7919 % 997), 'r', repeat('some words about a job ', 20),
	now() - i * interval '1 hour'
FROM public.users AS u, generate_series(1, CASE u.id WHEN :user_a THEN 2000 ELSE 20 END) AS i;
INSERT INTO public.documents (user_id, application_id, document_type, content, updated_at)
SELECT a.user_id, a.id, 'research_report', repeat('some words about a company ', 20), a.created_at
FROM public.applications AS a WHERE a.company_name ~ '[05]$'
ON CONFLICT DO NOTHING;
INSERT INTO public.document_embeddings (user_id, document_id, embedding)
SELECT d.user_id, d.id, array_fill(1, ARRAY[1536])::public.vector FROM public.documents AS d
ON CONFLICT DO NOTHING;
INSERT INTO public.user_resumes (user_id, name, content)
SELECT u.id, 'Resume ' || i, repeat('some words about somebody ', 10) 
FROM public.users AS u, generate_series(1, 4) AS i;
SET LOCAL session_replication_role = origin;
ANALYZE public.users, public.applications, public.documents, public.document_embeddings, public.user_resumes;
SET SESSION AUTHORIZATION jobforge_app;
SELECT cmp_ok((SELECT count(*) FROM public.applications), '>=', 2000::bigint, 'the tables are full now');
SELECT is(plan_of(c.call), c.plan, c.name) FROM calls AS c;
RESET SESSION AUTHORIZATION;

SELECT * FROM finish();
ROLLBACK;
