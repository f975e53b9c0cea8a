#!/bin/sh
# Two sessions at once: see race.py.
set -eu

if [ -z "${JOBFORGE_TEST_SQL_DATABASE:-}" ]; then
	echo "1..0 # SKIP JOBFORGE_TEST_SQL_DATABASE is not set: ./dev test sets it"
	exit 0
fi
exec "${JOBFORGE_TEST_PYTHON:-/usr/bin/python3}" -B "$(dirname "$0")/race.py"
