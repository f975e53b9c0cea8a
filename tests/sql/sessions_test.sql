-- Registration, sessions and refresh tokens. Races between them are in race.py.
\ir fixtures.psql

CREATE FUNCTION pgtap.token(p_name text) RETURNS bytea LANGUAGE sql AS 'SELECT sha256(p_name::bytea)';
CREATE FUNCTION pgtap.rotate(p_old text, p_new text, p_grace integer DEFAULT 10) RETURNS text LANGUAGE sql AS $$
	SELECT r.outcome || coalesce(' ' || r.email, '') FROM jobforge.refresh_rotate(token(p_old), token(p_new), 3600,
		p_grace) AS r
$$;

SET SESSION AUTHORIZATION jobforge_app;

-- register

SELECT results_eq(
	$$SELECT email, full_name, created_at, updated_at, id IS NOT NULL FROM jobforge.register('New@Fixture.Example',
		'hash', 'New User')$$,
	$$VALUES ('new@fixture.example', 'New User', now(), now(), true)$$, 'register returns the new user');
SELECT is((SELECT count(*) FROM public.users), 0::bigint, 'and does not sign anybody in');
SELECT throws_ok($$SELECT * FROM jobforge.register('NEW@fixture.example', 'hash', 'Again')$$, '23505', NULL,
	'an address is taken whatever its case');
SELECT is(constraint_of($$SELECT * FROM jobforge.register('new@fixture.example', 'hash', 'Again')$$), 'users_email_key',
	'by the name of its constraint');

-- session_open

SELECT results_eq(
	format('SELECT id, email, full_name FROM jobforge.session_open(%L, %L, NULL, token(%L), 3600)', :user_a, 'hash-a',
		'a1'),
	format('VALUES (%L::uuid, %L, %L)', :user_a, 'a@fixture.example', 'User A'), 'session_open returns the user');
SELECT is_empty(format('SELECT * FROM jobforge.session_open(%L, %L, NULL, token(%L), 3600)', :user_a, 'hash-b', 'x'),
	'not with another hash than was verified');
SELECT is_empty(format('SELECT * FROM jobforge.session_open(%L, NULL, NULL, token(%L), 3600)', :user_a, 'x'),
	'nor with none');
SELECT is_empty(format('SELECT * FROM jobforge.session_open(%L, %L, NULL, token(%L), 3600)', gen_random_uuid(),
	'hash-a', 'x'),
	'nor for a user who is gone');
SELECT is(rotate('x', 'y'), 'unknown', 'then no token is stored');
SELECT throws_ok(format('SELECT * FROM jobforge.session_open(%L, %L, NULL, token(%L), 3600)', :user_b, 'hash-b', 'a1'),
	'23505', NULL, 'one token opens one session');
SELECT is((SELECT count(*) FROM jobforge.session_open(:user_b, 'hash-b', 'hash-b2', token('b1'), 3600)), 1::bigint,
	'a login may store a new hash');
SELECT is((SELECT count(*) FROM jobforge.session_open(:user_b, 'hash-b', NULL, token('x'), 3600)), 0::bigint,
	'which is the one to verify from then on');
SELECT is((SELECT count(*) FROM jobforge.session_open(:user_b, 'hash-b2', 'hash-b2', token('b2'), 3600)), 1::bigint,
	'the same hash again is no fault');
SELECT set_config('app.current_user_id', :user_b, true) \g /dev/null
SELECT is((SELECT password_hash FROM public.users), 'hash-b2', 'the new hash is stored');
SELECT is((SELECT count(*) FROM jobforge.refresh_families), 2::bigint, 'each login is a family of its own');
SELECT set_config('app.current_user_id', '', true) \g /dev/null
SELECT is((SELECT s.email FROM jobforge.register('both@fixture.example', 'h', 'Both') AS r
	CROSS JOIN LATERAL jobforge.session_open(r.id, 'h', NULL, token('both'), 3600) AS s), 'both@fixture.example',
	'register and sign in in one statement');

-- refresh_rotate

SELECT is(rotate('nobody''s', 'x'), 'unknown', 'a token that never was');
SELECT is(rotate('a1', 'a2'), 'rotated a@fixture.example', 'a token is spent for the next');
SELECT is(rotate('a2', 'a3'), 'rotated a@fixture.example', 'and that for the one after');
SELECT is(rotate('a1', 'a1-tab'), 'rotated a@fixture.example', 'a second tab may still spend the first for a while');
SELECT is(rotate('a1-tab', 'a2-tab'), 'rotated a@fixture.example', 'and go on from there');
SELECT results_eq(
	$$SELECT outcome, id, email, full_name, created_at = now(), updated_at = now()
		FROM jobforge.refresh_rotate(token('a3'), token('a4'), 3600, 10)$$,
	$$VALUES ('rotated', 'aaaaaaaa-0000-4000-8000-000000000000'::uuid, 'a@fixture.example', 'User A', true, true)$$,
	'rotation returns the user');
SELECT results_eq(
	$$SELECT * FROM jobforge.refresh_rotate(token('x'), token('y'), 3600, 10)$$,
	$$VALUES ('unknown', NULL::uuid, NULL::text, NULL::text, NULL::timestamptz, NULL::timestamptz)$$,
	'anything else returns one row without a user');
RESET SESSION AUTHORIZATION;

UPDATE jobforge.refresh_tokens SET spent_at = clock_timestamp() - interval '9 seconds' WHERE token_hash = token('a2');
UPDATE jobforge.refresh_tokens SET spent_at = clock_timestamp() - interval '11 seconds' WHERE token_hash = token('a3');
UPDATE jobforge.refresh_tokens SET spent_at = clock_timestamp() + interval '1 hour' WHERE token_hash = token('a1-tab');
UPDATE jobforge.refresh_tokens SET spent_at = clock_timestamp() + interval '5 seconds' WHERE token_hash = token('a1');
CREATE FUNCTION pgtap.spent(p_name text) RETURNS timestamptz LANGUAGE sql AS
	'SELECT spent_at FROM jobforge.refresh_tokens WHERE token_hash = token(p_name)';
SELECT spent('a2') AS spent \gset
SET SESSION AUTHORIZATION jobforge_app;
SELECT is(rotate('a2', 'a3-late'), 'rotated a@fixture.example', 'nine seconds are within the grace of ten');
SELECT is(rotate('a1', 'a2-early'), 'rotated a@fixture.example', 'so is a token spent in a future that is as near');
RESET SESSION AUTHORIZATION;
SELECT is(spent('a2'), :'spent', 'spending again does not make the grace longer');

-- Each of these revokes the family, so each begins from the same state.
SET SESSION AUTHORIZATION jobforge_app;
SAVEPOINT before;
SELECT is(rotate('a3', 'x'), 'reused', 'eleven seconds are not');
SELECT is(rotate(t.name, 'x'), 'revoked', 'then the whole family is revoked: ' || t.name)
FROM (VALUES ('a4'), ('a2-tab'), ('a3'), ('a1')) AS t (name);
SELECT is(rotate('b2', 'b3'), 'rotated b@fixture.example', 'and no other');
ROLLBACK TO before;
SELECT is(rotate('a1-tab', 'x'), 'reused', 'a clock set back by an hour gives no hour of grace');
ROLLBACK TO before;
SELECT is(rotate('a2', 'x', 0), 'reused', 'no grace, no second time');
ROLLBACK TO before;
SELECT is(rotate('a4', 'x', 0), 'rotated a@fixture.example', 'but a first');
ROLLBACK TO before;

RESET SESSION AUTHORIZATION;
UPDATE jobforge.refresh_tokens SET expires_at = clock_timestamp() - interval '1 second'
WHERE token_hash IN (token('a4'), token('a3'), token('a2'));
SET SESSION AUTHORIZATION jobforge_app;
SAVEPOINT before;
SELECT is(rotate('a4', 'x'), 'expired', 'an expired token');
SELECT is(rotate('a2', 'x'), 'expired', 'also within the grace');
SELECT is(rotate('a2-tab', 'x'), 'rotated a@fixture.example', 'which leaves the family alone');
RESET SESSION AUTHORIZATION;
SELECT is((SELECT count(*) FROM jobforge.refresh_tokens WHERE token_hash IN (token('a4'), token('a3'), token('a2'))),
	0::bigint,
	'a rotation sweeps expired tokens of its family');
SET SESSION AUTHORIZATION jobforge_app;
ROLLBACK TO before;
SELECT is(rotate('a3', 'x'), 'reused', 'a spent token that has expired is still a sign of a copy');
ROLLBACK TO before;

-- refresh_revoke

SELECT jobforge.refresh_revoke(token('nobody''s')) \g /dev/null
SELECT is(rotate('a2-tab', 'x'), 'rotated a@fixture.example', 'revoking an unknown token does nothing');
ROLLBACK TO before;
SELECT jobforge.refresh_revoke(token('a2-tab')) \g /dev/null
SELECT is(rotate('a2-tab', 'x'), 'revoked', 'a logout ends the family');
SELECT is(rotate('a3-late', 'x'), 'revoked', 'all of it');
SELECT is(rotate('b2', 'x'), 'rotated b@fixture.example', 'and no other');
ROLLBACK TO before;
SELECT jobforge.refresh_revoke(token('a3')) \g /dev/null
SELECT is(rotate('a2-tab', 'x'), 'revoked', 'so does one with a spent token');
ROLLBACK TO before;

-- sessions_revoke_all

SELECT set_config('app.current_user_id', :user_b, true) \g /dev/null
SELECT jobforge.sessions_revoke_all() \g /dev/null
SELECT is(rotate('b1', 'x'), 'revoked', 'all families of the user are revoked');
SELECT is(rotate('b2', 'x'), 'revoked', 'each of them');
SELECT is(rotate('a2-tab', 'x'), 'rotated a@fixture.example', 'and nobody else''s');
ROLLBACK TO before;
SELECT set_config('app.current_user_id', '', true) \g /dev/null
SELECT jobforge.sessions_revoke_all() \g /dev/null
SELECT is(rotate('b1', 'x') || ', ' || rotate('a2-tab', 'y'), 'rotated b@fixture.example, rotated a@fixture.example',
	'without a user it does nothing');
ROLLBACK TO before;

-- What is kept, and for how long

RESET SESSION AUTHORIZATION;
SELECT is((SELECT array_agg(DISTINCT octet_length(token_hash)) FROM jobforge.refresh_tokens), ARRAY[32],
	'tokens are stored as SHA-256');
UPDATE jobforge.refresh_families SET expires_at = clock_timestamp() WHERE user_id = :user_a;
SET SESSION AUTHORIZATION jobforge_app;
SELECT count(*) FROM jobforge.session_open(:user_b, 'hash-b2', NULL, token('b9'), 3600) \g /dev/null
RESET SESSION AUTHORIZATION;
SELECT is((SELECT count(*) FROM jobforge.refresh_families WHERE user_id = :user_a), 1::bigint,
	'another''s login sweeps nothing of mine');
SET SESSION AUTHORIZATION jobforge_app;
SELECT count(*) FROM jobforge.session_open(:user_a, 'hash-a', NULL, token('a9'), 60) \g /dev/null
RESET SESSION AUTHORIZATION;
SELECT is((SELECT array_agg(t.token_hash) FROM jobforge.refresh_tokens AS t WHERE t.user_id = :user_a),
	ARRAY[token('a9')],
	'a login sweeps the user''s expired families with their tokens');
SELECT cmp_ok((SELECT f.expires_at FROM jobforge.refresh_families AS f WHERE f.user_id = :user_a), '<',
	clock_timestamp() + interval '61 seconds', 'a family expires with its token');
SET SESSION AUTHORIZATION jobforge_app;
SELECT rotate('a9', 'a10') \g /dev/null
RESET SESSION AUTHORIZATION;
SELECT cmp_ok((SELECT f.expires_at FROM jobforge.refresh_families AS f WHERE f.user_id = :user_a), '>',
	clock_timestamp() + interval '3500 seconds', 'and with the last of them');
SET SESSION AUTHORIZATION jobforge_app;
SELECT set_config('app.current_user_id', :user_a, true) \g /dev/null
DELETE FROM public.users;
RESET SESSION AUTHORIZATION;
SELECT is((SELECT count(*) FROM jobforge.refresh_tokens WHERE user_id = :user_a), 0::bigint,
	'a user takes all tokens along');

SELECT * FROM finish();
ROLLBACK;
