-- The five tables, their types, functions and triggers.
--
-- Mended of the requirement (names kept):
--  * update_application_phases() failed on every document (a CASE of text given to an enum column), left the flags as
--    they were on DELETE and updated the row twice. It now follows every verb, updates once and only what changed, and
--    refuses a document out of order instead of breaking a CHECK of another table.
--  * UNIQUE (user_id, is_primary) allowed one resume that is not primary: unique_primary_resume is now a partial index.
--    Demote first, then promote, in one transaction.
--  * get_current_user_id() failed when no user was ever set, or hid every error; no user is now NULL, and so no rows.
--    Neither it nor user_owns_application() is SECURITY DEFINER: they need no right that the caller lacks.
--  * documents and document_embeddings carry user_id, kept true by composite foreign keys, so that a policy needs no
--    sub-select over the user's applications.
--  * email was unique by letter case: it is stored in lower case.
--  * generate_application_name() overflowed varchar(255), and took the date of the session's time zone.
--  * Columns with a default may no longer be NULL: a NULL status or flag passes every CHECK.
--  * updated_at was the time at which the transaction began, so a change that waited could set it backwards: it now
--    always moves forward, and only when something changed, which makes it fit for an entity tag.
--
-- Indexes left out. Never used under row level security, whose conditions come first and whose operators must be
-- leakproof (@@, ILIKE and = of an enum are not): idx_applications_job_description_fts, idx_documents_content_fts,
-- idx_user_resumes_content_fts, idx_applications_status, idx_applications_priority, idx_documents_type,
-- idx_user_resumes_focus_area, idx_user_resumes_is_primary. Search reads one user's rows, by a stored tsvector instead.
-- Repeating another index or its first column: idx_users_email, idx_applications_user_id,
-- idx_documents_application_id, idx_document_embeddings_document_id. Read by nothing: idx_users_created_at.
-- Made on an empty table, which costs it its recall: idx_document_embeddings_vector (ivfflat); a user has few documents
-- and exact search over idx_document_embeddings_user_id is both faster and complete.
SET LOCAL ROLE jobforge_owner;

CREATE TYPE public.priority_level_type AS ENUM ('low', 'medium', 'high');
CREATE TYPE public.application_status_type AS ENUM ('draft', 'research_complete', 'resume_ready', 'cover_letter_ready');
CREATE TYPE public.document_type_enum AS ENUM ('research_report', 'optimized_resume', 'cover_letter');
CREATE TYPE public.focus_area_type AS ENUM (
	'software_development', 'data_science', 'management', 'consulting', 'other');

-- The user of this transaction: SELECT set_config('app.current_user_id', $1, true), after BEGIN. NULL when there is
-- none; '' is what the setting reads after the transaction that set it. No SET clause here or below in LANGUAGE sql:
-- the body is parsed once, when created, and a function with one is never inlined.
CREATE FUNCTION public.get_current_user_id() RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(current_setting('app.current_user_id', true), '')::uuid;

-- What full-text search reads. '_', '/' and '~' join words for the parser ("CI/CD" would be one word and not be found
-- by "CI"), and with '<' they are also what makes it go back and forth: 64 KiB of "a_a_a_" or "<!--" took minutes.
CREATE FUNCTION jobforge.search_text(p_text text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN translate(p_text, '<_/~', '    ');

-- The words of a text. A tsvector holds 1 MiB; only made-up text comes near that, and of such text as much as fits is
-- indexed, because the row must be stored all the same.
CREATE FUNCTION jobforge.search_vector(p_text text) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	v_text CONSTANT text := jobforge.search_text(p_text);
	v_length integer := length(p_text);
BEGIN
	IF octet_length(p_text) <= 131072 THEN -- a word takes less than eight times its bytes
		RETURN to_tsvector('pg_catalog.english', v_text);
	END IF;
	LOOP
		BEGIN
			RETURN to_tsvector('pg_catalog.english', left(v_text, v_length));
		EXCEPTION WHEN program_limit_exceeded THEN
			v_length := v_length / 2;
		END;
	END LOOP;
END
$$;

-- The question to match such a vector with: all words of the text, read the same way. Never an error.
CREATE FUNCTION jobforge.search_query(p_text text) RETURNS tsquery
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN plainto_tsquery('pg_catalog.english', jobforge.search_text(p_text));

CREATE TABLE public.users (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	email varchar(255) NOT NULL CONSTRAINT users_email_key UNIQUE,
	password_hash varchar(255) NOT NULL,
	full_name varchar(255) NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	CONSTRAINT email_format CHECK (email ~* '^[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}$'),
	CONSTRAINT email_lower_case CHECK (email = lower(email COLLATE "C")),
	CONSTRAINT name_not_empty CHECK (length(trim(full_name)) > 0)
);

CREATE TABLE public.applications (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	user_id uuid NOT NULL DEFAULT public.get_current_user_id(),
	name varchar(255) NOT NULL,
	company_name varchar(255) NOT NULL,
	role_title varchar(255) NOT NULL,
	job_url text,
	job_description text NOT NULL,
	location varchar(255),
	priority_level public.priority_level_type NOT NULL DEFAULT 'medium',
	status public.application_status_type NOT NULL DEFAULT 'draft',
	research_completed boolean NOT NULL DEFAULT false,
	resume_optimized boolean NOT NULL DEFAULT false,
	cover_letter_generated boolean NOT NULL DEFAULT false,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	search tsvector NOT NULL GENERATED ALWAYS AS (jobforge.search_vector(job_description)) STORED,
	CONSTRAINT applications_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users (id) ON DELETE CASCADE,
	CONSTRAINT job_description_min_length CHECK (length(job_description) >= 50),
	CONSTRAINT company_name_not_empty CHECK (length(trim(company_name)) > 0),
	CONSTRAINT role_title_not_empty CHECK (length(trim(role_title)) > 0),
	CONSTRAINT valid_job_url CHECK (job_url IS NULL OR job_url ~* '^https?://[^\s/$.?#].[^\s]*$'),
	CONSTRAINT resume_requires_research CHECK (NOT resume_optimized OR research_completed),
	CONSTRAINT cover_letter_requires_resume CHECK (NOT cover_letter_generated OR resume_optimized)
);

-- Both lead with the policy's column, so that a page is one range of the index: (created_at, id) < ($1, $2).
CREATE INDEX idx_applications_created_at ON public.applications (user_id, created_at, id);
CREATE INDEX idx_applications_company_name ON public.applications (user_id, company_name COLLATE "und-x-icu", id);

-- The indexes that find one row are made last, here and below: of two that seem to cost the same, as all do until the
-- table has statistics, the planner takes the newer.
ALTER TABLE public.applications ADD CONSTRAINT applications_id_user_id_key UNIQUE (id, user_id);

CREATE TABLE public.documents (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	user_id uuid NOT NULL DEFAULT public.get_current_user_id(),
	application_id uuid NOT NULL,
	document_type public.document_type_enum NOT NULL,
	content text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	search tsvector NOT NULL GENERATED ALWAYS AS (jobforge.search_vector(content)) STORED,
	CONSTRAINT documents_application_id_fkey FOREIGN KEY (application_id, user_id)
		REFERENCES public.applications (id, user_id) ON DELETE CASCADE,
	CONSTRAINT content_min_length CHECK (length(content) >= 10)
);

CREATE INDEX idx_documents_updated_at ON public.documents (user_id, updated_at, id);
ALTER TABLE public.documents
	ADD CONSTRAINT documents_id_user_id_key UNIQUE (id, user_id),
	ADD CONSTRAINT unique_document_per_application UNIQUE (application_id, document_type);

CREATE TABLE public.user_resumes (
	id uuid DEFAULT gen_random_uuid(),
	user_id uuid NOT NULL DEFAULT public.get_current_user_id(),
	name varchar(255) NOT NULL,
	content text NOT NULL,
	focus_area public.focus_area_type NOT NULL DEFAULT 'other',
	is_primary boolean NOT NULL DEFAULT false,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	search tsvector NOT NULL GENERATED ALWAYS AS (jobforge.search_vector(content)) STORED,
	CONSTRAINT user_resumes_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users (id) ON DELETE CASCADE,
	CONSTRAINT resume_name_not_empty CHECK (length(trim(name)) > 0),
	CONSTRAINT resume_content_min_length CHECK (length(content) >= 100)
);

CREATE INDEX idx_user_resumes_user_id ON public.user_resumes (user_id, created_at, id);
CREATE UNIQUE INDEX unique_primary_resume ON public.user_resumes (user_id) WHERE is_primary;
ALTER TABLE public.user_resumes ADD CONSTRAINT user_resumes_pkey PRIMARY KEY (id);

-- text-embedding-3-large is 3072 wide unless asked for 1536 dimensions, which it must be. PLAIN: a vector of this width
-- fits a page, and fetching each from TOAST is most of the time of an exact search.
CREATE TABLE public.document_embeddings (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	user_id uuid NOT NULL DEFAULT public.get_current_user_id(),
	document_id uuid NOT NULL,
	embedding public.vector(1536) STORAGE PLAIN NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	CONSTRAINT document_embeddings_document_id_fkey FOREIGN KEY (document_id, user_id)
		REFERENCES public.documents (id, user_id) ON DELETE CASCADE
);

CREATE INDEX idx_document_embeddings_user_id ON public.document_embeddings (user_id);
ALTER TABLE public.document_embeddings ADD CONSTRAINT unique_embedding_per_document UNIQUE (document_id);

-- True for the current user's application alone. It runs with the caller's rights, under the policies, so that for
-- another's application it does exactly what it does for one that does not exist.
CREATE FUNCTION public.user_owns_application(app_id uuid) RETURNS boolean
LANGUAGE sql STABLE
RETURN EXISTS (
	SELECT FROM public.applications AS a WHERE a.id = app_id AND a.user_id = (SELECT public.get_current_user_id()));

-- company_role_YYYY_MM_DD, the date in UTC. Two names of 255 characters are cut to what a name holds, the longer first.
CREATE FUNCTION public.generate_application_name(p_company_name varchar, p_role_title varchar) RETURNS varchar
LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	v_room CONSTANT integer := 255 - length('__YYYY_MM_DD');
	v_company CONSTANT text := lower(regexp_replace(p_company_name, '[^a-zA-Z0-9]', '_', 'g') COLLATE "C");
	v_role CONSTANT text := lower(regexp_replace(p_role_title, '[^a-zA-Z0-9]', '_', 'g') COLLATE "C");
BEGIN
	RETURN left(v_company, greatest(v_room / 2, v_room - length(v_role)))
		|| '_' || left(v_role, greatest(v_room / 2, v_room - length(v_company)))
		|| '_' || to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM_DD');
END
$$;

CREATE FUNCTION public.update_updated_at_column() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- A transaction that began earlier may come later, and a clock may be set back: no value may come twice.
	NEW.updated_at := greatest(now(), OLD.updated_at + interval '1 microsecond');
	RETURN NEW;
END
$$;

-- The conditions name the columns because search is computed only after these triggers.
CREATE TRIGGER update_users_updated_at
	BEFORE UPDATE ON public.users
	FOR EACH ROW WHEN ((OLD.email, OLD.password_hash, OLD.full_name)
		IS DISTINCT FROM (NEW.email, NEW.password_hash, NEW.full_name))
	EXECUTE FUNCTION public.update_updated_at_column();

CREATE TRIGGER update_applications_updated_at
	BEFORE UPDATE ON public.applications
	FOR EACH ROW WHEN ((OLD.name, OLD.company_name, OLD.role_title, OLD.job_url, OLD.job_description, OLD.location,
			OLD.priority_level, OLD.status, OLD.research_completed, OLD.resume_optimized, OLD.cover_letter_generated)
		IS DISTINCT FROM (NEW.name, NEW.company_name, NEW.role_title, NEW.job_url, NEW.job_description, NEW.location,
			NEW.priority_level, NEW.status, NEW.research_completed, NEW.resume_optimized, NEW.cover_letter_generated))
	EXECUTE FUNCTION public.update_updated_at_column();

CREATE TRIGGER update_documents_updated_at
	BEFORE UPDATE ON public.documents
	FOR EACH ROW WHEN ((OLD.application_id, OLD.document_type, OLD.content)
		IS DISTINCT FROM (NEW.application_id, NEW.document_type, NEW.content))
	EXECUTE FUNCTION public.update_updated_at_column();

CREATE TRIGGER update_user_resumes_updated_at
	BEFORE UPDATE ON public.user_resumes
	FOR EACH ROW WHEN ((OLD.name, OLD.content, OLD.focus_area, OLD.is_primary)
		IS DISTINCT FROM (NEW.name, NEW.content, NEW.focus_area, NEW.is_primary))
	EXECUTE FUNCTION public.update_updated_at_column();

CREATE FUNCTION jobforge.normalise_email() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	NEW.email := lower(NEW.email COLLATE "C");
	RETURN NEW;
END
$$;

-- Triggers fire in the order of their names: this one before update_users_updated_at compares.
CREATE TRIGGER normalise_users_email
	BEFORE INSERT OR UPDATE OF email ON public.users
	FOR EACH ROW EXECUTE FUNCTION jobforge.normalise_email();

-- Before a document is inserted, its application is looked for with the caller's rights, that is, under the policies:
-- else the unique constraint, which sees every row, would tell another's application from one that does not exist. The
-- lock is the one that the foreign key takes later; taken now, it comes before those of documents, the order in which a
-- deletion of the application takes them. A statement that deletes a document should keep to that order as well:
--	WITH a AS (SELECT id FROM public.applications WHERE id = $1 FOR NO KEY UPDATE)
--	DELETE FROM public.documents AS d USING a WHERE d.application_id = a.id ...
CREATE FUNCTION jobforge.require_application() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM FROM public.applications AS a
	WHERE a.id = NEW.application_id AND a.user_id = NEW.user_id
	FOR KEY SHARE;
	IF NOT FOUND AND NEW.application_id IS NOT NULL AND NEW.user_id IS NOT NULL THEN
		RAISE foreign_key_violation USING
			MESSAGE = 'the application of this document does not exist',
			SCHEMA = 'public', TABLE = 'documents', CONSTRAINT = 'documents_application_id_fkey';
	END IF;
	RETURN NEW;
END
$$;

CREATE TRIGGER require_documents_application
	BEFORE INSERT ON public.documents
	FOR EACH ROW EXECUTE FUNCTION jobforge.require_application();

-- The same for an embedding and its document.
CREATE FUNCTION jobforge.require_document() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM FROM public.documents AS d
	WHERE d.id = NEW.document_id AND d.user_id = NEW.user_id
	FOR KEY SHARE;
	IF NOT FOUND AND NEW.document_id IS NOT NULL AND NEW.user_id IS NOT NULL THEN
		RAISE foreign_key_violation USING
			MESSAGE = 'the document of this embedding does not exist',
			SCHEMA = 'public', TABLE = 'document_embeddings', CONSTRAINT = 'document_embeddings_document_id_fkey';
	END IF;
	RETURN NEW;
END
$$;

CREATE TRIGGER require_document_embeddings_document
	BEFORE INSERT ON public.document_embeddings
	FOR EACH ROW EXECUTE FUNCTION jobforge.require_document();

GRANT CREATE ON SCHEMA public TO jobforge_auth;
SET LOCAL ROLE jobforge_auth;

-- SECURITY DEFINER, since flags and status are not the workers' to write; of jobforge_auth, so that it also holds for
-- an administrator who has set no current user. It touches the applications that the changed document names, no other.
CREATE FUNCTION public.update_application_phases() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	v_application uuid;
	v_research boolean;
	v_resume boolean;
	v_letter boolean;
	v_status public.application_status_type;
BEGIN
	-- The lock comes before the count: writers of one application take turns, and each counts what the last one left.
	-- An application that is being deleted is not found.
	FOR v_application IN
		SELECT a.id FROM public.applications AS a
		WHERE a.id IN (OLD.application_id, NEW.application_id)
		ORDER BY a.id
		FOR NO KEY UPDATE
	LOOP
		SELECT coalesce(bool_or(d.document_type = 'research_report'), false),
			coalesce(bool_or(d.document_type = 'optimized_resume'), false),
			coalesce(bool_or(d.document_type = 'cover_letter'), false)
		INTO v_research, v_resume, v_letter
		FROM public.documents AS d
		WHERE d.application_id = v_application;

		IF v_resume AND NOT v_research THEN
			RAISE 'an optimized_resume cannot stand without a research_report' USING ERRCODE = 'JF010';
		ELSIF v_letter AND NOT v_resume THEN
			RAISE 'a cover_letter cannot stand without an optimized_resume' USING ERRCODE = 'JF010';
		END IF;

		v_status := (CASE
			WHEN v_letter THEN 'cover_letter_ready'
			WHEN v_resume THEN 'resume_ready'
			WHEN v_research THEN 'research_complete'
			ELSE 'draft'
		END)::public.application_status_type;
		UPDATE public.applications AS a
		SET research_completed = v_research, resume_optimized = v_resume, cover_letter_generated = v_letter,
			status = v_status
		WHERE a.id = v_application
			AND (a.research_completed, a.resume_optimized, a.cover_letter_generated, a.status)
				IS DISTINCT FROM (v_research, v_resume, v_letter, v_status);
	END LOOP;
	RETURN NULL;
END
$$;

GRANT EXECUTE ON FUNCTION public.update_application_phases() TO jobforge_owner;

SET LOCAL ROLE jobforge_owner;
REVOKE CREATE ON SCHEMA public FROM jobforge_auth;

CREATE TRIGGER documents_update_phases
	AFTER INSERT OR DELETE OR UPDATE OF application_id, document_type ON public.documents
	FOR EACH ROW EXECUTE FUNCTION public.update_application_phases();

GRANT EXECUTE ON FUNCTION jobforge.search_text(text), jobforge.search_vector(text), jobforge.search_query(text)
	TO jobforge_app, jobforge_auth;
