-- Each minute's figures of each route, for those who watch the service without Prometheus: one of the requirement's planned
-- tables. It holds nothing of any user.
--
-- A worker writes what was counted in a span of time, usually a minute; after the database was away, of all the time that it was.
-- The span's begin and the instance are the key, so that a worker that ends after COMMIT and before it has noted that, and
-- another that then writes a longer span with the same begin, leave one row.
SET LOCAL ROLE jobforge_owner;

CREATE TABLE public.performance_metrics (
	started_at timestamptz NOT NULL,
	instance text NOT NULL, -- the host of the workers
	method text NOT NULL,
	route text NOT NULL,    -- as the table of endpoints has it; 'unmatched' for any other address
	ended_at timestamptz NOT NULL,
	pool text,              -- NULL for 'unmatched', which any pool may answer
	requests bigint NOT NULL,
	client_errors bigint NOT NULL, -- 4xx
	server_errors bigint NOT NULL, -- 5xx
	total_seconds double precision NOT NULL,
	p50_seconds double precision NOT NULL, -- estimated from a histogram
	p95_seconds double precision NOT NULL,
	p99_seconds double precision NOT NULL,
	CONSTRAINT performance_metrics_pkey PRIMARY KEY (started_at, instance, method, route),
	CONSTRAINT performance_metrics_span CHECK (ended_at >= started_at),
	CONSTRAINT performance_metrics_counts CHECK (requests >= client_errors + server_errors AND client_errors >= 0
		AND server_errors >= 0)
);

-- Writes a span, given in microseconds since 1970, and sweeps some of what is older than p_keep_days. The workers have no
-- right on the table itself.
CREATE FUNCTION jobforge.performance_record(p_instance text, p_started bigint, p_ended bigint, p_rows jsonb,
	p_keep_days integer) RETURNS void
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	-- ARRAY: a plain IN (SELECT ...) may be planned as a join that runs the sub-select, and its LIMIT, many times.
	DELETE FROM public.performance_metrics AS m
	WHERE (m.started_at, m.instance, m.method, m.route) IN (
		SELECT o.started_at, o.instance, o.method, o.route FROM unnest(ARRAY(
			SELECT p FROM public.performance_metrics AS p
			WHERE p.started_at < now() - make_interval(days => p_keep_days)
			ORDER BY p.started_at
			LIMIT 1000
			FOR UPDATE SKIP LOCKED)) AS o);
	INSERT INTO public.performance_metrics (started_at, instance, method, route, ended_at, pool, requests, client_errors,
		server_errors, total_seconds, p50_seconds, p95_seconds, p99_seconds)
	SELECT timestamptz 'epoch' + p_started * interval '1 microsecond', p_instance, r.method, r.route,
		timestamptz 'epoch' + p_ended * interval '1 microsecond', r.pool, r.requests, r.client_errors, r.server_errors,
		r.seconds, r.p50, r.p95, r.p99
	FROM jsonb_to_recordset(p_rows) AS r (method text, route text, pool text, requests bigint, client_errors bigint,
		server_errors bigint, seconds double precision, p50 double precision, p95 double precision,
		p99 double precision)
	ON CONFLICT ON CONSTRAINT performance_metrics_pkey DO UPDATE SET ended_at = EXCLUDED.ended_at,
		requests = EXCLUDED.requests, client_errors = EXCLUDED.client_errors, server_errors = EXCLUDED.server_errors,
		total_seconds = EXCLUDED.total_seconds, p50_seconds = EXCLUDED.p50_seconds,
		p95_seconds = EXCLUDED.p95_seconds, p99_seconds = EXCLUDED.p99_seconds;
END;

GRANT EXECUTE ON FUNCTION jobforge.performance_record(text, bigint, bigint, jsonb, integer) TO jobforge_app;
