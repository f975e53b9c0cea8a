-- Which rows a user sees, and which columns the workers may write.
--
-- Mended of the requirement:
--  * row level security was enabled but not forced, so that the owner passed by it;
--  * policies called current_setting() bare, an error where no user was ever set and a cast error on ''. Now no user
--    means no rows, and the sub-select makes it once per statement;
--  * policies had USING alone. WITH CHECK is the same for all verbs, but it is written out;
--  * policies of documents and embeddings searched the user's applications; they now compare their own user_id.
SET LOCAL ROLE jobforge_owner;

ALTER TABLE public.users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.applications ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.documents ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.user_resumes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.document_embeddings ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

CREATE POLICY users_own_data ON public.users FOR ALL
	USING (id = (SELECT public.get_current_user_id()))
	WITH CHECK (id = (SELECT public.get_current_user_id()));

CREATE POLICY applications_user_access ON public.applications FOR ALL
	USING (user_id = (SELECT public.get_current_user_id()))
	WITH CHECK (user_id = (SELECT public.get_current_user_id()));

CREATE POLICY documents_user_access ON public.documents FOR ALL
	USING (user_id = (SELECT public.get_current_user_id()))
	WITH CHECK (user_id = (SELECT public.get_current_user_id()));

CREATE POLICY user_resumes_access ON public.user_resumes FOR ALL
	USING (user_id = (SELECT public.get_current_user_id()))
	WITH CHECK (user_id = (SELECT public.get_current_user_id()));

CREATE POLICY document_embeddings_access ON public.document_embeddings FOR ALL
	USING (user_id = (SELECT public.get_current_user_id()))
	WITH CHECK (user_id = (SELECT public.get_current_user_id()));

-- The workers. Ids, times, status and the phase flags are the database's to set; a user comes by jobforge.register().
GRANT SELECT, DELETE, UPDATE (email, password_hash, full_name) ON public.users TO jobforge_app;
GRANT SELECT, DELETE,
	INSERT (user_id, name, company_name, role_title, job_url, job_description, location, priority_level),
	UPDATE (name, company_name, role_title, job_url, job_description, location, priority_level)
	ON public.applications TO jobforge_app;
GRANT SELECT, DELETE, INSERT (user_id, application_id, document_type, content), UPDATE (content)
	ON public.documents TO jobforge_app;
GRANT SELECT, DELETE, INSERT (user_id, name, content, focus_area, is_primary),
	UPDATE (name, content, focus_area, is_primary)
	ON public.user_resumes TO jobforge_app;
GRANT SELECT, DELETE, INSERT (user_id, document_id, embedding), UPDATE (embedding)
	ON public.document_embeddings TO jobforge_app;
GRANT EXECUTE ON FUNCTION public.get_current_user_id(), public.user_owns_application(uuid),
	public.generate_application_name(varchar, varchar) TO jobforge_app;

-- What update_application_phases() needs.
GRANT SELECT (id, user_id, research_completed, resume_optimized, cover_letter_generated, status),
	UPDATE (research_completed, resume_optimized, cover_letter_generated, status)
	ON public.applications TO jobforge_auth;
GRANT SELECT (application_id, document_type) ON public.documents TO jobforge_auth;
