-- Users whom an operator has shut out (jobforgectl user disable).
--
-- A sign-in is refused once the password was verified, sessions are revoked, and access tokens, which nobody can revoke, are of
-- no use: each transaction of a worker that names its user asks here whether that user is disabled, in the statement that names
-- it. All of these are error JF030.
--
-- To look into a table costs 6 us of the server's time for each request, though it is all but always empty. So a constant
-- function says whether there is anything to look for: the planner puts its value into the plan, where asking then costs
-- nothing (0.4 us), and replacing it when the first user is disabled makes every session plan anew.
SET LOCAL ROLE jobforge_owner;

CREATE TABLE jobforge.disabled_users (
	user_id uuid NOT NULL CONSTRAINT disabled_users_pkey PRIMARY KEY,
	disabled_at timestamptz NOT NULL DEFAULT now(),
	reason text, -- for operators: no worker may read it
	CONSTRAINT disabled_users_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users (id) ON DELETE CASCADE
);

ALTER TABLE jobforge.disabled_users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

CREATE POLICY disabled_users_user_access ON jobforge.disabled_users FOR ALL
	USING (user_id = (SELECT public.get_current_user_id()))
	WITH CHECK (user_id = (SELECT public.get_current_user_id()));

GRANT SELECT (user_id) ON jobforge.disabled_users TO jobforge_app, jobforge_auth;

CREATE FUNCTION jobforge.account_disabled() RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE 'this account is disabled' USING ERRCODE = 'JF030';
END
$$;

GRANT EXECUTE ON FUNCTION jobforge.account_disabled() TO jobforge_app, jobforge_auth;

CREATE FUNCTION jobforge.some_are_disabled() RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN false;

GRANT EXECUTE ON FUNCTION jobforge.some_are_disabled() TO jobforge_app;

-- The two below are for an administrator, a superuser or a role with BYPASSRLS that has jobforge_owner. They take turns.

CREATE FUNCTION jobforge.user_disable(p_user uuid, p_reason text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM pg_advisory_xact_lock(hashtextextended('jobforge.disabled_users', 0));
	-- As a sign-in locks it: one at the same moment sees that the user is disabled, or has its session revoked here.
	PERFORM FROM public.users AS u WHERE u.id = p_user FOR NO KEY UPDATE;
	INSERT INTO jobforge.disabled_users AS d (user_id, reason) VALUES (p_user, p_reason)
	ON CONFLICT (user_id) DO UPDATE SET reason = coalesce(excluded.reason, d.reason);
	UPDATE jobforge.refresh_families AS f SET revoked_at = now() WHERE f.user_id = p_user AND f.revoked_at IS NULL;
	IF NOT jobforge.some_are_disabled() THEN
		CREATE OR REPLACE FUNCTION jobforge.some_are_disabled() RETURNS boolean
			LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN true;
	END IF;
END
$$;

CREATE FUNCTION jobforge.user_enable(p_user uuid) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM pg_advisory_xact_lock(hashtextextended('jobforge.disabled_users', 0));
	DELETE FROM jobforge.disabled_users AS d WHERE d.user_id = p_user;
	IF jobforge.some_are_disabled() AND NOT EXISTS (SELECT FROM jobforge.disabled_users) THEN
		CREATE OR REPLACE FUNCTION jobforge.some_are_disabled() RETURNS boolean
			LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN false;
	END IF;
END
$$;

GRANT CREATE ON SCHEMA jobforge TO jobforge_auth;
SET LOCAL ROLE jobforge_auth;

-- As before, but nobody who is disabled gets a session.
CREATE OR REPLACE FUNCTION jobforge.session_open(p_user_id uuid, p_verified_hash text, p_new_hash text, p_token_hash bytea,
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
	IF EXISTS (SELECT FROM jobforge.disabled_users AS d WHERE d.user_id = p_user_id) THEN
		PERFORM jobforge.account_disabled();
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

SET LOCAL ROLE jobforge_owner;
REVOKE CREATE ON SCHEMA jobforge FROM jobforge_auth;
