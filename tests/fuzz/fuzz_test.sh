#!/bin/sh
# The short form of tests/fuzz/run: all inputs that are kept, and a minute of new ones for each target.
set -u

: "${srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
if [ -z "${JOBFORGE_TEST_FUZZ_BUILD:-}" ]; then
	echo "1..0 # SKIP JOBFORGE_TEST_FUZZ_BUILD is not set: ./dev test sets it"
	exit 0
fi
unset MAKEFLAGS MFLAGS MAKELEVEL # a make of its own
nice -n 10 "$srcdir/tests/fuzz/run" --build="$JOBFORGE_TEST_FUZZ_BUILD" --seconds=60 --jobs=2 --seed=1
# 1: a target found something, which its line says already.
[ $? -le 1 ]
