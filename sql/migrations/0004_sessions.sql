-- Signing up and in, refresh tokens, and the limit on failed logins.
--
-- The requirement had no way to find a user by email, or to add one, under row level security. The functions here that
-- must see a user before there is one belong to jobforge_auth, which passes by the policies and may touch only the
-- columns granted below.
--
-- A family is one sign-in: a chain of refresh tokens, each spent for the next. Tokens are stored as SHA-256 alone.
-- Every function that changes a family locks its row first, and takes a user's row before a family's.
-- A change of password must update public.users first and then, in a statement of its own, call sessions_revoke_all():
-- a login at the same moment then either sees the new hash or is revoked.
SET LOCAL ROLE jobforge_owner;

CREATE TABLE jobforge.refresh_families (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	user_id uuid NOT NULL DEFAULT public.get_current_user_id(),
	created_at timestamptz NOT NULL DEFAULT now(),
	expires_at timestamptz NOT NULL, -- when the last of its tokens expires
	revoked_at timestamptz,
	CONSTRAINT refresh_families_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users (id) ON DELETE CASCADE,
	CONSTRAINT refresh_families_id_user_id_key UNIQUE (id, user_id)
);

CREATE INDEX idx_refresh_families_user_id ON jobforge.refresh_families (user_id);

CREATE TABLE jobforge.refresh_tokens (
	token_hash bytea PRIMARY KEY,
	user_id uuid NOT NULL DEFAULT public.get_current_user_id(),
	family_id uuid NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	expires_at timestamptz NOT NULL,
	spent_at timestamptz,
	CONSTRAINT refresh_tokens_family_id_fkey FOREIGN KEY (family_id, user_id)
		REFERENCES jobforge.refresh_families (id, user_id) ON DELETE CASCADE,
	CONSTRAINT token_hash_is_sha256 CHECK (octet_length(token_hash) = 32)
);

CREATE INDEX idx_refresh_tokens_family_id ON jobforge.refresh_tokens (family_id, expires_at);

-- Keyed by the SHA-256 of the address: nobody's address is kept because somebody typed it.
CREATE TABLE jobforge.login_attempts (
	email_hash bytea PRIMARY KEY,
	window_start timestamptz NOT NULL,
	attempts integer NOT NULL
);

CREATE INDEX idx_login_attempts_window_start ON jobforge.login_attempts (window_start);

ALTER TABLE jobforge.refresh_families ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE jobforge.refresh_tokens ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

CREATE POLICY refresh_families_user_access ON jobforge.refresh_families FOR ALL
	USING (user_id = (SELECT public.get_current_user_id()))
	WITH CHECK (user_id = (SELECT public.get_current_user_id()));

CREATE POLICY refresh_tokens_user_access ON jobforge.refresh_tokens FOR ALL
	USING (user_id = (SELECT public.get_current_user_id()))
	WITH CHECK (user_id = (SELECT public.get_current_user_id()));

GRANT SELECT, UPDATE (revoked_at) ON jobforge.refresh_families TO jobforge_app;

GRANT SELECT (id, email, password_hash, full_name, created_at, updated_at), INSERT (email, password_hash, full_name),
	UPDATE (password_hash) ON public.users TO jobforge_auth;
GRANT SELECT, INSERT, UPDATE, DELETE ON jobforge.refresh_families, jobforge.refresh_tokens, jobforge.login_attempts
	TO jobforge_auth;

CREATE FUNCTION jobforge.sessions_revoke_all() RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	UPDATE jobforge.refresh_families AS f SET revoked_at = now()
	WHERE f.user_id = (SELECT public.get_current_user_id()) AND f.revoked_at IS NULL;
END;

GRANT EXECUTE ON FUNCTION jobforge.sessions_revoke_all() TO jobforge_app;

GRANT CREATE ON SCHEMA jobforge TO jobforge_auth;
SET LOCAL ROLE jobforge_auth;

CREATE FUNCTION jobforge.login_key(p_email text) RETURNS bytea
LANGUAGE sql STABLE STRICT
RETURN sha256(convert_to(lower(p_email COLLATE "C"), 'UTF8'));

-- Counts an attempt for this address before anything is verified. One row: the user (NULLs for an unknown address), or
-- the seconds to wait in retry_after (else 0).
CREATE FUNCTION jobforge.login_begin(p_email text, p_limit integer, p_window integer)
RETURNS TABLE (user_id uuid, password_hash text, retry_after integer)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	v_now CONSTANT timestamptz := clock_timestamp();
	v_window CONSTANT interval := make_interval(secs => p_window);
	v_attempts integer;
	v_start timestamptz;
BEGIN
	-- ARRAY: a plain IN (SELECT ...) may be planned as a join that runs the sub-select, and its LIMIT, many times.
	DELETE FROM jobforge.login_attempts AS l
	WHERE l.email_hash = ANY (ARRAY(
		SELECT o.email_hash FROM jobforge.login_attempts AS o
		WHERE o.window_start <= v_now - v_window
		ORDER BY o.window_start
		LIMIT 10
		FOR UPDATE SKIP LOCKED));

	-- A window that begins in the future was begun before the clock was set back: it begins now instead.
	INSERT INTO jobforge.login_attempts AS l (email_hash, window_start, attempts)
	VALUES (jobforge.login_key(p_email), v_now, 1)
	ON CONFLICT (email_hash) DO UPDATE SET
		window_start = CASE WHEN l.window_start <= v_now - v_window THEN v_now ELSE least(l.window_start, v_now) END,
		attempts = CASE WHEN l.window_start <= v_now - v_window THEN 1 ELSE least(l.attempts, p_limit) + 1 END
	RETURNING l.attempts, l.window_start INTO v_attempts, v_start;

	IF v_attempts > p_limit THEN
		RETURN QUERY SELECT NULL::uuid, NULL::text,
			greatest(1, ceil(extract(epoch FROM v_start + v_window - v_now))::integer);
		RETURN;
	END IF;
	RETURN QUERY SELECT u.id, u.password_hash::text, 0
		FROM (VALUES (1)) AS one (row)
		LEFT JOIN public.users AS u ON u.email = lower(p_email COLLATE "C");
END
$$;

CREATE FUNCTION jobforge.login_succeeded(p_email text) RETURNS void
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	DELETE FROM jobforge.login_attempts AS l WHERE l.email_hash = jobforge.login_key(p_email);
END;

-- Adds a user. A taken address is a unique_violation of users_email_key.
CREATE FUNCTION jobforge.register(p_email text, p_password_hash text, p_full_name text)
RETURNS TABLE (id uuid, email text, full_name text, created_at timestamptz, updated_at timestamptz)
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	INSERT INTO public.users AS u (email, password_hash, full_name)
	VALUES (p_email, p_password_hash, p_full_name)
	RETURNING u.id, u.email::text, u.full_name::text, u.created_at, u.updated_at;
END;

-- Opens a family with its first token, if the user is there and has the very hash that the password was verified
-- against; stores p_new_hash unless NULL. The user, or no row.
CREATE FUNCTION jobforge.session_open(p_user_id uuid, p_verified_hash text, p_new_hash text, p_token_hash bytea,
	p_lifetime integer)
RETURNS TABLE (id uuid, email text, full_name text, created_at timestamptz, updated_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	v_now CONSTANT timestamptz := clock_timestamp();
	v_expires CONSTANT timestamptz := v_now + make_interval(secs => p_lifetime);
	v_family uuid;
BEGIN
	PERFORM FROM public.users AS u
	WHERE u.id = p_user_id AND u.password_hash = p_verified_hash
	FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		RETURN;
	END IF;

	UPDATE public.users AS u SET password_hash = p_new_hash
	WHERE u.id = p_user_id AND u.password_hash <> p_new_hash;
	DELETE FROM jobforge.refresh_families AS f WHERE f.user_id = p_user_id AND f.expires_at <= v_now;
	INSERT INTO jobforge.refresh_families AS f (user_id, expires_at)
	VALUES (p_user_id, v_expires)
	RETURNING f.id INTO v_family;
	INSERT INTO jobforge.refresh_tokens (token_hash, user_id, family_id, expires_at)
	VALUES (p_token_hash, p_user_id, v_family, v_expires);

	RETURN QUERY SELECT u.id, u.email::text, u.full_name::text, u.created_at, u.updated_at
		FROM public.users AS u WHERE u.id = p_user_id;
END
$$;

-- Spends p_old for p_new. One row: 'rotated' with the user; or 'unknown', 'revoked', 'expired'; or 'reused': p_old was
-- spent more than p_grace seconds ago, somebody has a copy, and the family is revoked, which the caller must commit.
CREATE FUNCTION jobforge.refresh_rotate(p_old bytea, p_new bytea, p_lifetime integer, p_grace integer)
RETURNS TABLE (outcome text, id uuid, email text, full_name text, created_at timestamptz, updated_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	v_now timestamptz;
	v_family jobforge.refresh_families;
	v_token jobforge.refresh_tokens;
	v_outcome text;
BEGIN
	-- The family is locked before anything is decided, so that of a rotation and a logout the logout wins.
	SELECT f.* INTO v_family FROM jobforge.refresh_families AS f
	WHERE f.id = (SELECT t.family_id FROM jobforge.refresh_tokens AS t WHERE t.token_hash = p_old)
	FOR NO KEY UPDATE;
	SELECT t.* INTO v_token FROM jobforge.refresh_tokens AS t
	WHERE t.token_hash = p_old AND t.family_id = v_family.id;
	v_now := clock_timestamp();

	-- The distance in time, not the difference: a clock that was set back must not make the grace longer.
	v_outcome := CASE
		WHEN v_token.token_hash IS NULL THEN 'unknown'
		WHEN v_family.revoked_at IS NOT NULL THEN 'revoked'
		WHEN v_token.spent_at IS NOT NULL
			AND (p_grace <= 0 OR abs(extract(epoch FROM v_now - v_token.spent_at)) > p_grace) THEN 'reused'
		WHEN v_token.expires_at <= v_now THEN 'expired'
		ELSE 'rotated'
	END;

	IF v_outcome = 'reused' THEN
		UPDATE jobforge.refresh_families AS f SET revoked_at = v_now WHERE f.id = v_family.id;
	ELSIF v_outcome = 'rotated' THEN
		UPDATE jobforge.refresh_tokens AS t SET spent_at = v_now
		WHERE t.token_hash = p_old AND t.spent_at IS NULL;
		DELETE FROM jobforge.refresh_tokens AS t WHERE t.family_id = v_family.id AND t.expires_at <= v_now;
		INSERT INTO jobforge.refresh_tokens (token_hash, user_id, family_id, expires_at)
		VALUES (p_new, v_family.user_id, v_family.id, v_now + make_interval(secs => p_lifetime));
		UPDATE jobforge.refresh_families AS f
		SET expires_at = greatest(f.expires_at, v_now + make_interval(secs => p_lifetime))
		WHERE f.id = v_family.id;
	END IF;

	RETURN QUERY SELECT v_outcome, u.id, u.email::text, u.full_name::text, u.created_at, u.updated_at
		FROM (VALUES (1)) AS one (row)
		LEFT JOIN public.users AS u ON u.id = v_family.user_id AND v_outcome = 'rotated';
END
$$;

-- Revokes the family of a token, spent or not. An unknown token is nothing.
CREATE FUNCTION jobforge.refresh_revoke(p_token bytea) RETURNS void
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	UPDATE jobforge.refresh_families AS f SET revoked_at = now()
	WHERE f.id = (SELECT t.family_id FROM jobforge.refresh_tokens AS t WHERE t.token_hash = p_token)
		AND f.revoked_at IS NULL;
END;

GRANT EXECUTE ON FUNCTION
	jobforge.login_begin(text, integer, integer),
	jobforge.login_succeeded(text),
	jobforge.register(text, text, text),
	jobforge.session_open(uuid, text, text, bytea, integer),
	jobforge.refresh_rotate(bytea, bytea, integer, integer),
	jobforge.refresh_revoke(bytea)
	TO jobforge_app;

SET LOCAL ROLE jobforge_owner;
REVOKE CREATE ON SCHEMA jobforge FROM jobforge_auth;
