#!/bin/sh
# The main files of the end-to-end tests once more, with PgBouncer between the workers and the database; without sanitizers, under
# which they have run already. `./dev pgbouncer` runs all files that way.
if [ -z "${JOBFORGE_TEST_PGBOUNCER:-}" ]; then
	echo "1..0 # SKIP JOBFORGE_TEST_PGBOUNCER is not set: ./dev test sets it"
	exit 0
fi
directory=$(cd "$(dirname "$0")" && pwd)
JOBFORGE_TEST_POOLED=yes
JOBFORGE_TEST_BUILD=$JOBFORGE_TEST_PLAIN_BUILD
export JOBFORGE_TEST_POOLED JOBFORGE_TEST_BUILD
for name in auth applications documents isolation in_flight kept; do
	set -- "$@" "$directory/test_$name.py"
done
exec sh "$directory/run.sh" "$@"
