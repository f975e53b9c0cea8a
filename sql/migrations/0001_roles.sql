-- Roles, the extension, and who may do what where.
--
-- Mended of the requirement:
--  * its single role owned the tables, and an owner passes by row level security. Here jobforge_owner owns everything
--    and cannot log in; jobforge_app, as which the workers connect, owns nothing; jobforge_auth cannot log in and owns
--    the few functions that must see a user before there is one; jobforge_backup reads everything, because pg_dump
--    under forced row level security fails for an ordinary role.
--  * uuid-ossp is left out: gen_random_uuid() has been part of PostgreSQL since 13.
--
-- Run by an administrator: a superuser, or a role with CREATEROLE and BYPASSRLS that owns the database (pgvector is not
-- a trusted extension, so a superuser must have created it in public beforehand). Where the roles exist already, such
-- an administrator needs ADMIN OPTION on all four.

-- Roles belong to the cluster, so another database may have made them, or be making them at this moment: a conflict
-- with a parallel migration is tried again, and what is already right is not touched.
DO $$
DECLARE
	wanted record;
	admin CONSTANT name := current_user;
	is_superuser CONSTANT boolean := (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user);
BEGIN
	FOR wanted IN SELECT * FROM (VALUES
		('jobforge_owner', 'NOLOGIN NOBYPASSRLS', false, false),
		('jobforge_app', 'LOGIN NOBYPASSRLS', true, false),
		('jobforge_auth', 'NOLOGIN BYPASSRLS', false, true),
		('jobforge_backup', 'LOGIN BYPASSRLS', true, true)) AS w (role, attributes, login, bypass)
	LOOP
		BEGIN
			IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted.role) THEN
				EXECUTE format('CREATE ROLE %I %s', wanted.role, wanted.attributes);
			END IF;
		EXCEPTION WHEN duplicate_object OR unique_violation THEN
			NULL; -- made by the other migration, which has committed by now
		END;
		-- A role of that name with other rights is not ours to repair, and must not be given the data.
		IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted.role AND rolcanlogin = wanted.login
			AND rolbypassrls = wanted.bypass AND NOT rolsuper AND NOT rolcreaterole AND NOT rolreplication)
		THEN
			RAISE EXCEPTION 'role % exists with rights other than %', wanted.role, wanted.attributes;
		END IF;
	END LOOP;
	IF EXISTS (SELECT FROM pg_catalog.pg_auth_members WHERE member = 'jobforge_app'::regrole) THEN
		RAISE EXCEPTION 'role jobforge_app is a member of another role, which it must not be';
	END IF;

	-- What the administrator needs to create objects for the two, and to write the ledger once the owner has it.
	FOR wanted IN SELECT * FROM (VALUES
		('jobforge_owner', 'INHERIT TRUE, SET TRUE', 'USAGE'),
		('jobforge_auth', 'INHERIT FALSE, SET TRUE', 'SET')) AS w (role, options, test)
	LOOP
		FOR attempt IN 1..20 LOOP
			EXIT WHEN is_superuser
				OR pg_has_role(admin, wanted.role, 'SET') AND pg_has_role(admin, wanted.role, wanted.test);
			BEGIN
				EXECUTE format('GRANT %I TO %I WITH %s', wanted.role, admin, wanted.options);
			EXCEPTION WHEN unique_violation OR internal_error THEN
				PERFORM pg_sleep(0.05); -- "tuple concurrently updated"
			END;
		END LOOP;
	END LOOP;
END
$$;

-- Settings of every session of the workers. force_generic_plan: statements are prepared once and must not be planned
-- again on every call (+14..17 %). jit: none of the statements runs long enough to gain (+8 % without). enable_seqscan:
-- every row that a worker may see is found by an index, and a statement planned while a table was small must not go on
-- reading all of it when it has grown. The empty search_path makes an unqualified name an error. A notice ("word is too
-- long to be indexed") is of no use to a worker.
DO $$
DECLARE
	wanted record;
	present CONSTANT text[] := ARRAY(
		SELECT unnest(setconfig) FROM pg_catalog.pg_db_role_setting
		WHERE setdatabase = 0 AND setrole = 'jobforge_app'::regrole);
BEGIN
	FOR wanted IN SELECT * FROM (VALUES
		('plan_cache_mode', 'force_generic_plan'),
		('jit', 'off'),
		('enable_seqscan', 'off'),
		('TimeZone', 'UTC'),
		('DateStyle', 'ISO'),
		('search_path', ''),
		('client_min_messages', 'warning'),
		('idle_in_transaction_session_timeout', '10s'),
		('lock_timeout', '4s')) AS w (name, value)
	LOOP
		FOR attempt IN 1..20 LOOP
			BEGIN
				EXIT WHEN format('%s=%s', wanted.name, coalesce(nullif(wanted.value, ''), '""')) = ANY (present);
				EXECUTE format('ALTER ROLE jobforge_app SET %s = %L', wanted.name, wanted.value);
				EXIT;
			EXCEPTION WHEN unique_violation OR internal_error THEN
				PERFORM pg_sleep(0.05); -- a parallel migration of another database, as above
			END;
		END LOOP;
	END LOOP;
END
$$;

CREATE EXTENSION IF NOT EXISTS vector SCHEMA public;

DO $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'vector'
		AND extnamespace = 'public'::regnamespace)
	THEN
		RAISE EXCEPTION 'the extension vector is not in the schema public: ALTER EXTENSION vector SET SCHEMA public';
	END IF;
	-- Nobody makes objects here but the owner: temporary tables come first in every search path.
	EXECUTE format('REVOKE CREATE, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
	EXECUTE format('GRANT CONNECT ON DATABASE %I TO jobforge_app, jobforge_backup', current_database());
END
$$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO jobforge_owner WITH GRANT OPTION;
GRANT USAGE ON SCHEMA public TO jobforge_app, jobforge_auth, jobforge_backup;

REVOKE ALL ON SCHEMA jobforge FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA jobforge TO jobforge_owner;
ALTER TABLE jobforge.schema_migrations OWNER TO jobforge_owner;
ALTER SCHEMA jobforge OWNER TO jobforge_owner;

SET LOCAL ROLE jobforge_auth;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

SET LOCAL ROLE jobforge_owner;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA public, jobforge GRANT SELECT ON TABLES TO jobforge_backup;
ALTER DEFAULT PRIVILEGES IN SCHEMA public, jobforge GRANT SELECT ON SEQUENCES TO jobforge_backup;

GRANT USAGE ON SCHEMA jobforge TO jobforge_app, jobforge_auth, jobforge_backup;
GRANT SELECT ON jobforge.schema_migrations TO jobforge_app, jobforge_backup;
