-- Claiming a key. Two at once are in race.py.
\ir fixtures.psql

CREATE FUNCTION pgtap.claim(p_key text, p_request text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM jobforge.idempotency_claim(p_key, sha256(p_request::bytea));
	RETURN 'claimed';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END
$$;

SET SESSION AUTHORIZATION jobforge_app;
SELECT is(claim('k', 'r'), '42501', 'there is no claim without a user');
SELECT set_config('app.current_user_id', '', true) \g /dev/null
SELECT is(claim('k', 'r'), '42501', 'nor after the last user''s transaction');

SELECT set_config('app.current_user_id', :user_a, true) \g /dev/null
SELECT is(claim('k', 'r'), 'claimed', 'a new key');
INSERT INTO jobforge.idempotency_keys (key, request_hash, status, location, etag, body)
VALUES ('k', sha256('r'), 201, '/api/v1/applications/1', '"1"', '{"id":"1"}');
SELECT is(claim('k', 'r'), 'JF001', 'the same request again is to be replayed');
SELECT is(claim('k', 'other'), 'JF003', 'another request is refused');
SELECT is(claim('K', 'r'), 'claimed', 'keys are compared exactly');
SELECT is(claim(repeat('k', 255), 'r'), 'claimed', 'a key of 255 characters');
SELECT is((SELECT concat_ws(' ', status, location, etag, convert_from(body, 'UTF8')) FROM jobforge.idempotency_keys
	WHERE key = 'k'),
	'201 /api/v1/applications/1 "1" {"id":"1"}', 'the answer is there to be replayed');
SELECT set_config('app.current_user_id', :user_b, true) \g /dev/null
SELECT is(claim('k', 'r'), 'claimed', 'another user''s key of the same name is another key');
SELECT is_empty('SELECT FROM jobforge.idempotency_keys', 'and its answer is not seen');
RESET SESSION AUTHORIZATION;

-- A day later

UPDATE jobforge.idempotency_keys SET created_at = now() - interval '24 hours' + interval '1 second';
SET SESSION AUTHORIZATION jobforge_app;
SELECT set_config('app.current_user_id', :user_a, true) \g /dev/null
SELECT is(claim('k', 'r'), 'JF001', 'within 24 hours it is replayed');
RESET SESSION AUTHORIZATION;
UPDATE jobforge.idempotency_keys SET created_at = now() - interval '24 hours';
SET SESSION AUTHORIZATION jobforge_app;
SELECT is(claim('k', 'other'), 'claimed', 'after that the key is free, for any request');
SELECT is_empty('SELECT FROM jobforge.idempotency_keys', 'and the old answer is gone');
RESET SESSION AUTHORIZATION;

INSERT INTO jobforge.idempotency_keys (user_id, key, request_hash, status, body, created_at)
SELECT u.id, i::text, sha256(''), 201, '', now() - interval '25 hours'
FROM generate_series(1, 150) AS i, public.users AS u WHERE u.id IN (:user_a, :user_b);
INSERT INTO jobforge.idempotency_keys (user_id, key, request_hash, status, body) VALUES (:user_a, 'young', sha256(''),
	201, '');
SET SESSION AUTHORIZATION jobforge_app;
SELECT is(claim('150', ''), 'claimed', 'an old key is claimed');
SELECT is((SELECT count(*) FROM jobforge.idempotency_keys), 50::bigint, 'and a hundred other old ones are swept');
SELECT is(claim('another', ''), 'claimed', 'a further claim');
SELECT is((SELECT string_agg(key, ' ') FROM jobforge.idempotency_keys), 'young', 'sweeps the rest, and nothing young');
RESET SESSION AUTHORIZATION;
SELECT is((SELECT count(*) FROM jobforge.idempotency_keys WHERE user_id = :user_b), 150::bigint, 'of this user alone');
DELETE FROM public.users WHERE id = :user_b;
SELECT is((SELECT count(*) FROM jobforge.idempotency_keys WHERE user_id = :user_b), 0::bigint,
	'a user takes the keys along');

SELECT * FROM finish();
ROLLBACK;
