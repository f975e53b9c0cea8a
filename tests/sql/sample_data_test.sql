-- sql/sample_data.sql: loads twice, keeps what was changed in between, and shows every phase.
\ir fixtures.psql
CREATE EXTENSION pgcrypto SCHEMA pgtap;
DELETE FROM public.users WHERE email = 'test@example.com';

\ir ../../sql/sample_data.sql
\set sample '''123e4567-e89b-12d3-a456-426614174000'''
SELECT is((SELECT u.email || ', ' || u.full_name FROM public.users AS u WHERE u.id = :sample),
	'test@example.com, Test User',
	'the sample user');
-- pgcrypto knows this bcrypt by its older name.
SELECT ok(u.password_hash ~ '^\$2b\$12\$.{53}$'
		AND crypt('testpass123', h.hash) = h.hash AND crypt('testpass124', h.hash) <> h.hash,
	'whose password is testpass123')
FROM public.users AS u, LATERAL (SELECT replace(u.password_hash, '$2b$', '$2a$')) AS h (hash) WHERE u.id = :sample;
SELECT results_eq(
	format('SELECT a.status::text FROM public.applications AS a WHERE a.user_id = %L GROUP BY a.status
		HAVING count(*) > 1 ORDER BY a.status', :sample),
	ARRAY['draft', 'research_complete', 'resume_ready', 'cover_letter_ready'], 'applications in every phase');
SELECT is((SELECT count(*) FROM public.applications WHERE user_id = :sample), 12::bigint, 'a dozen');
SELECT is((SELECT count(*) FROM public.user_resumes WHERE user_id = :sample AND is_primary), 1::bigint,
	'a primary resume');
SELECT is_empty(format('SELECT a.name FROM public.applications AS a WHERE a.user_id = %L AND (a.updated_at >= now()
		OR a.updated_at IS DISTINCT FROM greatest(a.created_at,
			(SELECT max(d.updated_at) FROM public.documents AS d WHERE d.application_id = a.id)))', :sample),
	'each last touched with its last document');
SELECT is_empty(format('SELECT a.name FROM public.applications AS a WHERE a.user_id = %L
		AND a.name !~ (''^[a-z0-9_]+_'' || to_char(a.created_at AT TIME ZONE ''UTC'',
			''YYYY_MM_DD'') || ''$'')', :sample),
	'each named as the product names them');

SELECT id AS deleted FROM public.applications WHERE user_id = :sample LIMIT 1 \gset
DELETE FROM public.applications WHERE id = :'deleted';
UPDATE public.users SET full_name = 'Changed' WHERE id = :sample;
\ir ../../sql/sample_data.sql
SELECT is((SELECT count(*) FROM public.applications WHERE user_id = :sample), 11::bigint,
	'a second run brings nothing back');
SELECT is((SELECT u.full_name FROM public.users AS u WHERE u.id = :sample), 'Changed', 'nor changes anything');
DELETE FROM public.users WHERE id = :sample;
INSERT INTO public.users (email, password_hash, full_name) VALUES ('test@example.com', 'hash', 'Somebody');
SELECT lives_ok($$SELECT 1$$, 'with the address taken by another user');
\ir ../../sql/sample_data.sql
SELECT is((SELECT count(*) FROM public.users WHERE id = :sample), 0::bigint,
	'with the address taken by somebody else, nothing is done');

SELECT * FROM finish();
ROLLBACK;
