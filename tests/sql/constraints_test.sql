-- Each constraint refuses what it should, under its own name, and lets the next thing by.
\ir fixtures.psql

INSERT INTO public.documents (user_id, id, application_id, document_type, content)
VALUES (:user_a, :application_a, :application_a, 'research_report', 'A report of some length');
INSERT INTO public.document_embeddings (user_id, document_id, embedding)
VALUES (:user_a, :application_a, array_fill(0.5, ARRAY[1536])::public.vector);
INSERT INTO public.user_resumes (user_id, name, content, is_primary) VALUES (:user_a, 'First', repeat('x', 100), true);

-- Users, as whom only jobforge.register() inserts

SET SESSION AUTHORIZATION jobforge_app;
SELECT is(constraint_of(format('SELECT * FROM jobforge.register(%L, %L, %L)', s.email, 'hash', s.name)), s.refused,
	format('register(%s..., %s...)', rtrim(left(s.email, 20), E'\n'), left(s.name, 10)))
FROM (VALUES
	('new@fixture.example', 'New', NULL),
	('a.b+c%d-e_f@sub.fixture.example', 'New', NULL),
	(repeat('x', 240) || '@fixture.com', 'New', NULL),
	('new@fixture.example', repeat('n', 255), NULL),
	('a@fixture.example', 'New', 'users_email_key'),
	('A@Fixture.EXAMPLE', 'New', 'users_email_key'),
	('', 'New', 'email_format'),
	('new', 'New', 'email_format'),
	('new@fixture', 'New', 'email_format'),
	('new@fixture.e', 'New', 'email_format'),
	('new@@fixture.example', 'New', 'email_format'),
	('new @fixture.example', 'New', 'email_format'),
	('new@fixture.example' || E'\n', 'New', 'email_format'),
	('nëw@fixture.example', 'New', 'email_format'),
	('new@fixture.example', '', 'name_not_empty'),
	('new@fixture.example', '   ', 'name_not_empty'),
	(repeat('x', 250) || '@fixture.com', 'New', '22001 value too long for type character varying(255)'),
	('new@fixture.example', repeat('n', 256), '22001 value too long for type character varying(255)'),
	('new@fixture.example', NULL, 'full_name is null'),
	(NULL, 'New', 'email is null')
) AS s (email, name, refused);

-- Tables that the workers write

SELECT set_config('app.current_user_id', :user_a, true) \g /dev/null
SELECT is(
	constraint_of(format('INSERT INTO public.applications (name, company_name, role_title, job_description, job_url,
		location, priority_level) VALUES (%L, %L, %L, %L, %L, %L, %L)', coalesce(s.name, 'n'), s.company, s.role,
		s.description, s.url, 'l', coalesce(s.priority, 'low'))),
	s.refused, 'application: ' || s.what)
FROM (VALUES
	('the least', NULL, 'c', 'r', repeat('x', 50), NULL, NULL, NULL),
	('the most', repeat('n', 255), repeat('c', 255), repeat('r', 255), repeat('ü', 100000), 'http://a.b', 'high',
		NULL),
	('company is empty', NULL, '', 'r', repeat('x', 50), NULL, NULL, 'company_name_not_empty'),
	('company is blank', NULL, '  ', 'r', repeat('x', 50), NULL, NULL, 'company_name_not_empty'),
	('no company', NULL, NULL, 'r', repeat('x', 50), NULL, NULL, 'company_name is null'),
	('role is empty', NULL, 'c', '', repeat('x', 50), NULL, NULL, 'role_title_not_empty'),
	('role is blank', NULL, 'c', ' ', repeat('x', 50), NULL, NULL, 'role_title_not_empty'),
	('no role', NULL, 'c', NULL, repeat('x', 50), NULL, NULL, 'role_title is null'),
	('description of 49 characters', NULL, 'c', 'r', repeat('ü', 49), NULL, NULL, 'job_description_min_length'),
	('no description', NULL, 'c', 'r', NULL, NULL, NULL, 'job_description is null'),
	('https', NULL, 'c', 'r', repeat('x', 50), 'HTTPS://jobs.example/1?a=b#c', NULL, NULL),
	('ftp', NULL, 'c', 'r', repeat('x', 50), 'ftp://jobs.example', NULL, 'valid_job_url'),
	('no host', NULL, 'c', 'r', repeat('x', 50), 'https:///x', NULL, 'valid_job_url'),
	('a script', NULL, 'c', 'r', repeat('x', 50), 'javascript:alert(1)//http://x.y', NULL, 'valid_job_url'),
	('two lines', NULL, 'c', 'r', repeat('x', 50), E'https://a.b\nhttps://c.d', NULL, 'valid_job_url'),
	('unknown priority', NULL, 'c', 'r', repeat('x', 50), NULL, 'urgent',
		'22P02 invalid input value for enum public.priority_level_type: "urgent"'),
	('name of 256', repeat('n', 256), 'c', 'r', repeat('x', 50), NULL, NULL,
		'22001 value too long for type character varying(255)'),
	('company of 256', NULL, repeat('c', 256), 'r', repeat('x', 50), NULL, NULL,
		'22001 value too long for type character varying(255)')
) AS s (what, name, company, role, description, url, priority, refused);

SELECT is(
	constraint_of(format('INSERT INTO public.documents (application_id, document_type, content) VALUES (%L, %L, %L)',
		s.application, s.type, s.content)),
	s.refused, 'document: ' || s.what)
FROM (VALUES
	('ten characters', :application_a, 'optimized_resume', repeat('ü', 10), NULL),
	('nine characters', :application_a, 'optimized_resume', repeat('ü', 9), 'content_min_length'),
	('no content', :application_a, 'optimized_resume', NULL, 'content is null'),
	('a second of its type', :application_a, 'research_report', repeat('x', 10), 'unique_document_per_application'),
	('no application', NULL, 'optimized_resume', repeat('x', 10), 'application_id is null'),
	('unknown application', :user_a, 'optimized_resume', repeat('x', 10), 'documents_application_id_fkey'),
	('no type', :application_a, NULL, repeat('x', 10), 'document_type is null'),
	('unknown type', :application_a, 'essay', repeat('x', 10),
		'22P02 invalid input value for enum public.document_type_enum: "essay"')
) AS s (what, application, type, content, refused);

SELECT is(
	constraint_of(format('INSERT INTO public.user_resumes (name, content, focus_area, is_primary)
		VALUES (%L, %L, %L, %L)',
		s.name, s.content, s.area, s.is_primary)),
	s.refused, 'resume: ' || s.what)
FROM (VALUES
	('a hundred characters', 'n', repeat('ü', 100), 'data_science', false, NULL),
	('ninety-nine', 'n', repeat('ü', 99), 'other', false, 'resume_content_min_length'),
	('name is empty', '', repeat('x', 100), 'other', false, 'resume_name_not_empty'),
	('name is blank', ' ', repeat('x', 100), 'other', false, 'resume_name_not_empty'),
	('no name', NULL, repeat('x', 100), 'other', false, 'name is null'),
	('no content', 'n', NULL, 'other', false, 'content is null'),
	('a second primary', 'n', repeat('x', 100), 'other', true, NULL),
	('unknown area', 'n', repeat('x', 100), 'fishing', false,
		'22P02 invalid input value for enum public.focus_area_type: "fishing"')
) AS s (what, name, content, area, is_primary, refused);

INSERT INTO public.user_resumes (name, content) VALUES ('Second', repeat('x', 100)), ('Third', repeat('x', 100));
SELECT is((SELECT count(*) FROM public.user_resumes WHERE NOT is_primary), 2::bigint,
	'any number of resumes is not primary');
RESET SESSION AUTHORIZATION;
SAVEPOINT triggers;
-- What the triggers keep is a constraint of its own: without them there are not two either.
ALTER TABLE public.user_resumes DISABLE TRIGGER USER;
SET SESSION AUTHORIZATION jobforge_app;
SELECT is(constraint_of('UPDATE public.user_resumes SET is_primary = true; SET CONSTRAINTS ALL IMMEDIATE'),
	'unique_primary_resume', 'two primary resumes, when the transaction ends');
RESET SESSION AUTHORIZATION;
ROLLBACK TO triggers;
SET SESSION AUTHORIZATION jobforge_app;

INSERT INTO public.documents (application_id, document_type, content)
VALUES (:application_a, 'optimized_resume', 'A resume of some length');
SELECT is(
	constraint_of(format('INSERT INTO public.document_embeddings (document_id, embedding)
		VALUES (%s, %s::public.vector)', s.document, s.embedding)),
	s.refused, 'embedding: ' || s.what)
FROM (SELECT '(SELECT id FROM public.documents WHERE document_type = ''optimized_resume'')' AS resume,
		'(SELECT id FROM public.documents WHERE document_type = ''research_report'')' AS report,
		'array_fill(0.5::real, ARRAY[1536])' AS vector) AS d
CROSS JOIN LATERAL (VALUES
	('1536 numbers', d.resume, d.vector, NULL),
	('1535', d.resume, 'array_fill(0.5::real, ARRAY[1535])', '22000 expected 1536 dimensions, not 1535'),
	('3072', d.resume, 'array_fill(0.5::real, ARRAY[3072])', '22000 expected 1536 dimensions, not 3072'),
	('none', d.resume, 'NULL', 'embedding is null'),
	('not a number', d.resume, 'array_fill(''NaN''::real, ARRAY[1536])', '22000 NaN not allowed in vector'),
	('infinite', d.resume, 'array_fill(''Infinity''::real, ARRAY[1536])', '22000 infinite value not allowed in vector'),
	('a second of its document', d.report, d.vector, 'unique_embedding_per_document'),
	('unknown document', quote_literal(:user_a), d.vector, 'document_embeddings_document_id_fkey'),
	('no document', 'NULL', d.vector, 'document_id is null')
) AS s (what, document, embedding, refused);

SELECT is(
	constraint_of(format('INSERT INTO jobforge.idempotency_keys (key, request_hash, status, body)
		VALUES (%L, sha256(%L), 201, %L)', s.key, '', '')),
	s.refused, 'idempotency key: ' || s.what)
FROM (VALUES ('one character', 'k', NULL), ('255', repeat('k', 255), NULL), ('256', repeat('k', 256), 'key_length'),
	('empty', '', 'key_length')) AS s (what, key, refused);
SELECT is(constraint_of($$INSERT INTO jobforge.idempotency_keys (key, request_hash, status, body)
	VALUES ('k', 'short', 201, '')$$), 'request_hash_is_sha256', 'a request is known by its SHA-256');
RESET SESSION AUTHORIZATION;

-- What only the database may write

SELECT is(constraint_of(s.statement), s.refused, regexp_replace(s.statement, '\s+', ' ', 'g'))
FROM (VALUES
	('UPDATE public.applications SET research_completed = false, resume_optimized = true', 'resume_requires_research'),
	('UPDATE public.applications SET research_completed = true, resume_optimized = false,
		cover_letter_generated = true',
		'cover_letter_requires_resume'),
	('UPDATE public.applications SET research_completed = true, resume_optimized = true, cover_letter_generated = true',
		NULL),
	('UPDATE public.applications SET status = NULL', 'status is null'),
	('UPDATE public.applications SET user_id = ''bbbbbbbb-0000-4000-8000-000000000000''
		WHERE id = ''aaaaaaaa-0000-4000-8000-000000000001''', 'documents_application_id_fkey'),
	('UPDATE public.documents SET user_id = ''bbbbbbbb-0000-4000-8000-000000000000''
		WHERE document_type = ''optimized_resume'' AND user_id = ''aaaaaaaa-0000-4000-8000-000000000000''',
		'documents_application_id_fkey'),
	('UPDATE public.document_embeddings SET user_id = ''bbbbbbbb-0000-4000-8000-000000000000''',
		'document_embeddings_document_id_fkey'),
	('UPDATE public.applications SET user_id = ''cccccccc-0000-4000-8000-000000000000''
		WHERE id = ''bbbbbbbb-0000-4000-8000-000000000001''', 'applications_user_id_fkey'),
	('UPDATE public.user_resumes SET user_id = ''cccccccc-0000-4000-8000-000000000000'' WHERE name = ''First''',
		'user_resumes_user_id_fkey'),
	('INSERT INTO jobforge.refresh_tokens (user_id, token_hash, family_id, expires_at)
		VALUES (''aaaaaaaa-0000-4000-8000-000000000000'', ''short'', gen_random_uuid(),
			now())', 'token_hash_is_sha256'),
	('INSERT INTO jobforge.refresh_tokens (user_id, token_hash, family_id, expires_at)
		VALUES (''aaaaaaaa-0000-4000-8000-000000000000'', sha256(''''), gen_random_uuid(), now())',
		'refresh_tokens_family_id_fkey'),
	('INSERT INTO jobforge.refresh_families (user_id, expires_at)
		VALUES (''cccccccc-0000-4000-8000-000000000000'', now())', 'refresh_families_user_id_fkey'),
	('INSERT INTO jobforge.idempotency_keys (user_id, key, request_hash, status, body)
		VALUES (''cccccccc-0000-4000-8000-000000000000'', ''k'', sha256(''''), 201,
			'''')', 'idempotency_keys_user_id_fkey')
) AS s (statement, refused);

-- The trigger stores addresses in lower case; the constraint is for writers whose triggers are off (a restore).
SET LOCAL session_replication_role = replica;
SELECT is(constraint_of('UPDATE public.users SET email = ''A@fixture.example'' WHERE email = ''a@fixture.example'''),
	'email_lower_case', 'no address is stored with a capital');

SELECT * FROM finish();
ROLLBACK;
