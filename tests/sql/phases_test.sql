-- The phases of an application follow its documents, whatever is done to them and in which order.
\ir fixtures.psql

CREATE FUNCTION pgtap.phases(p_application uuid) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', a.status, CASE WHEN a.research_completed THEN 'research' END,
		CASE WHEN a.resume_optimized THEN 'resume' END, CASE WHEN a.cover_letter_generated THEN 'letter' END)
	FROM public.applications AS a WHERE a.id = p_application
$$;
CREATE FUNCTION pgtap.put(p_application uuid, p_type text) RETURNS void LANGUAGE sql AS $$
	INSERT INTO public.documents (application_id, document_type, content)
	VALUES (p_application, p_type::public.document_type_enum, 'Written at ' || clock_timestamp())
	ON CONFLICT (application_id, document_type) DO UPDATE SET content = excluded.content
$$;
CREATE FUNCTION pgtap.drop_document(p_application uuid, p_type text) RETURNS void LANGUAGE sql AS $$
	WITH a AS (SELECT id FROM public.applications WHERE id = p_application FOR NO KEY UPDATE)
	DELETE FROM public.documents AS d USING a
	WHERE d.application_id = a.id AND d.document_type = p_type::public.document_type_enum
$$;

SET SESSION AUTHORIZATION jobforge_app;
SELECT set_config('app.current_user_id', :user_a, true) \g /dev/null
\set a :application_a

-- Forward and back, one document at a time

SELECT is(phases(:a), 'draft', 'without documents');
SELECT is(attempt(NULL, format('SELECT put(%L, %L)', :a, d.type)), d.expected, 'draft: ' || d.type)
FROM (VALUES ('research_report', '1 rows'), ('optimized_resume', 'JF010'), ('cover_letter', 'JF010'))
	AS d (type, expected);
SELECT put(:a, 'research_report') \g /dev/null
SELECT is(phases(:a), 'research_complete research', 'with a research report');
SELECT is(attempt(NULL, format('SELECT put(%L, %L)', :a, 'cover_letter')), 'JF010', 'a letter before its resume');
SELECT put(:a, 'optimized_resume') \g /dev/null
SELECT is(phases(:a), 'resume_ready research resume', 'with a resume');
SELECT is(attempt(NULL, format('SELECT drop_document(%L, %L)', :a, 'research_report')), 'JF010',
	'the research cannot go while the resume stands on it');
SELECT put(:a, 'cover_letter') \g /dev/null
SELECT is(phases(:a), 'cover_letter_ready research resume letter', 'with a cover letter');
SELECT is(attempt(NULL, format('SELECT drop_document(%L, %L)', :a, d.type)), 'JF010', 'nor, with a letter, ' || d.type)
FROM (VALUES ('research_report'), ('optimized_resume')) AS d (type);
SELECT put(:a, d.type) FROM (VALUES ('research_report'), ('optimized_resume'),
	('cover_letter')) AS d (type) \g /dev/null
SELECT is(phases(:a), 'cover_letter_ready research resume letter', 'replacing documents changes no phase');
SELECT drop_document(:a, 'cover_letter') \g /dev/null
SELECT is(phases(:a), 'resume_ready research resume', 'without the letter again');
SELECT drop_document(:a, 'optimized_resume') \g /dev/null
SELECT is(phases(:a), 'research_complete research', 'without the resume again');
SELECT drop_document(:a, 'research_report') \g /dev/null
SELECT is(phases(:a), 'draft', 'without any');

-- What the errors say

SELECT is(message_of(format('SELECT put(%L, %L)', :a, 'optimized_resume')),
	'There is no research_report yet: it comes before the optimized_resume.', 'the missing document is named');
SELECT is(message_of(format('SELECT put(%L, %L)', :a, 'cover_letter')),
	'There is no optimized_resume yet: it comes before the cover_letter.', 'and for a letter');

-- Several in one statement: what counts is what it leaves, in whatever order it writes

INSERT INTO public.documents (application_id, document_type, content)
SELECT :a, d.type::public.document_type_enum, 'Some content'
FROM (VALUES ('cover_letter'), ('optimized_resume'), ('research_report')) AS d (type);
SELECT is(phases(:a), 'cover_letter_ready research resume letter', 'three at once, in the wrong order');
SELECT is(attempt(NULL, 'DELETE FROM public.documents WHERE document_type IN (''research_report'', ''cover_letter'')'),
	'JF010',
	'two at once, of which a third is left in the air');
SELECT is(message_of('DELETE FROM public.documents WHERE document_type IN (''research_report'', ''cover_letter'')'),
	'The optimized_resume stands on the research_report: delete it first.', 'which is named');
SELECT is(message_of(format('SELECT drop_document(%L, %L)', :a, 'optimized_resume')),
	'The cover_letter stands on the optimized_resume: delete it first.', 'and for a letter');
DELETE FROM public.documents WHERE document_type IN ('optimized_resume', 'cover_letter');
SELECT is(phases(:a), 'research_complete research', 'two at once');
SELECT put(:a, 'optimized_resume') \g /dev/null
DELETE FROM public.documents;
SELECT is(phases(:a), 'draft', 'all at once');

-- The application is updated once, and only when a phase changes

UPDATE public.applications SET name = 'renamed' WHERE id = :a;
SELECT updated_at AS before, xmin AS version FROM public.applications WHERE id = :a \gset
SELECT put(:a, 'research_report') \g /dev/null
SELECT is((SELECT updated_at FROM public.applications WHERE id = :a), :'before'::timestamptz + interval '1 microsecond',
	'a new document updates the application once');
SELECT updated_at AS before, ctid AS place FROM public.applications WHERE id = :a \gset
SELECT put(:a, 'research_report') \g /dev/null
UPDATE public.documents SET content = 'Other content';
SELECT is((SELECT format('%s %s', updated_at, ctid) FROM public.applications WHERE id = :a),
	format('%s %s', :'before', :'place'), 'a replaced one does not touch it');

-- Another application of the same user, and one of another

SELECT is(phases(:application_b), NULL, 'another user''s application is not seen');
INSERT INTO public.applications (name, company_name, role_title, job_description)
VALUES ('second', 'c', 'r', repeat('x', 50)) RETURNING id AS second \gset
SELECT is(phases(:'second'), 'draft', 'another application of the same user is untouched');

-- With everything in it, an application and a user can be deleted

SELECT put(:a, d.type) FROM (VALUES ('optimized_resume'), ('cover_letter')) AS d (type) \g /dev/null
SELECT is(attempt(NULL, format('DELETE FROM public.applications WHERE id = %L', :a)), '1 rows',
	'the application is deleted');
SELECT is(attempt(NULL, 'DELETE FROM public.users'), '1 rows', 'the user is deleted');
DELETE FROM public.applications WHERE id = :a;
SELECT is((SELECT count(*) FROM public.documents), 0::bigint, 'and the documents are gone with it');
RESET SESSION AUTHORIZATION;

-- As an administrator, who has set no current user (a restore, a repair): moves and changes of type

SELECT set_config('app.current_user_id', '', true) \g /dev/null
INSERT INTO public.applications (id, user_id, name, company_name, role_title, job_description)
VALUES (:a, :user_a, 'application_a', 'c', 'r', repeat('x', 50));
INSERT INTO public.documents (user_id, application_id, document_type, content)
SELECT :user_a, :a, d.type::public.document_type_enum, 'Some content'
FROM (VALUES ('research_report'), ('optimized_resume')) AS d (type);
SELECT is(phases(:a), 'resume_ready research resume', 'phases follow an administrator too');
SELECT is(attempt(NULL,
	format('UPDATE public.documents SET application_id = %L WHERE application_id = %L AND document_type = %L',
	:'second', :a, d.type)), 'JF010', 'moving away the ' || d.type)
FROM (VALUES ('research_report'), ('optimized_resume')) AS d (type);
UPDATE public.documents SET application_id = :'second' WHERE application_id = :a;
SELECT is(phases(:a) || ', ' || phases(:'second'), 'draft, resume_ready research resume',
	'moving all: both applications follow');
SELECT is(attempt(NULL,
	format('UPDATE public.documents SET document_type = %L WHERE document_type = %L AND user_id = %L',
	'cover_letter', 'optimized_resume', :user_a)), 'JF010', 'a resume cannot become a letter');
DELETE FROM public.documents WHERE user_id = :user_a AND document_type = 'optimized_resume';
SELECT is(attempt(NULL, format('UPDATE public.documents SET document_type = %L WHERE user_id = %L', 'optimized_resume',
	:user_a)), 'JF010', 'nor research a resume');
SELECT is(phases(:'second'), 'research_complete research', 'a refused change leaves the phases');

-- A flag that went wrong is put right by the next document
UPDATE public.applications SET status = 'draft', research_completed = false WHERE id = :'second';
INSERT INTO public.documents (user_id, application_id, document_type, content)
VALUES (:user_a, :'second', 'optimized_resume', 'Some content');
SELECT is(phases(:'second'), 'resume_ready research resume', 'phases are counted, not added up');

SELECT * FROM finish();
ROLLBACK;
