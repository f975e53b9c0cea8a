#!/bin/sh
# The man pages say what the programs do: every key with its values and default, every command, every option, and
# nothing that does not exist. Needs the built programs, no database.
set -u

: "${srcdir:=$(cd "$(dirname "$0")/.." && pwd)}"
: "${builddir:=${JOBFORGE_TEST_BUILD:-.}}"
conf_page=$srcdir/src/jobforged.conf.5
ctl_page=$srcdir/src/jobforgectl.8
daemon_page=$srcdir/src/jobforged.8
tab=$(printf '\t')
count=0
failed=0

work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT

# report STATUS NAME: one line of TAP.
report() {
	count=$((count + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $count - $2"
	else
		echo "not ok $count - $2"
		failed=1
	fi
}

# same FILE FILE NAME: the two lists are equal; the difference is shown.
same() {
	diff "$1" "$2" > "$work/diff" && [ -s "$1" ]
	report $? "$3"
	sed 's/^/# /' "$work/diff"
}

ctl() {
	env -i PATH="$PATH" "$builddir/jobforgectl" "$@"
}

if ! ctl version > "$work/version"; then
	echo "Bail out! $builddir/jobforgectl does not run"
	exit 99
fi

# ---- keys ----
# The pages show the paths of a build for /etc and /run; this one may be for others.
sysconfdir=$(sed -n 's|^configuration: \(.*\)/jobforge/jobforged\.conf$|\1|p' "$work/version")
runstatedir=$(sed -n 's|^sockets: \(.*\)/jobforge$|\1|p' "$work/version")

ctl config --example | sed -e "s|default: $sysconfdir/|default: /etc/|" -e "s|default: $runstatedir/|default: /run/|" |
	awk -v tab="$tab" '/^# Values: / { values = substr($0, 3) }
	/^#[a-z]/ { sub(/^#/, "", $1); print $1 tab values }' > "$work/keys.program"
awk -v tab="$tab" '/^\.It Ic / { key = $3 } /^Values: / { print key tab $0 }' "$conf_page" > "$work/keys.page"
same "$work/keys.program" "$work/keys.page" \
	"each key is in jobforged.conf(5) with its values and default, in the table's order"

grep -c '^\.It Ic ' "$conf_page" > "$work/items"
wc -l < "$work/keys.program" | tr -d ' ' > "$work/keys"
same "$work/keys" "$work/items" "jobforged.conf(5) has no other key"

ctl config --json | tr ',{' '\n' | sed -n 's/^"\([a-z_]*\)":.*/\1/p' > "$work/keys.json"
cut -f 1 "$work/keys.program" > "$work/keys.names"
same "$work/keys.json" "$work/keys.names" "config --json prints the same keys"

# ---- jobforgectl ----
# The columns of a list of `help`: name, summary.
list_items() {
	awk '/^  [^ ]/ { line = substr($0, 3); sub(/   *.*/, "", line); print line }'
}

ctl help | sed -n '/^Commands:/,/^$/p' | list_items | sort > "$work/commands.program"
sed -n 's/^\.It Ic \([a-z -]*\).*/\1/p' "$ctl_page" | sed 's/ *$//' | sort > "$work/commands.page"
same "$work/commands.program" "$work/commands.page" "the commands of jobforgectl(8)"

{
	ctl help | sed -n '/^Options/,$p' | list_items | grep -v '^--KEY='
	while read -r command; do
		# A command may be two words.
		# shellcheck disable=SC2086
		ctl help $command | list_items
	done < "$work/commands.program"
} | sort > "$work/options.program"
sed -n 's/^\.It Fl -\(.*\)/--\1/p' "$ctl_page" | sed 's/ Ar / /' | sort > "$work/options.page"
same "$work/options.program" "$work/options.page" "the options of jobforgectl(8), with their values"

while read -r command; do
	# shellcheck disable=SC2086
	summary=$(ctl help $command | sed -n 3p)
	[ -n "$summary" ]
	report $? "jobforgectl help $command: $summary"
done < "$work/commands.program"

grep -hoE '(^ +|&& |`)jobforgectl [a-z-]+( [a-z-]+)?' "$srcdir/doc/operating.md" "$srcdir/README.md" |
	sed -e 's/.*jobforgectl //' -e '/^\(key\|plan\|user\) /!s/ .*//' | sort -u > "$work/commands.guide"
[ -s "$work/commands.guide" ] && ! grep -vxF -f "$work/commands.program" "$work/commands.guide" > "$work/diff"
report $? "the guide and README know no other commands"
sed 's/^/# /' "$work/diff"

# ---- jobforged ----
"$builddir/jobforged" --help | grep -oE -e '(^|[^-a-zA-Z])--?[a-z]+' | grep -oE -e '--?[a-z]+' |
	sort -u > "$work/daemon.program"
sed -n 's/^\.It Fl \([^ ]*\).*/-\1/p' "$daemon_page" | sort -u > "$work/daemon.page"
same "$work/daemon.program" "$work/daemon.page" "the options of jobforged(8)"

# ---- the schema ----
sed -n 's/^schema version: //p' "$work/version" > "$work/schema.program"
find "$srcdir/sql/migrations" -name '*.sql' | sed 's|.*/0*\([0-9]*\)_.*|\1|' | sort -n |
	tail -n 1 > "$work/schema.files"
same "$work/schema.program" "$work/schema.files" "SCHEMA_VERSION is the number of the last migration"

# ---- mdoc ----
if command -v mandoc > "$work/mandoc"; then
	for page in "$conf_page" "$ctl_page" "$daemon_page" "$srcdir/src/jobforge-setup.8"; do
		mandoc -Tlint -Wwarning "$page" > "$work/lint" 2>&1
		report $? "mandoc -Tlint -Wwarning $(basename "$page")"
		sed 's/^/# /' "$work/lint"
	done
else
	count=$((count + 1))
	echo "ok $count - the pages' syntax # SKIP mandoc is not installed"
fi

echo "1..$count"
exit "$failed"
