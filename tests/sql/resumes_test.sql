-- Whoever has a resume has exactly one primary resume, whatever is done to them.
\ir fixtures.psql

-- The resumes that the current role sees, by name, the primary ones marked.
CREATE FUNCTION pgtap.resumes() RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(r.name || CASE WHEN r.is_primary THEN '*' ELSE '' END, ' ' ORDER BY r.name)
	FROM public.user_resumes AS r
$$;
-- Does something to them, says what came of it, and undoes it.
CREATE FUNCTION pgtap.after(p_statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v_resumes text;
BEGIN
	EXECUTE p_statement;
	SET CONSTRAINTS ALL IMMEDIATE;
	v_resumes := pgtap.resumes();
	RAISE SQLSTATE 'UN000';
EXCEPTION WHEN SQLSTATE 'UN000' THEN
	RETURN v_resumes;
END
$$;
-- The same for what the statement itself returns, which is what a client is told.
CREATE FUNCTION pgtap.told(p_statement text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	v_primary boolean;
BEGIN
	EXECUTE p_statement || ' RETURNING is_primary' INTO v_primary;
	RAISE SQLSTATE 'UN000';
EXCEPTION WHEN SQLSTATE 'UN000' THEN
	RETURN v_primary;
END
$$;
CREATE FUNCTION pgtap.add(p_values text) RETURNS text LANGUAGE sql AS $$
	SELECT 'INSERT INTO public.user_resumes (name, content, is_primary) SELECT v.name, repeat(''x'', 100), v.marked
		FROM (VALUES ' || p_values || ') AS v (name, marked)'
$$;

SET SESSION AUTHORIZATION jobforge_app;
SELECT set_config('app.current_user_id', :user_a, true) \g /dev/null

SELECT is(after(add(s.added)), s.expected, 'none, then ' || s.added)
FROM (VALUES
	('(''a'', false)', 'a*'),
	('(''a'', true)', 'a*'),
	('(''a'', false), (''b'', false)', 'a* b'),
	('(''a'', true), (''b'', false)', 'a* b'),
	('(''a'', false), (''b'', true)', 'a b*'),
	('(''a'', true), (''b'', true), (''c'', false)', 'a b* c')
) AS s (added, expected);
SELECT is(told(add('(''a'', false)')), true, 'who sends the first is told that it is primary');

-- c is the newest, a the primary one
INSERT INTO public.user_resumes (name, content, is_primary, created_at) VALUES
	('a', repeat('x', 100), true, '2026-01-01'), ('b', repeat('x', 100), false, '2026-01-02'),
	('c', repeat('x', 100), false, '2026-01-03');
SELECT is(resumes(), 'a* b c', 'three');
SELECT is(after(s.statement), s.expected, s.statement)
FROM (VALUES
	(add('(''d'', false)'), 'a* b c d'),
	(add('(''d'', true)'), 'a b c d*'),
	(add('(''d'', true), (''e'', true)'), 'a b c d e*'),
	('UPDATE public.user_resumes SET is_primary = true WHERE name = ''b''', 'a b* c'),
	('UPDATE public.user_resumes SET is_primary = true WHERE name = ''a''', 'a* b c'),
	('UPDATE public.user_resumes SET is_primary = false WHERE name = ''b''', 'a* b c'),
	('UPDATE public.user_resumes SET is_primary = false WHERE name = ''a''', 'a b c*'),
	('UPDATE public.user_resumes SET is_primary = (name = ''b'')', 'a b* c'),
	('UPDATE public.user_resumes SET is_primary = NOT is_primary WHERE name IN (''a'', ''b'')', 'a b* c'),
	('UPDATE public.user_resumes SET is_primary = false', 'a b c*'),
	('UPDATE public.user_resumes SET name = upper(name)', 'A* B C'),
	('DELETE FROM public.user_resumes WHERE name = ''a''', 'b c*'),
	('DELETE FROM public.user_resumes WHERE name = ''b''', 'a* c'),
	('DELETE FROM public.user_resumes WHERE name <> ''b''', 'b*'),
	('DELETE FROM public.user_resumes', NULL)
) AS s (statement, expected);
SELECT matches(after('UPDATE public.user_resumes SET is_primary = true'), '^(a b c\*|a b\* c)$',
	'all at once: one of those that were not');
SELECT is(told(s.statement), s.expected, 'told: ' || s.statement)
FROM (VALUES
	(add('(''d'', false)'), false),
	(add('(''d'', true)'), true),
	('UPDATE public.user_resumes SET is_primary = true WHERE name = ''b''', true),
	('UPDATE public.user_resumes SET is_primary = false WHERE name = ''a''', false)
) AS s (statement, expected);
DELETE FROM public.user_resumes WHERE name <> 'a';
SELECT is(told('UPDATE public.user_resumes SET is_primary = false'), true, 'the only one stays primary, and says so');

-- Another user's are another matter

SELECT set_config('app.current_user_id', :user_b, true) \g /dev/null
SELECT is(after(add('(''z'', false)')), 'z*', 'the first of another user');
INSERT INTO public.user_resumes (name, content) VALUES ('y', repeat('x', 100)), ('z', repeat('x', 100));
SELECT set_config('app.current_user_id', :user_a, true) \g /dev/null
SELECT is(resumes(), 'a*', 'leaves those of the one as they are');

-- updated_at: of the marked and the unmarked alike, and not at all when an import puts them in

INSERT INTO public.user_resumes (name, content, updated_at) VALUES ('b', repeat('x', 100), '2026-01-01');
UPDATE public.user_resumes SET is_primary = true WHERE name = 'b';
SELECT is((SELECT array_agg(r.updated_at >= now()) FROM public.user_resumes AS r), ARRAY[true, true],
	'both have changed');
DELETE FROM public.user_resumes;
SELECT set_config('app.importing', 'on', true) \g /dev/null
INSERT INTO public.user_resumes (name, content, is_primary, created_at, updated_at) VALUES
	('a', repeat('x', 100), false, '2026-01-01', '2026-01-02'), ('b', repeat('x', 100), true, '2026-01-03', '2026-01-04');
INSERT INTO public.applications (name, company_name, role_title, job_description, created_at, updated_at)
VALUES ('n', 'c', 'r', repeat('x', 50), '2026-01-05', '2026-01-06') RETURNING id AS imported \gset
INSERT INTO public.documents (application_id, document_type, content, created_at, updated_at)
VALUES (:'imported', 'research_report', 'Some content', '2026-01-07', '2026-01-08');
SELECT is(resumes(), 'a b*', 'imported');
SELECT is((SELECT string_agg(to_char(r.updated_at, 'DD'), ' ' ORDER BY r.name) FROM public.user_resumes AS r), '02 04',
	'resumes keep their times');
SELECT is((SELECT concat_ws(' ', a.status, to_char(a.created_at, 'DD'), to_char(a.updated_at, 'DD'))
	FROM public.applications AS a WHERE a.id = :'imported'),
	'research_complete 05 06', 'and so do applications, whose phases follow');
SELECT set_config('app.importing', '', true) \g /dev/null

-- Deletion of the user; an administrator without a current user, also across users

SELECT is(attempt(:user_a, 'DELETE FROM public.users; SET CONSTRAINTS ALL IMMEDIATE'), '0 rows', 'the user goes with all');
DELETE FROM public.users;
RESET SESSION AUTHORIZATION;
SELECT set_config('app.current_user_id', '', true) \g /dev/null
SELECT is(resumes(), 'y* z', 'and only theirs are gone');
INSERT INTO public.users (id, email, password_hash, full_name) VALUES (:user_a, 'a@fixture.example', 'h', 'A');
SELECT is(after(s.statement), s.expected, 'without a user: ' || s.what)
FROM (VALUES
	('two users at once', format('INSERT INTO public.user_resumes (user_id, name, content, is_primary) VALUES
		(%L, ''a'', repeat(''x'', 100), false), (%L, ''x'', repeat(''x'', 100), true)', :user_a, :user_b), 'a* x* y z'),
	('the primary one moves', format('UPDATE public.user_resumes SET user_id = %L WHERE name = ''y''', :user_a), 'y* z*'),
	('the other one moves', format('UPDATE public.user_resumes SET user_id = %L WHERE name = ''z''', :user_a), 'y* z*'),
	('all are unmarked', 'UPDATE public.user_resumes SET is_primary = false', 'y z*'),
	('the user is deleted', format('DELETE FROM public.users WHERE id = %L', :user_b), NULL)
) AS s (what, statement, expected);

SELECT * FROM finish();
ROLLBACK;
