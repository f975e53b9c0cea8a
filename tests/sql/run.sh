#!/bin/sh
# Runs one pgTAP file and prints TAP: run.sh FILE.sql
# JOBFORGE_TEST_SQL_DATABASE names a migrated database, as a superuser. Each file is one transaction, rolled back.
set -eu

if [ -z "${JOBFORGE_TEST_SQL_DATABASE:-}" ]; then
	echo "1..0 # SKIP JOBFORGE_TEST_SQL_DATABASE is not set: ./dev test sets it"
	exit 0
fi

run_psql() {
	PGOPTIONS="${PGOPTIONS:-} -c client_min_messages=warning" \
		psql -X -q -A -t -v ON_ERROR_STOP=1 -d "$JOBFORGE_TEST_SQL_DATABASE" "$@"
}

# pgTAP has a schema of its own, so that nothing of it is found by accident. The lock is for files that run at once.
prepare() {
	run_psql -1 -o /dev/null \
		-c 'SELECT pg_advisory_xact_lock(7251001)' \
		-c 'CREATE SCHEMA IF NOT EXISTS pgtap' \
		-c 'GRANT USAGE ON SCHEMA pgtap TO PUBLIC' \
		-c 'CREATE EXTENSION IF NOT EXISTS pgtap SCHEMA pgtap'
}

status=0
{ prepare && run_psql -f "$1"; } 2>&1 || status=$?
# A file that stopped in the middle has printed no plan, and this line has no number: both are failures to any reader.
[ "$status" -eq 0 ] || echo "not ok - $1 runs to its end (psql: $status)"
