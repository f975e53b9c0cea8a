#!/bin/sh
# Runs one file of the end-to-end tests and prints TAP: run.sh FILE [pytest options]
set -eu

if [ -z "${JOBFORGE_TEST_CLUSTER:-}" ]; then
	echo "1..0 # SKIP JOBFORGE_TEST_CLUSTER is not set: ./dev test sets it"
	exit 0
fi
directory=$(cd "$(dirname "$0")" && pwd)
: "${JOBFORGE_TEST_SOURCE:=$(cd "$directory/../.." && pwd)}"
JOBFORGE_TAP_FD=3
PYTHONDONTWRITEBYTECODE=1 # the source tree may be read-only (make distcheck)
export JOBFORGE_TEST_SOURCE JOBFORGE_TAP_FD PYTHONDONTWRITEBYTECODE

# TAP alone on standard output; what pytest has to say about a failure goes to standard error, hence to the log.
status=0
"${JOBFORGE_TEST_PYTHON:-/usr/bin/python3}" -m pytest -p no:cacheprovider -q -rN --tb=short --durations=6 --rootdir="$directory" \
	"$@" 3>&1 1>&2 || status=$?
# 1: a test failed, which its line says already.
[ "$status" -eq 1 ] && status=0
exit "$status"
