#!/bin/sh
# nginx/render: what it puts in, and what it refuses.
set -u

: "${srcdir:=$(cd "$(dirname "$0")/.." && pwd)}"
count=0
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT

# is NAME EXPECTED ACTUAL: one line of TAP.
is() {
	count=$((count + 1))
	if [ "$2" = "$3" ]; then
		echo "ok $count - $1"
	else
		echo "not ok $count - $1"
		printf '%s\n' "expected: $2" "actual: $3" | sed 's/^/# /'
	fi
}

# rendered ARGUMENT...: the template of this test, without its declarations.
rendered() {
	"$srcdir/nginx/render" "$work/template" "$@" | sed '/^#   /d'
}

# refused ARGUMENT...: what it says to standard error when it fails.
refused() {
	if { "$srcdir/nginx/render" "$@" > "$work/out"; } 2>&1; then
		echo "not refused"
	fi
}

cat > "$work/template" <<'END'
#@ ONE=1            a number
#@ LIST=a [::]:b    with two words
#@ NONE=
one @ONE@, @ONE@ and me@example.com;
list @LIST...@ of @ONE@;
none @NONE...@;
END

is "defaults" "one 1, 1 and me@example.com;
list a of 1;
list [::]:b of 1;" "$(rendered)"
is "a value given" "one two, two and me@example.com;
list a of two;
list [::]:b of two;" "$(rendered ONE=two)"
is "a list of one, and a list that was empty" "one 1, 1 and me@example.com;
list x of 1;
none y;" "$(rendered LIST=x NONE=y)"
is "a value is not rendered again" "one @LIST@, @LIST@ and me@example.com;" "$(rendered ONE=@LIST@ LIST=)"
is "characters that mean something to sed and awk" "one a&b|/%s, a&b|/%s and me@example.com;" \
	"$(rendered 'ONE=a&b|/%s' LIST=)"
is "an unknown parameter" "render: unknown parameter: TWO=2" "$(refused "$work/template" TWO=2)"
is "an argument without a value" "render: unknown parameter: ONE" "$(refused "$work/template" ONE)"
is "no template" "render: cannot read $work/missing" "$(refused "$work/missing")"
# shellcheck disable=SC2016 # a dollar as it is
for value in 'a;b' 'a{' '}' 'a"b' "a'b" 'a\b' 'a$b' 'a#b' 'a
b'; do
	is "a value that could end a directive" "render: not allowed in a value: ONE=$value" \
		"$(refused "$work/template" "ONE=$value")"
done
echo 'x @TYPO@;' >> "$work/template"
is "a parameter that is not declared" "render: $work/template: not declared: TYPO" "$(refused "$work/template")"

for template in jobforge.conf.in nginx.conf.in; do
	"$srcdir/nginx/render" "$srcdir/nginx/$template" > "$work/out" 2> "$work/err"
	is "$template renders with its defaults" "" "$(cat "$work/err"; grep -n '@[A-Z_]*\(\.\.\.\)\{0,1\}@' "$work/out")"
done
echo "1..$count"
