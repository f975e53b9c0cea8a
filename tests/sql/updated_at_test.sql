-- updated_at moves with every change, only forward, and with nothing else; an address is stored in lower case.
\ir fixtures.psql

-- Each updated_at trigger looks at every column that may change: the catalog says which those are.
SELECT is(
	(SELECT array_agg(a.attname ORDER BY a.attnum) FROM pg_attribute AS a
		WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
			AND a.attname NOT IN ('id', 'user_id', 'created_at', 'updated_at')
			AND pg_get_triggerdef(t.oid) ~* format('\mold\.%s\M.*\mnew\.%1$s\M', a.attname)),
	(SELECT array_agg(a.attname ORDER BY a.attnum) FROM pg_attribute AS a
		WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
			AND a.attname NOT IN ('id', 'user_id', 'created_at', 'updated_at')),
	coalesce(t.tgname, 'a trigger for ' || c.relname) || ' looks at every column')
FROM pg_class AS c
LEFT JOIN pg_trigger AS t ON t.tgrelid = c.oid AND t.tgname = format('update_%s_updated_at', c.relname)
WHERE c.relkind = 'r' AND c.relnamespace IN ('public'::regnamespace, 'jobforge'::regnamespace) AND EXISTS (
	SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'updated_at');

INSERT INTO public.documents (user_id, application_id, document_type, content)
VALUES (:user_a, :application_a, 'research_report', 'A report of some length');
INSERT INTO public.user_resumes (user_id, id, name, content) VALUES
	(:user_a, :user_a, 'Resume', repeat('x', 100)), (:user_a, :user_b, 'Other', repeat('x', 100));
UPDATE public.users SET updated_at = '2020-01-01' WHERE id = :user_a;
UPDATE public.applications SET updated_at = '2020-01-01' WHERE id = :application_a;
UPDATE public.documents SET updated_at = '2020-01-01' WHERE application_id = :application_a;
UPDATE public.user_resumes SET updated_at = '2020-01-01' WHERE user_id = :user_a;

-- Makes a change, says what became of updated_at (a row of 2020), and undoes it.
CREATE FUNCTION pgtap.moved(p_table text, p_change text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v_moved text;
BEGIN
	EXECUTE format('UPDATE %s SET %s
			RETURNING CASE updated_at WHEN %L THEN %L WHEN now() THEN %L ELSE updated_at::text END',
		p_table, p_change, '2020-01-01'::timestamptz, 'stayed', 'now') INTO v_moved;
	RAISE SQLSTATE 'UN000';
EXCEPTION WHEN SQLSTATE 'UN000' THEN
	RETURN v_moved;
END
$$;

SET SESSION AUTHORIZATION jobforge_app;
SELECT set_config('app.current_user_id', :user_a, true) \g /dev/null
SELECT is(moved(c.relation, c.change), c.expected, format('%s: %s', c.relation, c.change))
FROM (VALUES
	('public.users', 'full_name = ''New''', 'now'),
	('public.users', 'email = ''new@fixture.example''', 'now'),
	('public.users', 'password_hash = ''new''', 'now'),
	('public.users', 'full_name = full_name, email = email, password_hash = password_hash', 'stayed'),
	('public.users', 'email = ''A@FIXTURE.example''', 'stayed'),
	('public.applications', 'name = ''new''', 'now'),
	('public.applications', 'company_name = ''new''', 'now'),
	('public.applications', 'role_title = ''new''', 'now'),
	('public.applications', 'job_url = ''https://new.example''', 'now'),
	('public.applications', 'job_url = NULL', 'stayed'),
	('public.applications', 'job_description = job_description || ''!''', 'now'),
	('public.applications', 'location = ''new''', 'now'),
	('public.applications', 'priority_level = ''low''', 'now'),
	('public.applications', 'name = name, company_name = company_name, job_description = job_description', 'stayed'),
	('public.documents', 'content = ''new content''', 'now'),
	('public.documents', 'content = content', 'stayed'),
	('public.user_resumes', 'name = ''new''', 'now'),
	('public.user_resumes', 'content = content || ''!''', 'now'),
	('public.user_resumes', 'focus_area = ''consulting''', 'now'),
	('public.user_resumes', 'is_primary = NOT is_primary', 'now'),
	('public.user_resumes', 'name = name, is_primary = is_primary', 'stayed')
) AS c (relation, change, expected);
RESET SESSION AUTHORIZATION;

-- A clock that was set back, or a transaction that waited: the last change is of tomorrow.
UPDATE public.applications SET updated_at = '2999-12-31 23:59:59.999998' WHERE id = :application_a;
SET SESSION AUTHORIZATION jobforge_app;
UPDATE public.applications SET name = 'first' WHERE id = :application_a;
SELECT is((SELECT updated_at FROM public.applications), '2999-12-31 23:59:59.999999'::timestamptz,
	'when now is earlier, a change is one microsecond after the last');
UPDATE public.applications SET name = 'second' WHERE id = :application_a;
SELECT is((SELECT updated_at FROM public.applications), '3000-01-01 00:00:00'::timestamptz,
	'and the next one after that: no value comes twice');
UPDATE public.users SET full_name = 'Once';
SELECT is((SELECT updated_at FROM public.users), now(), 'a change is of now');
UPDATE public.users SET full_name = 'Twice';
SELECT is((SELECT updated_at FROM public.users), now() + interval '1 microsecond',
	'a second in one transaction is later');
RESET SESSION AUTHORIZATION;

-- Addresses
SET SESSION AUTHORIZATION jobforge_app;
UPDATE public.users SET email = 'New.Address@Fixture.EXAMPLE';
SELECT is((SELECT email FROM public.users), 'new.address@fixture.example', 'an address is stored in lower case');
SELECT is(constraint_of('UPDATE public.users SET email = ''B@FIXTURE.EXAMPLE'''), 'users_email_key',
	'and is unique whatever its case');
RESET SESSION AUTHORIZATION;

SELECT * FROM finish();
ROLLBACK;
