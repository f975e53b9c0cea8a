-- Exactly one primary resume for whoever has a resume, sentences for documents out of order, and times that an import
-- keeps.
--
-- Mended of the requirement: its unique_primary_resume allowed one resume that is not primary, and nothing made the
-- first one primary or found a successor. It is a constraint again, deferred as the requirement has it, because a
-- statement that moves the mark from one row to another goes through a state with two or none; the triggers below have
-- put that right before anybody asks.
SET LOCAL ROLE jobforge_owner;

DROP INDEX public.unique_primary_resume;
ALTER TABLE public.user_resumes ADD CONSTRAINT unique_primary_resume
	EXCLUDE USING btree (user_id WITH =) WHERE (is_primary) DEFERRABLE INITIALLY DEFERRED;

-- In a transaction of which app.importing says so, none of the three does anything: an import may take long, and nobody is
-- to wait for the user's row all that time. It brings its resumes unmarked, and at its end, under that lock, marks one.
--
-- All that decide about a user's primary resume take turns: the user's row is locked first. Here for statements of a
-- current user, before any resume is locked, which is the order in which everybody else takes these locks.
CREATE FUNCTION jobforge.lock_user_of_resumes() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF current_setting('app.importing', true) IS DISTINCT FROM 'on' THEN
		PERFORM FROM public.users AS u WHERE u.id = public.get_current_user_id() FOR NO KEY UPDATE;
	END IF;
	RETURN NULL;
END
$$;

CREATE TRIGGER lock_user_of_resumes
	BEFORE INSERT OR DELETE OR UPDATE OF user_id, is_primary ON public.user_resumes
	FOR EACH STATEMENT EXECUTE FUNCTION jobforge.lock_user_of_resumes();

-- A user's only resume is primary, whatever was asked for. (The lock here is for an administrator, who has no current
-- user.) One statement that brings several had better bring the primary first, so that no other is marked for a moment.
CREATE FUNCTION jobforge.mark_only_resume() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF current_setting('app.importing', true) = 'on' THEN
		RETURN NEW;
	END IF;
	PERFORM FROM public.users AS u WHERE u.id = NEW.user_id FOR NO KEY UPDATE;
	NEW.is_primary := NEW.is_primary OR NOT EXISTS (
		SELECT FROM public.user_resumes AS r WHERE r.user_id = NEW.user_id AND r.id <> NEW.id);
	RETURN NEW;
END
$$;

-- Triggers fire in the order of their names: this one before update_user_resumes_updated_at compares.
CREATE TRIGGER mark_only_resume
	BEFORE INSERT OR UPDATE OF user_id, is_primary ON public.user_resumes
	FOR EACH ROW EXECUTE FUNCTION jobforge.mark_only_resume();

-- After every statement the users whom it touched have one primary resume: of several that it marked the last, else the
-- one that was primary before, else the newest that it did not unmark, else the newest.
CREATE FUNCTION jobforge.keep_one_primary(p_users uuid[], p_marked uuid[], p_unmarked uuid[]) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	UPDATE public.user_resumes AS r SET is_primary = r.id = p.id
	FROM (SELECT DISTINCT ON (c.user_id) c.user_id, c.id
		FROM public.user_resumes AS c
		WHERE c.user_id = ANY (p_users)
		ORDER BY c.user_id, c.is_primary DESC, array_position(p_marked, c.id) DESC NULLS LAST,
			c.id = ANY (p_unmarked), c.created_at DESC, c.id DESC) AS p
	WHERE r.user_id = p.user_id AND r.is_primary <> (r.id = p.id);
END;

CREATE FUNCTION jobforge.keep_primary_resume() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	v_users uuid[];
	v_marked uuid[];
	v_unmarked uuid[];
BEGIN
	IF current_setting('app.importing', true) = 'on' THEN
		RETURN NULL;
	ELSIF TG_OP = 'INSERT' THEN
		SELECT array_agg(DISTINCT n.user_id), array_agg(n.id) FILTER (WHERE n.is_primary)
		INTO v_users, v_marked FROM new_resumes AS n;
	ELSIF TG_OP = 'DELETE' THEN
		SELECT array_agg(DISTINCT o.user_id) INTO v_users FROM old_resumes AS o WHERE o.is_primary;
	ELSE
		SELECT array_agg(o.user_id) || array_agg(n.user_id), array_agg(n.id) FILTER (WHERE n.is_primary),
			array_agg(n.id) FILTER (WHERE NOT n.is_primary)
		INTO v_users, v_marked, v_unmarked
		FROM new_resumes AS n JOIN old_resumes AS o USING (id)
		WHERE (o.user_id, o.is_primary) <> (n.user_id, n.is_primary);
	END IF;
	IF v_users IS NOT NULL THEN
		PERFORM jobforge.keep_one_primary(v_users, coalesce(v_marked, '{}'), coalesce(v_unmarked, '{}'));
	END IF;
	RETURN NULL;
END
$$;

CREATE TRIGGER keep_primary_resume_on_insert
	AFTER INSERT ON public.user_resumes REFERENCING NEW TABLE AS new_resumes
	FOR EACH STATEMENT EXECUTE FUNCTION jobforge.keep_primary_resume();
CREATE TRIGGER keep_primary_resume_on_update
	AFTER UPDATE ON public.user_resumes REFERENCING OLD TABLE AS old_resumes NEW TABLE AS new_resumes
	FOR EACH STATEMENT EXECUTE FUNCTION jobforge.keep_primary_resume();
CREATE TRIGGER keep_primary_resume_on_delete
	AFTER DELETE ON public.user_resumes REFERENCING OLD TABLE AS old_resumes
	FOR EACH STATEMENT EXECUTE FUNCTION jobforge.keep_primary_resume();

GRANT EXECUTE ON FUNCTION jobforge.keep_one_primary(uuid[], uuid[], uuid[]) TO jobforge_app;

-- An import gives rows the times that they had. They are INSERT's alone to set: no later change can.
GRANT INSERT (created_at, updated_at) ON public.applications, public.documents, public.user_resumes TO jobforge_app;
GRANT INSERT (created_at) ON public.document_embeddings TO jobforge_app;

-- In a transaction of which app.importing says so, what the database itself does to a row just inserted (the phases
-- that follow documents, the primary mark) leaves its updated_at as well.
CREATE OR REPLACE FUNCTION public.update_updated_at_column() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF current_setting('app.importing', true) = 'on' THEN
		RETURN NEW;
	END IF;
	-- A transaction that began earlier may come later, and a clock may be set back: no value may come twice.
	NEW.updated_at := greatest(now(), OLD.updated_at + interval '1 microsecond');
	RETURN NEW;
END
$$;

GRANT CREATE ON SCHEMA public TO jobforge_auth;
SET LOCAL ROLE jobforge_auth;

-- As before, but what it says about documents out of order is for the client to read.
CREATE OR REPLACE FUNCTION public.update_application_phases() RETURNS trigger
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
			RAISE '%', CASE TG_OP
				WHEN 'INSERT' THEN 'There is no research_report yet: it comes before the optimized_resume.'
				ELSE 'The optimized_resume stands on the research_report: delete it first.'
			END USING ERRCODE = 'JF010';
		ELSIF v_letter AND NOT v_resume THEN
			RAISE '%', CASE TG_OP
				WHEN 'INSERT' THEN 'There is no optimized_resume yet: it comes before the cover_letter.'
				ELSE 'The cover_letter stands on the optimized_resume: delete it first.'
			END USING ERRCODE = 'JF010';
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

SET LOCAL ROLE jobforge_owner;
REVOKE CREATE ON SCHEMA public FROM jobforge_auth;

-- Resumes from before: whoever has some has a primary one from now on. As the administrator, since the owner is held by
-- the policies.
SET LOCAL ROLE NONE;
SELECT jobforge.keep_one_primary(ARRAY(SELECT DISTINCT r.user_id FROM public.user_resumes AS r), '{}', '{}');
