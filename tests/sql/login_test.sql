-- The limit on failed logins.
\ir fixtures.psql

CREATE FUNCTION pgtap.begin_login(p_email text, p_limit integer DEFAULT 3, p_window integer DEFAULT 100) RETURNS text
LANGUAGE sql AS $$
	SELECT CASE WHEN l.retry_after > 0 THEN 'wait' ELSE coalesce(l.password_hash, 'unknown') END
		|| CASE WHEN (l.user_id IS NULL) <> (l.password_hash IS NULL) THEN ' and a half' ELSE '' END
	FROM jobforge.login_begin(p_email, p_limit, p_window) AS l
$$;
DELETE FROM jobforge.login_attempts;

SET SESSION AUTHORIZATION jobforge_app;

SELECT results_eq($$SELECT user_id, password_hash, retry_after FROM jobforge.login_begin('a@fixture.example', 3, 100)$$,
	$$VALUES ('aaaaaaaa-0000-4000-8000-000000000000'::uuid, 'hash-a', 0)$$, 'a known address');
SELECT results_eq($$SELECT user_id, password_hash, retry_after 
		FROM jobforge.login_begin('nobody@fixture.example', 3, 100)$$,
	$$VALUES (NULL::uuid, NULL::text, 0)$$, 'an unknown one: a row of NULLs');
SELECT is(begin_login('A@FIXTURE.example'), 'hash-a', 'case does not matter: second attempt');
SELECT is(begin_login('a@fixture.EXAMPLE'), 'hash-a', 'third');
SELECT is(begin_login('a@Fixture.example'), 'wait', 'the fourth is over the limit');
SELECT is(begin_login('a@fixture.example'), 'wait', 'and so is the fifth');
SELECT is(begin_login('nobody@fixture.example'), 'unknown', 'another address has a count of its own');
SELECT is(begin_login('nobody@fixture.example'), 'unknown', 'its third');
SELECT is(begin_login('nobody@fixture.example'), 'wait', 'an unknown address is limited just so');
SELECT results_eq($$SELECT user_id, password_hash, retry_after BETWEEN 99 AND 100
		FROM jobforge.login_begin('a@fixture.example', 3, 100)$$,
	$$VALUES (NULL::uuid, NULL::text, true)$$, 'who is over the limit is told when the window ends, and nothing else');
SELECT is(begin_login(repeat('x', 300) || '@fixture.example'), 'unknown', 'an address longer than any user''s');
SELECT is(begin_login(''), 'unknown', 'none at all');
SELECT jobforge.login_succeeded('A@fixture.example') \g /dev/null
SELECT is(begin_login('a@fixture.example'), 'hash-a', 'a success forgets the attempts');
SELECT is(begin_login('nobody@fixture.example'), 'wait', 'of that address');
SELECT jobforge.login_succeeded('never@fixture.example') \g /dev/null
RESET SESSION AUTHORIZATION;
SELECT is((SELECT count(*) FROM jobforge.login_attempts AS l WHERE l.email_hash = sha256('a@fixture.example')),
	1::bigint,
	'an address is known by its SHA-256 alone');

-- Time: the last attempt moves into the past, or the clock does

CREATE FUNCTION pgtap.shift(p_by interval) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
	UPDATE jobforge.login_attempts SET window_start = clock_timestamp() + p_by, attempts = 1000
	WHERE email_hash = sha256('b@fixture.example')
$$;
SET SESSION AUTHORIZATION jobforge_app;
SELECT is(begin_login('b@fixture.example'), 'hash-b', 'first attempt of B');
SELECT shift(interval '-99 seconds') \g /dev/null
SELECT is(begin_login('b@fixture.example'), 'wait', 'one second before the window ends');
SELECT is(l.retry_after, 1, 'one second to wait') FROM jobforge.login_begin('b@fixture.example', 3, 100) AS l;
SELECT shift(interval '-101 seconds') \g /dev/null
SELECT is(begin_login('b@fixture.example'), 'hash-b', 'one after it');
SELECT is(begin_login('b@fixture.example'), 'hash-b', 'which begins a new one: its second attempt');
SELECT is(begin_login('b@fixture.example'), 'hash-b', 'its third');
SELECT is(begin_login('b@fixture.example'), 'wait', 'and its fourth');
SELECT shift(interval '-50 seconds') \g /dev/null
SELECT is(begin_login('b@fixture.example', 3, 40), 'hash-b', 'a window that was made shorter counts at once');
SELECT shift(interval '1 year') \g /dev/null
SELECT cmp_ok(l.retry_after, '<=', 100, 'a clock set back by a year locks nobody out for longer than the window')
FROM jobforge.login_begin('b@fixture.example', 3, 100) AS l;
SELECT shift(interval '1 year') \g /dev/null
SELECT begin_login('b@fixture.example') \g /dev/null
RESET SESSION AUTHORIZATION;
SELECT cmp_ok((SELECT l.window_start FROM jobforge.login_attempts AS l
	WHERE l.email_hash = sha256('b@fixture.example')), '<=',
	clock_timestamp(), 'for the window begins anew');
SELECT is((SELECT l.attempts FROM jobforge.login_attempts AS l WHERE l.email_hash = sha256('b@fixture.example')), 4,
	'a count stops one above the limit');

-- Old rows go, a few at a time

INSERT INTO jobforge.login_attempts (email_hash, window_start, attempts)
SELECT sha256(i::text::bytea), clock_timestamp() - interval '101 seconds', 1 FROM generate_series(1, 25) AS i;
CREATE FUNCTION pgtap.old_attempts() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$
	SELECT count(*) FROM jobforge.login_attempts WHERE window_start < clock_timestamp() - interval '100 seconds'
$$;
SET SESSION AUTHORIZATION jobforge_app;
SELECT begin_login('sweeper@fixture.example') \g /dev/null
SELECT is(old_attempts(), 15::bigint, 'a login sweeps ten of them');
SELECT begin_login('sweeper@fixture.example'), begin_login('sweeper@fixture.example') \g /dev/null
SELECT is(old_attempts(), 0::bigint, 'until none are left');
RESET SESSION AUTHORIZATION;

SELECT * FROM finish();
ROLLBACK;
