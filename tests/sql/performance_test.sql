-- performance_record: each minute's figures of each route, and their end.
\ir fixtures.psql

-- Two rows of the kind that a worker sends.
\set rows '''[{"route": "/x", "method": "GET", "pool": "api", "requests": 3, "client_errors": 1, "server_errors": 1, "seconds": 0.5, "p50": 0.1, "p95": 0.2, "p99": 0.3}, {"route": "unmatched", "method": "POST", "requests": 1, "client_errors": 1, "server_errors": 0, "seconds": 0.1, "p50": 0.1, "p95": 0.1, "p99": 0.1}]'''::jsonb
\set started 1767225600123456
\set ended 1767225660000001

SET SESSION AUTHORIZATION jobforge_app;
SELECT lives_ok(format('SELECT jobforge.performance_record(''a'', %s, %s, %L, 36500)', :started, :ended, :rows),
	'a worker writes a span');
SELECT is(attempt(NULL, s.statement), '42501', 'but may not: ' || s.statement)
FROM (VALUES ('SELECT FROM public.performance_metrics'), ('DELETE FROM public.performance_metrics'),
	('UPDATE public.performance_metrics SET requests = 0'),
	('INSERT INTO public.performance_metrics (instance) VALUES (''x'')')) AS s (statement);
RESET SESSION AUTHORIZATION;

SELECT results_eq($$
	SELECT started_at::text, ended_at::text, instance, method, route, pool, requests, client_errors, server_errors,
		total_seconds, p50_seconds, p95_seconds, p99_seconds FROM public.performance_metrics ORDER BY route
$$, $$VALUES
	('2026-01-01 00:00:00.123456+00', '2026-01-01 00:01:00.000001+00', 'a', 'GET', '/x', 'api', 3::bigint, 1::bigint,
		1::bigint, 0.5::float8, 0.1::float8, 0.2::float8, 0.3::float8),
	('2026-01-01 00:00:00.123456+00', '2026-01-01 00:01:00.000001+00', 'a', 'POST', 'unmatched', NULL, 1, 1, 0, 0.1,
		0.1, 0.1, 0.1)
$$, 'to the microsecond');

-- The same begin again, by a worker that does not know that it was written.

SELECT jobforge.performance_record('a', :started, :ended + 60000000, jsonb_set(:rows, '{0,requests}', '9'), 36500) \g /dev/null
SELECT results_eq($$
	SELECT route, requests, ended_at::text FROM public.performance_metrics ORDER BY route
$$, $$VALUES ('/x', 9::bigint, '2026-01-01 00:02:00.000001+00'), ('unmatched', 1, '2026-01-01 00:02:00.000001+00')$$,
	'a longer span with the same begin replaces the shorter');
SELECT jobforge.performance_record('b', :started, :ended, :rows, 36500) \g /dev/null
SELECT is((SELECT count(*) FROM public.performance_metrics), 4::bigint, 'another host has rows of its own');

-- What is refused

SELECT is(constraint_of(format('SELECT jobforge.performance_record(''a'', %s, %s, %L, 1)', :ended, :started, :rows)),
	'performance_metrics_span', 'an end before the begin');
SELECT is(constraint_of(format('SELECT jobforge.performance_record(''a'', 1, 2, %L, 1)',
	jsonb_set(:rows, '{0,server_errors}', '3'))), 'performance_metrics_counts', 'more errors than requests');

-- Retention

TRUNCATE public.performance_metrics;
INSERT INTO public.performance_metrics
SELECT now() - make_interval(mins => m), 'a', 'GET', '/x', now(), 'api', 1, 0, 0, 1, 1, 1, 1
FROM generate_series(0, 2999) AS m;
SELECT jobforge.performance_record('a', 1, 2, '[]', 1) \g /dev/null
SELECT is((SELECT count(*) FROM public.performance_metrics), 2000::bigint, 'a thousand at most go at a time');
SELECT jobforge.performance_record('a', 1, 2, '[]', 1) \g /dev/null
SELECT jobforge.performance_record('a', 1, 2, '[]', 1) \g /dev/null
SELECT is((SELECT count(*) FROM public.performance_metrics), 1441::bigint, 'until those of the last day are left');
SELECT is((SELECT min(started_at) FROM public.performance_metrics), now() - interval '1 day', 'and no older one');

SELECT * FROM finish();
ROLLBACK;
