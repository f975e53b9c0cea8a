-- Another's application or document is exactly like one that never was, whether or not there is a row to collide with.
-- Unlike policies_test.sql with rights and triggers as they are.
\ir fixtures.psql

INSERT INTO public.documents (user_id, id, application_id, document_type, content)
SELECT a.user_id, a.id, a.id, 'research_report', 'A report of some length' FROM public.applications AS a
WHERE a.id IN (:application_a, :application_b);
INSERT INTO public.document_embeddings (user_id, document_id, embedding)
SELECT d.user_id, d.id, array_fill(0.5, ARRAY[1536])::public.vector FROM public.documents AS d
	WHERE d.id = :application_a;
SET SESSION AUTHORIZATION jobforge_app;
SELECT set_config('app.current_user_id', :user_b, true) \g /dev/null
SELECT is(message_of(format(s.statement, :application_a)), message_of(format(s.statement, gen_random_uuid())), s.name)
FROM (VALUES
	('a document of another''s application', $$INSERT INTO public.documents (application_id, document_type, content)
		VALUES (%L, 'research_report', 'Some content')$$),
	('the same, replacing', $$INSERT INTO public.documents (application_id, document_type, content)
		VALUES (%L, 'research_report', 'Some content')
		ON CONFLICT (application_id, document_type) DO UPDATE SET content = excluded.content$$),
	('an embedding of another''s document', $$INSERT INTO public.document_embeddings (document_id, embedding)
		VALUES (%L, array_fill(0.5, ARRAY[1536])::public.vector)$$),
	('the same, replacing one', $$INSERT INTO public.document_embeddings (document_id, embedding)
		VALUES (%L, array_fill(0.5, ARRAY[1536])::public.vector)
		ON CONFLICT (document_id) DO UPDATE SET embedding = excluded.embedding$$)) AS s (name, statement);
SELECT is(constraint_of(format(s.statement, :application_a)), s.name, s.name || ' refuses another''s')
FROM (VALUES
	('documents_application_id_fkey', $$INSERT INTO public.documents (application_id, document_type, content)
		VALUES (%L, 'research_report', 'Some content')$$),
	('document_embeddings_document_id_fkey', $$INSERT INTO public.document_embeddings (document_id, embedding)
		VALUES (%L, array_fill(0.5, ARRAY[1536])::public.vector)$$)) AS s (name, statement);
SELECT is(attempt(:user_b, $$INSERT INTO public.documents (application_id, document_type, content)
	VALUES ('bbbbbbbb-0000-4000-8000-000000000001', 'optimized_resume', 'Some content')$$), '1 rows',
	'while one''s own is accepted');
SELECT is(attempt('', $$INSERT INTO public.documents (application_id, document_type, content)
	VALUES ('bbbbbbbb-0000-4000-8000-000000000001', 'optimized_resume', 'Some content')$$), '42501',
	'and without a user nothing is');
RESET SESSION AUTHORIZATION;

SELECT * FROM finish();
ROLLBACK;
