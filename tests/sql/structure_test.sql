-- The tables, columns, types, constraints and indexes of the requirement, and what was added to them.
\ir fixtures.psql

SELECT has_type('public', t.name, 'type ' || t.name || ' exists') FROM (VALUES ('priority_level_type'),
	('application_status_type'), ('document_type_enum'), ('focus_area_type')) AS t (name);
SELECT enum_has_labels('public', 'priority_level_type', ARRAY['low', 'medium', 'high']);
SELECT enum_has_labels('public', 'application_status_type',
	ARRAY['draft', 'research_complete', 'resume_ready', 'cover_letter_ready']);
SELECT enum_has_labels('public', 'document_type_enum', ARRAY['research_report', 'optimized_resume', 'cover_letter']);
SELECT enum_has_labels('public', 'focus_area_type',
	ARRAY['software_development', 'data_science', 'management', 'consulting', 'other']);

SELECT is(
	(SELECT format('%s%s%s%s', format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN ' not null' END,
			CASE a.attgenerated WHEN 's' THEN ' generated ' WHEN '' THEN ' default ' END
				|| pg_get_expr(d.adbin, d.adrelid),
			CASE a.attstorage WHEN 'p' THEN CASE WHEN a.attlen < 0 THEN ' plain' END END)
		FROM pg_attribute AS a
		LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
		WHERE a.attrelid = c.relation::regclass AND a.attname = c.name AND a.attnum > 0),
	c.definition, c.relation || '.' || c.name)
FROM (VALUES
	('public.users', 'id', 'uuid not null default gen_random_uuid()'),
	('public.users', 'email', 'character varying(255) not null'),
	('public.users', 'password_hash', 'character varying(255) not null'),
	('public.users', 'full_name', 'character varying(255) not null'),
	('public.users', 'created_at', 'timestamp with time zone not null default now()'),
	('public.users', 'updated_at', 'timestamp with time zone not null default now()'),
	('public.applications', 'id', 'uuid not null default gen_random_uuid()'),
	('public.applications', 'user_id', 'uuid not null default public.get_current_user_id()'),
	('public.applications', 'name', 'character varying(255) not null'),
	('public.applications', 'company_name', 'character varying(255) not null'),
	('public.applications', 'role_title', 'character varying(255) not null'),
	('public.applications', 'job_url', 'text'),
	('public.applications', 'job_description', 'text not null'),
	('public.applications', 'location', 'character varying(255)'),
	('public.applications', 'priority_level',
		'public.priority_level_type not null default ''medium''::public.priority_level_type'),
	('public.applications', 'status',
		'public.application_status_type not null default ''draft''::public.application_status_type'),
	('public.applications', 'research_completed', 'boolean not null default false'),
	('public.applications', 'resume_optimized', 'boolean not null default false'),
	('public.applications', 'cover_letter_generated', 'boolean not null default false'),
	('public.applications', 'created_at', 'timestamp with time zone not null default now()'),
	('public.applications', 'updated_at', 'timestamp with time zone not null default now()'),
	('public.applications', 'search', 'tsvector not null generated jobforge.search_vector(job_description)'),
	('public.documents', 'id', 'uuid not null default gen_random_uuid()'),
	('public.documents', 'user_id', 'uuid not null default public.get_current_user_id()'),
	('public.documents', 'application_id', 'uuid not null'),
	('public.documents', 'document_type', 'public.document_type_enum not null'),
	('public.documents', 'content', 'text not null'),
	('public.documents', 'created_at', 'timestamp with time zone not null default now()'),
	('public.documents', 'updated_at', 'timestamp with time zone not null default now()'),
	('public.documents', 'search', 'tsvector not null generated jobforge.search_vector(content)'),
	('public.user_resumes', 'id', 'uuid not null default gen_random_uuid()'),
	('public.user_resumes', 'user_id', 'uuid not null default public.get_current_user_id()'),
	('public.user_resumes', 'name', 'character varying(255) not null'),
	('public.user_resumes', 'content', 'text not null'),
	('public.user_resumes', 'focus_area', 'public.focus_area_type not null default ''other''::public.focus_area_type'),
	('public.user_resumes', 'is_primary', 'boolean not null default false'),
	('public.user_resumes', 'created_at', 'timestamp with time zone not null default now()'),
	('public.user_resumes', 'updated_at', 'timestamp with time zone not null default now()'),
	('public.user_resumes', 'search', 'tsvector not null generated jobforge.search_vector(content)'),
	('public.document_embeddings', 'id', 'uuid not null default gen_random_uuid()'),
	('public.document_embeddings', 'user_id', 'uuid not null default public.get_current_user_id()'),
	('public.document_embeddings', 'document_id', 'uuid not null'),
	('public.document_embeddings', 'embedding', 'public.vector(1536) not null plain'),
	('public.document_embeddings', 'norm', 'double precision not null generated public.vector_norm(embedding)'),
	('public.document_embeddings', 'created_at', 'timestamp with time zone not null default now()')
) AS c (relation, name, definition);

SELECT is(
	(SELECT count(*) FROM pg_attribute AS a WHERE a.attrelid = t.name::regclass AND a.attnum > 0
		AND NOT a.attisdropped),
	t.columns::bigint, t.name || ' has no other columns')
FROM (VALUES ('public.users', 6), ('public.applications', 16), ('public.documents', 8), ('public.user_resumes', 9),
	('public.document_embeddings', 6)) AS t (name, columns);

SELECT is(
	(SELECT pg_get_constraintdef(o.oid) FROM pg_constraint AS o
		WHERE o.conrelid = c.relation::regclass AND o.conname = c.name AND o.convalidated AND NOT o.condeferrable),
	c.definition, c.name)
FROM (VALUES
	('public.users', 'users_pkey', 'PRIMARY KEY (id)'),
	('public.applications', 'applications_pkey', 'PRIMARY KEY (id)'),
	('public.applications', 'applications_id_user_id_key', 'UNIQUE (id, user_id)'),
	('public.applications', 'applications_user_id_fkey',
		'FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE'),
	('public.documents', 'documents_pkey', 'PRIMARY KEY (id)'),
	('public.documents', 'documents_id_user_id_key', 'UNIQUE (id, user_id)'),
	('public.documents', 'unique_document_per_application', 'UNIQUE (application_id, document_type)'),
	('public.documents', 'documents_application_id_fkey',
		'FOREIGN KEY (application_id, user_id) REFERENCES public.applications(id, user_id) ON DELETE CASCADE'),
	('public.user_resumes', 'user_resumes_pkey', 'PRIMARY KEY (id)'),
	('public.user_resumes', 'user_resumes_user_id_fkey',
		'FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE'),
	('public.document_embeddings', 'document_embeddings_pkey', 'PRIMARY KEY (id)'),
	('public.document_embeddings', 'unique_embedding_per_document', 'UNIQUE (document_id)'),
	('public.document_embeddings', 'document_embeddings_document_id_fkey',
		'FOREIGN KEY (document_id, user_id) REFERENCES public.documents(id, user_id) ON DELETE CASCADE'),
	('public.usage_tracking', 'usage_tracking_pkey', 'PRIMARY KEY (user_id, period)'),
	('public.usage_tracking', 'usage_tracking_user_id_fkey',
		'FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE'),
	('public.subscriptions', 'subscriptions_pkey', 'PRIMARY KEY (user_id)'),
	('public.subscriptions', 'subscriptions_user_id_fkey',
		'FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE'),
	('public.subscriptions', 'subscriptions_plan_fkey',
		'FOREIGN KEY (plan) REFERENCES public.plans(name) ON UPDATE CASCADE'),
	('jobforge.refresh_families', 'refresh_families_user_id_fkey',
		'FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE'),
	('jobforge.refresh_tokens', 'refresh_tokens_family_id_fkey',
		'FOREIGN KEY (family_id, user_id) REFERENCES jobforge.refresh_families(id, user_id) ON DELETE CASCADE'),
	('jobforge.idempotency_keys', 'idempotency_keys_pkey', 'PRIMARY KEY (user_id, key)'),
	('jobforge.idempotency_keys', 'idempotency_keys_user_id_fkey',
		'FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE')
) AS c (relation, name, definition);

SELECT is(
	(SELECT regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING ', '') FROM pg_index AS i
		WHERE i.indexrelid = to_regclass('public.' || c.name) AND i.indisvalid),
	c.definition, c.name)
FROM (VALUES
	('users_email_key', 'btree (lower(((email)::text COLLATE "C")))'),
	('idx_applications_created_at', 'btree (user_id, created_at, id)'),
	('idx_applications_company_name', 'btree (user_id, company_name COLLATE "und-x-icu", id)'),
	('idx_documents_updated_at', 'btree (user_id, updated_at, id)'),
	('idx_user_resumes_user_id', 'btree (user_id, created_at, id)'),
	('unique_primary_resume', 'btree (user_id) WHERE is_primary'),
	('idx_document_embeddings_user_id', 'btree (user_id)'),
	('audit_log_pkey', 'btree (user_id, created_at, id)'),
	('idx_usage_tracking_current', 'btree (user_id) WHERE is_current'),
	('idx_plans_default', 'btree (is_default) WHERE is_default')
) AS c (name, definition);
SELECT is((SELECT pg_get_constraintdef(o.oid) FROM pg_constraint AS o WHERE o.conname = 'unique_primary_resume'),
	'EXCLUDE USING btree (user_id WITH =) WHERE (is_primary) DEFERRABLE INITIALLY DEFERRED',
	'unique_primary_resume is checked when the transaction ends');
SELECT is_empty($$
	SELECT c.relname FROM pg_class AS c JOIN pg_am AS m ON m.oid = c.relam
	WHERE c.relkind = 'i' AND c.relnamespace IN ('public'::regnamespace, 'jobforge'::regnamespace)
		AND m.amname <> 'btree'
$$, 'no index that row level security keeps from being used');
SELECT is_empty($$
	SELECT o.conname FROM pg_constraint AS o
	WHERE o.contype = 'f' AND o.connamespace IN ('public'::regnamespace, 'jobforge'::regnamespace)
		AND NOT EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = o.conrelid AND i.indkey[0] = o.conkey[1])
$$, 'every foreign key has an index to follow when what it names is deleted');

SELECT is((SELECT max(version) FROM jobforge.schema_migrations), 14, 'the ledger says which schema this is');
SELECT is((SELECT e.extnamespace::regnamespace::text FROM pg_extension AS e WHERE e.extname = 'vector'), 'public',
	'pgvector is in public');

SELECT * FROM finish();
ROLLBACK;
