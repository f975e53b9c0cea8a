-- get_current_user_id, user_owns_application, generate_application_name, and what full-text search reads.
\ir fixtures.psql
SET SESSION AUTHORIZATION jobforge_app;

SELECT is(public.get_current_user_id(), NULL, 'no user when none was set');
SELECT is(public.user_owns_application(:application_a), false, 'then nobody owns anything');
SELECT set_config('app.current_user_id', '', true) \g /dev/null
SELECT is(public.get_current_user_id(), NULL, 'no user when the setting is empty');
SELECT is(public.user_owns_application(:application_a), false, 'then too nobody owns anything');
SELECT set_config('app.current_user_id', 'no uuid', true) \g /dev/null
SELECT throws_ok('SELECT public.get_current_user_id()', '22P02', NULL, 'garbage is an error, not a user');
SELECT set_config('app.current_user_id', :user_a, true) \g /dev/null
SELECT is(public.get_current_user_id(), :user_a::uuid, 'the user of this transaction');
SAVEPOINT before;
SELECT set_config('app.current_user_id', :user_b, true) \g /dev/null
ROLLBACK TO before;
SELECT is(public.get_current_user_id(), :user_a::uuid, 'and of its savepoint, again');

SELECT is(public.user_owns_application(:application_a), true, 'A owns the application of A');
SELECT is(public.user_owns_application(:application_b), false, 'and not that of B');
SELECT is(public.user_owns_application(gen_random_uuid()), false, 'nor one that does not exist');
SELECT is(public.user_owns_application(NULL), false, 'nor NULL');

-- Names

SELECT is(public.generate_application_name(n.company, n.role)::text,
	n.name || '_' || to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM_DD'), format('name of %s, %s', n.company, n.role))
FROM (VALUES
	('Google', 'Senior Developer', 'google_senior_developer'),
	('Müller & Söhne', 'C/C++ Engineer (m/f/d)', 'm_ller___s_hne_c_c___engineer__m_f_d_'),
	('INTEL', 'I', 'intel_i'),
	('', '', '_'),
	(E'Robert\'); DROP TABLE users;--', 'x', 'robert____drop_table_users____x'),
	('株式会社', '開発者', '________')
) AS n (company, role, name);
SELECT is(length(public.generate_application_name(repeat('c', n.company), repeat('r', n.role))), n.length,
	format('length of a name of %s and %s', n.company, n.role))
FROM (VALUES (1, 1, 14), (255, 255, 254), (255, 1, 255), (1, 255, 255), (255, 121, 255), (122, 121, 255),
	(121, 122, 255),
	(122, 122, 254), (121, 121, 254), (243, 0, 255), (244, 0, 255), (0, 255, 255)) AS n (company, role, length);
SELECT is(public.generate_application_name(repeat('c', 255), repeat('r', 20))::text,
	repeat('c', 223) || '_' || repeat('r', 20) || '_' || to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM_DD'),
	'a short role is kept whole');
SELECT is(public.generate_application_name(NULL, 'r'), NULL, 'no company, no name');
-- 14 hours ahead and 12 behind: at any time one of them has another date.
SELECT is(public.generate_application_name('a', 'b')::text, 'a_b_' || to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM_DD'),
	'the date is that of UTC in ' || c.zone)
FROM (VALUES ('Pacific/Kiritimati'), ('Etc/GMT+12')) AS z (zone),
	LATERAL set_config('TimeZone', z.zone, true) AS c (zone);
SET LOCAL TimeZone = 'UTC';

-- Search

SELECT is(jobforge.search_vector(t.text) @@ jobforge.search_query(t.query), t.found,
	format('"%s" in "%s"', t.query, t.text))
FROM (VALUES
	('We build CI/CD pipelines', 'ci', true),
	('We build CI/CD pipelines', 'CI/CD', true),
	('We build CI/CD pipelines', 'pipeline', true),
	('We build CI/CD pipelines', 'building', true),
	('We build CI/CD pipelines', 'Kubernetes', false),
	('We build CI/CD pipelines', 'ci kubernetes', false),
	('Knows snake_case names', 'snake', true),
	('Knows snake_case names', 'snake_case', true),
	('<p>Remote</p><!-- hidden -->', 'remote', true),
	('A state-of-the-art team', 'state-of-the-art', true),
	('Größe zählt', 'größe', true),
	('any', '', false),
	('any', '!!! & | ( '' : *', false),
	('any', 'the', false)
) AS t (text, query, found);
SELECT is(jobforge.search_vector(NULL), NULL, 'nothing of nothing');

-- Half a mebibyte of anything is stored, and soon. Of text with more words than a tsvector holds the beginning is
-- found. Some of these are known to make PostgreSQL's parser go back and forth, for minutes each.
INSERT INTO public.user_resumes (name, content)
SELECT t.name, left('beginning ' || t.text, t.characters) FROM (VALUES
	('words', (SELECT string_agg(to_hex(i) || '-' || to_hex(i) || 'g-' || to_hex(i) || 'h', ' ')
		FROM generate_series(1, 40000) AS i), 524288),
	('addresses', (SELECT string_agg(format('a%s.b%s?c', to_hex(i), to_hex(i)), ' ')
		FROM generate_series(1, 50000) AS i), 524288),
	('characters',
		(SELECT string_agg(chr(19968 + i % 20000) || '-' || chr(19968 + i / 20000) || chr(19968 + i * 7 % 20000), ' ')
		FROM generate_series(1, 60000) AS i), 238000),
	('underscores', repeat('a_', 262144), 524288),
	('comments', repeat('<!--', 131072), 524288),
	('paths', repeat('./', 262144), 524288),
	('homes', repeat('~/', 262144), 524288),
	('one word', repeat('x', 524288), 524288),
	('one megabyte', repeat('hyphen-ated ', 87381), 1048576)
) AS t (name, text, characters);
SELECT is((SELECT array_agg(r.name ORDER BY r.name) FROM public.user_resumes AS r
		WHERE r.search @@ jobforge.search_query('beginning') AND octet_length(r.content) BETWEEN 400000 AND 1048576),
	ARRAY['addresses', 'characters', 'comments', 'homes', 'one megabyte', 'one word', 'paths', 'underscores',
		'words']::varchar[],
	'large texts are stored and found');
SELECT cmp_ok((SELECT max(pg_column_size(r.search)) FROM public.user_resumes AS r), '>', 800000,
	'as much of them as a tsvector holds');
SELECT is((SELECT a.search FROM public.applications AS a), jobforge.search_vector(
	(SELECT a.job_description FROM public.applications AS a)), 'an application is found by its description');
UPDATE public.applications SET job_description = 'The description has been replaced by one about beekeeping in town';
SELECT is((SELECT a.search @@ jobforge.search_query('beekeeping') FROM public.applications AS a), true,
	'also when it has changed');
RESET SESSION AUTHORIZATION;

SELECT * FROM finish();
ROLLBACK;
