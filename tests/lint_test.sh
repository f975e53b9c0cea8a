#!/bin/sh
# The analysers of `./dev lint` find nothing. A minute of a processor and more: only where `./dev test` asks for it, so
# that the check of the distribution does not do it again.
set -u

: "${srcdir:=$(cd "$(dirname "$0")/.." && pwd)}"
if [ -z "${JOBFORGE_TEST_LINT:-}" ]; then
	echo "1..0 # SKIP JOBFORGE_TEST_LINT is not set: ./dev test sets it"
	exit 0
fi
for tool in clang-tidy cppcheck; do
	if ! command -v "$tool" > /dev/null; then
		echo "1..0 # SKIP $tool is not installed"
		exit 0
	fi
done
files=$(find "$srcdir/src" "$srcdir/tests/fuzz" "$srcdir/tests/unit" -name '*.c' | wc -l)
said=$(LINT_JOBS=1 "$srcdir/tests/lint" 2>&1)
status=$?
if [ "$status" -eq 0 ]; then
	echo "ok 1 - clang-tidy, the clang analyser and cppcheck find nothing in $files files"
else
	echo "not ok 1 - clang-tidy, the clang analyser or cppcheck find something in $files files"
	printf '%s\n' "$said" | sed 's/^/# /'
fi
echo "1..1"
