#!/bin/sh
# Every script is clean to shellcheck(1).
set -u

: "${srcdir:=$(cd "$(dirname "$0")/.." && pwd)}"
if ! command -v shellcheck > /dev/null; then
	echo "1..0 # SKIP shellcheck is not installed"
	exit 0
fi
count=0
for script in "$srcdir"/dev "$srcdir"/.ci/run "$srcdir"/nginx/render "$srcdir"/setup/jobforge-setup.in \
	"$srcdir"/debian/jobforge.p* "$srcdir"/tests/*.sh "$srcdir"/tests/lint "$srcdir"/tests/coverage "$srcdir"/tests/memcheck "$srcdir"/tests/fuzz/run "$srcdir"/tests/*/*.sh; do
	count=$((count + 1))
	if said=$(shellcheck "$script"); then
		echo "ok $count - ${script#"$srcdir/"}"
	else
		echo "not ok $count - ${script#"$srcdir/"}"
		printf '%s\n' "$said" | sed 's/^/# /'
	fi
done
echo "1..$count"
