-- What plans tell a worker of others' rows: nothing that anybody wrote. Other ways are tried by
-- tests/e2e/test_attacks_sql.py.
\ir fixtures.psql

-- What the policies protect and the workers read. A condition may come before the policy when its operator is leakproof.
CREATE VIEW pgtap.readable AS
	SELECT t.oid, t.name, a.attnum, a.attname, a.attstattarget, a.atttypid FROM user_tables AS t
	JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
	WHERE has_column_privilege('jobforge_app', t.oid, a.attnum, 'SELECT');

SELECT cmp_ok((SELECT count(*) FROM readable), '>=', 50::bigint, 'the columns are found');
SELECT is_empty($$
	SELECT r.name, r.attname FROM readable AS r
	JOIN pg_opclass AS c ON c.opcintype = CASE WHEN r.atttypid = 'varchar'::regtype THEN 'text'::regtype ELSE r.atttypid END
		AND c.opcdefault
	JOIN pg_am AS m ON m.oid = c.opcmethod AND m.amname = 'btree'
	JOIN pg_amop AS o ON o.amopfamily = c.opcfamily AND o.amoplefttype = c.opcintype AND o.amoprighttype = c.opcintype
	JOIN pg_operator AS p ON p.oid = o.amopopr
	JOIN pg_proc AS f ON f.oid = p.oprcode AND f.proleakproof
	-- Ids are random, and what the service itself keeps of users is no user's to write.
	WHERE r.atttypid <> 'uuid'::regtype AND r.attstattarget IS DISTINCT FROM 0
		AND r.name NOT IN ('public.audit_log', 'public.usage_tracking', 'public.subscriptions', 'jobforge.refresh_families')
$$, 'no statistics are kept of a column that users write and that a leakproof operator compares');
SELECT set_eq($$
	SELECT i.indexrelid::regclass::text FROM pg_index AS i
	JOIN user_tables AS t ON t.oid = i.indrelid
	LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
	WHERE has_any_column_privilege('jobforge_app', t.oid, 'SELECT') AND a.atttypid IS DISTINCT FROM 'uuid'::regtype
$$, ARRAY['public.users_email_key', 'public.idx_subscriptions_plan'],
	'of indexes that begin with anything but an id there are these');
SELECT is_empty($$
	SELECT p.oid::regprocedure FROM pg_proc AS p
	WHERE p.proleakproof AND (p.oid = 'lower(text)'::regprocedure
		OR p.pronamespace IN ('public'::regnamespace, 'jobforge'::regnamespace))
$$, 'neither lower() nor a function of ours is leakproof');

-- The same by looking: another's address, and one that nobody has.
CREATE FUNCTION pgtap.plan_about(p_statement text, p_value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v_line text;
	v_plan text := '';
BEGIN
	FOR v_line IN EXECUTE 'EXPLAIN (ANALYZE, BUFFERS OFF, TIMING OFF, SUMMARY OFF) ' || format(p_statement, p_value) LOOP
		CONTINUE WHEN v_line ~ 'Heap Fetches'; -- less for whoever looks second
		v_plan := v_plan || replace(v_line, p_value, '?') || E'\n';
	END LOOP;
	RETURN v_plan;
END
$$;
ANALYZE public.users, public.applications;
SET SESSION AUTHORIZATION jobforge_app;
SELECT set_config('app.current_user_id', :user_a, true) \g /dev/null
SELECT set_config('enable_' || s.name, s.value, true)
FROM (VALUES ('seqscan', 'off'), ('bitmapscan', 'off'), ('sort', 'off')) AS s (name, value) \g /dev/null
SELECT is(plan_about(s.statement, s.there), plan_about(s.statement, s.not_there), s.statement)
FROM (VALUES
	('SELECT FROM public.users WHERE email = %L', 'b@fixture.example', 'x@fixture.example'),
	('SELECT FROM public.users WHERE email BETWEEN ''b'' AND %L', 'b@fixture.f', 'b@fixture.d'),
	('SELECT FROM public.users WHERE starts_with(email, %L)', 'b@fix', 'x@fix'),
	('SELECT FROM public.users WHERE lower(email COLLATE "C") = %L', 'b@fixture.example', 'x@fixture.example'),
	('SELECT email FROM public.users WHERE email >= %L ORDER BY email LIMIT 1', 'b@fixture.a', 'b@fixture.z'),
	('SELECT FROM public.applications WHERE company_name = %L', 'Company B', 'Company X')
) AS s (statement, there, not_there);
RESET SESSION AUTHORIZATION;

SELECT * FROM finish();
ROLLBACK;
