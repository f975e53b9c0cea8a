#!/usr/bin/env bash
# Builds the packages in fresh trees of Debian 13 and 12, starts each tree as a machine of its own with systemd as process 1,
# and installs, uses, upgrades, removes and purges the package there. Debian 12 has no pgvector: its machine uses the database
# of the other one, by a socket that they share, as it would one elsewhere. TAP on standard output; root; about ten minutes.
#
#   tests/package/check.sh [DIRECTORY]    trees of packages, made once, are kept in DIRECTORY (~/.cache/jobforge)
# shellcheck disable=SC2016 # much here is for the shell of a machine
set -euo pipefail

source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
cache=${1:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/jobforge}
work=$(mktemp -d "${TMPDIR:-/var/tmp}/jobforge-package.XXXXXX")
suites=(trixie bookworm)
version=$(sed -n 's/^AC_INIT(\[jobforge\], \[\(.*\)\])/\1/p' "$source/configure.ac")
next=$version.1
schema=$(sed -n 's/.*SCHEMA_VERSION = \([0-9]*\).*/\1/p;s/^#define SCHEMA_VERSION \([0-9]*\).*/\1/p' "$source/src/schema.h")
build_packages=(build-essential debhelper fakeroot lintian)
machine_packages=(systemd systemd-sysv ca-certificates curl procps)
declare -A machine=() # suite: process 1
count=0 failures=0

# ---- telling ----

report() { # STATUS NAME
	count=$((count + 1))
	if [ "$1" -eq 0 ]; then
		printf 'ok %d - %s\n' "$count" "$2"
	else
		printf 'not ok %d - %s\n' "$count" "$2"
		sed 's/^/# /' "$work/said" | tail -n 40
		failures=$((failures + 1))
	fi
}

# check NAME COMMAND...: one test; what the command says is shown when it fails.
check() {
	local name=$1 status=0
	shift
	"$@" >"$work/said" 2>&1 || status=$?
	report "$status" "$name"
}

# says PATTERN...: the last check's command said all of these.
says() {
	local pattern
	cp "$work/said" "$work/answer"
	for pattern; do
		check "it says: $pattern" grep -qE -- "$pattern" "$work/answer"
	done
}

die() {
	printf 'Bail out! %s\n' "$*"
	exit 1
}

progress() {
	printf '# %(%H:%M:%S)T %s\n' -1 "$*"
}

finish() {
	local suite
	for suite in "${!machine[@]}"; do
		kill -KILL "${machine[$suite]}" 2>/dev/null || true
	done
	sleep 1
	if [ "$failures" -gt 0 ] || [ -n "${KEEP:-}" ]; then
		printf '# kept: %s\n' "$work"
	else
		rm -rf --one-file-system -- "$work"
	fi
}

# ---- trees ----

mirror_of() { # LABEL
	apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' | sed -n "s/^Debian|$1|//p" | head -n 1
}

write_sources() { # SUITE
	local main security key='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
	main=$(mirror_of Debian)
	security=$(mirror_of Debian-Security)
	[ -n "$main" ] || die "apt knows no archive of Debian"
	printf 'deb %s %s %s main\n' "$key" "$main" "$1"
	[ -z "$security" ] || printf 'deb %s %s %s-security main\n' "$key" "$security" "$1"
}

# A program in a tree that is not started: with the network of this machine, and what it starts ends with it.
enter() { # TREE COMMAND...
	local tree=$1
	shift
	env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
		bwrap --bind "$tree" / --dev /dev --ro-bind /etc/resolv.conf /etc/resolv.conf --unshare-pid --die-with-parent --proc /proc \
		--cap-add ALL --tmpfs /run --chdir /root "$@"
}

# make_archive NAME SUITE PACKAGE...: a tree with these packages, in the cache for a week.
make_archive() {
	local archive=$cache/package-$1.tar suite=$2 list
	shift 2
	[ -z "$(find "$archive" -mtime -7 2>/dev/null)" ] || return 0
	progress "making $archive"
	list=$(IFS=,; printf '%s' "$*")
	write_sources "$suite" >"$work/$suite.list"
	mmdebstrap --quiet --format=tar --variant=minbase --include="$list" "$suite" "$archive.new" "$work/$suite.list" >&2
	mv "$archive.new" "$archive"
}

unpack() { # NAME
	mkdir "$work/$1"
	tar -C "$work/$1" -xf "$cache/package-$1.tar"
}

# ---- packages ----

# The tarball that is released, which holds all that the package is made of.
make_tarball() {
	mkdir "$work/trixie-build/root/dist"
	tar -C "$source" -c --exclude=./.git --exclude=./.dev --exclude=./autom4te.cache --exclude=./configure --exclude=./Makefile.in . |
		tar -C "$work/trixie-build/root/dist" -x
	enter "$work/trixie-build" sh -ec 'cd dist && autoreconf -fi && ./configure && make dist'
	mv "$work/trixie-build/root/dist/jobforge-$version.tar.xz" "$work/"
}

build() { # SUITE OPTIONS
	enter "$work/$1-build" env DEB_BUILD_OPTIONS="$2" sh -ec 'cd package && dpkg-buildpackage -us -uc -b'
	cp "$work/$1-build"/root/jobforge_*.deb "$work/$1/root/"
}

# The next version: another program, and a schema that is one further.
advance() { # DIRECTORY
	local number
	printf -v number '%04d' $((schema + 1))
	cd "$1"
	sed -i "s/^AC_INIT(.*/AC_INIT([jobforge], [$next])/" configure.ac
	printf 'jobforge (%s) unstable; urgency=medium\n\n  * Next.\n\n -- Test <test@localhost>  Tue, 24 Nov 2026 12:00:00 +0000\n\n' \
		"$next" | cat - debian/changelog >changelog.new
	mv changelog.new debian/changelog
	echo "COMMENT ON SCHEMA jobforge IS 'next';" >"sql/migrations/${number}_next.sql"
	sed -i "s/\b$schema\b/$((schema + 1))/" src/schema.h
	sed -i "s|^\(\tsql/migrations/0001_roles.sql \)|\tsql/migrations/${number}_next.sql \\\\\n\1|" Makefile.am
	cd /
}

make_packages() { # SUITE
	local directory=$work/$1-build/root/package
	progress "building in $1"
	mkdir "$directory"
	tar -C "$directory" --strip-components=1 -xf "$work/jobforge-$version.tar.xz"
	check "$1: build dependencies are all in it" enter "$work/$1-build" sh -c 'apt-get -q update && apt-get -q -y build-dep ./package'
	check "$1: dpkg-buildpackage" build "$1" parallel=2
	# The address is for whoever publishes packages to set.
	check "$1: lintian" enter "$work/$1-build" sh -c \
		'lintian --suppress-tags bogus-mail-host,bogus-mail-host-in-debian-changelog,initial-upload-closes-no-bugs --fail-on error,warning ./*.changes'
	rm -rf "$work/$1-build"/root/jobforge*
	advance "$directory"
	check "$1: dpkg-buildpackage of the next version" build "$1" 'parallel=2 nocheck'
}

# ---- machines ----

# Everything that installing will want, while there is a network.
fetch_packages() { # SUITE
	enter "$work/$1" sh -c "apt-get -q update && apt-get -q -y --download-only install ./jobforge_${version}_*.deb"
}

# In namespaces of its own, and without a network but its loopback.
boot() { # SUITE
	mkdir -p "$work/shared" "$work/$1/srv/shared"
	unshare --mount --pid --fork --uts --ipc --cgroup --net --kill-child sh -ec '
		tree=$1 shared=$2
		mount --make-rprivate /
		mount --bind "$tree" "$tree"
		mount --bind "$shared" "$tree/srv/shared"
		mount -t proc proc "$tree/proc"
		mount -t sysfs -o ro sysfs "$tree/sys"
		mount -t cgroup2 cgroup2 "$tree/sys/fs/cgroup"
		mount -t tmpfs -o mode=755 tmpfs "$tree/dev"
		for device in null zero full random urandom tty; do
			touch "$tree/dev/$device"
			mount --bind "/dev/$device" "$tree/dev/$device"
		done
		mkdir "$tree/dev/shm" "$tree/dev/pts"
		mount -t tmpfs tmpfs "$tree/dev/shm"
		mount -t devpts -o newinstance,ptmxmode=0666 devpts "$tree/dev/pts"
		ln -s pts/ptmx "$tree/dev/ptmx"
		ln -s /proc/self/fd "$tree/dev/fd"
		mount -t tmpfs -o mode=755 tmpfs "$tree/run"
		mount -t tmpfs tmpfs "$tree/tmp"
		cd "$tree"
		mkdir -p .old
		pivot_root . .old
		umount -l /.old
		exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
			/lib/systemd/systemd --system --log-target=journal --show-status=0 --unit=multi-user.target
	' sh "$work/$1" "$work/shared" </dev/null >"$work/$1.console" 2>&1 &
	local i outside=$!
	for ((i = 0; i < 300; i++)); do
		sleep 0.2
		machine[$1]=$(pgrep -P "$outside" || true)
		[ -n "${machine[$1]}" ] || continue
		case $(on "$1" systemctl is-system-running 2>/dev/null || true) in
		running | degraded) return 0 ;;
		esac
	done
	die "$1 does not start: $(tail -n 5 "$work/$1.console")"
}

on() { # SUITE COMMAND...
	local pid=${machine[$1]}
	shift
	nsenter -t "$pid" -m -p -u -i -n -C -r -w env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
		DEBIAN_FRONTEND=noninteractive "$@"
}

# sh_on SUITE SCRIPT [ARGUMENT...]
sh_on() {
	on "$1" sh -euc "$2" sh "${@:3}"
}

# ---- what is tried ----

modes() { # SUITE
	cat >"$work/wanted" <<'END'
750 root:jobforge /etc/jobforge
640 root:jobforge /etc/jobforge/jobforged.conf
644 root:root /etc/jobforge/nginx.params
644 root:root /etc/jobforge/tls.crt
600 root:root /etc/jobforge/tls.key
600 jobforge:jobforge /etc/jobforge/token.keys
660 root:www-data /run/jobforge/api.sock
660 root:www-data /run/jobforge/auth.sock
660 root:www-data /run/jobforge/bulk.sock
700 root:root /var/backups/jobforge
640 www-data:adm /var/log/jobforge/access.log
640 www-data:jobforge /var/log/jobforge/refusals.log
END
	sh_on "$1" 'stat -c "%a %U:%G %n" /etc/jobforge /etc/jobforge/[jnt]* /run/jobforge/* /var/backups/jobforge /var/log/jobforge/*' |
		sort -k 3 >"$work/present"
	diff "$work/wanted" "$work/present"
}

application='{"company_name":"Acme","role_title":"Engineer","job_description":"A description of a job that is long enough to be one."}'

# A user registers, writes a document and reads it as HTML, exports the account: all three pools, and the process that renders.
use='
	call() { curl -sk --fail-with-body -m 20 "$@"; }
	api=https://localhost/api/v1 json="Content-Type: application/json"
	call $api/auth/register -H "$json" -d "{\"email\":\"$1\",\"password\":\"a long password\",\"full_name\":\"A B\"}" >/dev/null
	token=$(call $api/auth/login -H "$json" -d "{\"email\":\"$1\",\"password\":\"a long password\"}" |
		sed "s/.*\"access_token\":\"\([^\"]*\)\".*/\1/")
	id=$(call $api/applications -H "Authorization: Bearer $token" -H "$json" -d "$2" |
		sed "s/.*\"id\":\"\([^\"]*\)\".*/\1/")
	call $api/applications/$id/documents/research_report -X PUT -H "Authorization: Bearer $token" -H "$json" \
		-d "{\"content\":\"# A heading\"}" >/dev/null
	call $api/applications/$id/documents/research_report -H "Authorization: Bearer $token" -H "Accept: text/html" | grep "<h1>"
	call $api/me/export -H "Authorization: Bearer $token" | grep -c Acme
	call https://localhost/ | grep -i "<!doctype html>"
	call https://localhost/readyz | grep ready
	call http://127.0.0.1:8080/metrics | grep jobforge_build_info
'

# Debian 12's pg_dump cannot read the database of Debian 13, which is said beforehand; whoever copies a backup there keeps it.
try_backup() { # SUITE
	if [ "$1" = trixie ]; then
		check "$1: backup, as the timer starts it" on "$1" systemctl start jobforge-backup
		check "$1: the backup is good" on "$1" jobforgectl verify-backup
		return
	fi
	check "$1: what is missing for backups" on "$1" jobforgectl doctor
	says 'pg_dump.*install postgresql-client-17'
	check "$1: a backup that cannot be made fails as a unit" sh_on "$1" '! systemctl start jobforge-backup && systemctl --failed |
		grep jobforge-backup && systemctl reset-failed jobforge-backup && touch /var/backups/jobforge/copied.dump'
}

try_setup() { # SUITE OPTION...
	local suite=$1
	shift
	check "$suite: jobforge-setup" on "$suite" jobforge-setup --name localhost "$@"
	says 'https://localhost/' '^0 faults'
	check "$suite: modes and owners" modes "$suite"
	check "$suite: it is kept when run again" on "$suite" jobforge-setup
	says '^kept: .*jobforged.conf' '^kept: .*token.keys'
	check "$suite: register, write, render, export, page, metrics" sh_on "$suite" "$use" one@example.org "$application"
	check "$suite: units run and are enabled" sh_on "$suite" 'systemctl is-active jobforged.service jobforged-api.socket \
		jobforged-auth.socket jobforged-bulk.socket jobforge-maintain.timer jobforge-backup.timer &&
		systemctl is-enabled jobforged.service jobforged-api.socket jobforge-backup.timer'
	check "$suite: maintenance, as the timer starts it" on "$suite" systemctl start jobforge-maintain
	try_backup "$suite"
	check "$suite: without capabilities, under the filter of system calls" sh_on "$suite" \
		'grep -E "^(CapEff:.0*|CapBnd:.0*|NoNewPrivs:.1|Seccomp:.2)$" "/proc/$(systemctl show -p MainPID --value jobforged)/status" |
			wc -l | grep -x 4'
	check "$suite: auth workers have lowered their priority" sh_on "$suite" 'own=$(ps -o ni= -p "$(systemctl show -p MainPID --value jobforged)")
		ps -o ni= -C jobforged | grep -x " *$((own + 5))"'
	check "$suite: rated under 2.0" sh_on "$suite" 'systemd-analyze security --no-pager --threshold=20 jobforged jobforge-backup \
		jobforge-maintain'
}

# The counter of refusals goes on over a rotation.
try_logs() { # SUITE
	check "$1: refusals are counted, also those before a rotation" sh_on "$1" '
		counted() { curl -s http://127.0.0.1:8080/metrics | sed -n "s/^jobforge_.*refus.*rate.* \([0-9]*\)$/\1/p"; }
		refuse() {
			for i in $(seq 60); do
				curl -s -o /dev/null -w "%{http_code}\n" -H "X-Forwarded-For: 192.0.2.$1" -X POST http://127.0.0.1:8080/api/v1/auth/login
			done | grep -c 429
		}
		first=$(refuse 1)
		logrotate -f /etc/logrotate.d/jobforge
		sleep 1
		second=$(refuse 2)
		[ "$(counted)" -eq $((first + second)) ]
		stat -c "%a %U:%G" /var/log/jobforge/refusals.log /var/log/jobforge/refusals.log.1 | sort -u | grep -x "640 www-data:jobforge"'
}

# A user's reads and writes without a pause while something happens: each must be answered as always. /readyz is left out, since
# it says of a worker whose program is not that of the schema, rightly, that it will not be for long.
load_begin() { # SUITE
	sh_on "$1" '
		rm -f /root/stop
		api=https://localhost/api/v1 json="Content-Type: application/json"
		token=$(curl -sk $api/auth/login -H "$json" -d "{\"email\":\"one@example.org\",\"password\":\"a long password\"}" |
			sed "s/.*\"access_token\":\"\([^\"]*\)\".*/\1/")
		while [ ! -e /root/stop ]; do
			curl -sk -o /dev/null -m 10 -w "%{http_code}\n" $api/applications -H "Authorization: Bearer $token" || echo failed
			curl -sk -o /dev/null -m 10 -w "%{http_code}\n" $api/applications -H "Authorization: Bearer $token" -H "$json" -d "$1" ||
				echo failed
			sleep 0.02
		done >/root/load' "$application" &
	loader=$!
}

load_end() { # SUITE
	on "$1" touch /root/stop
	wait "$loader" || true
	check "$1: no request was refused meanwhile" sh_on "$1" 'grep -qx 200 /root/load && grep -qx 201 /root/load
		! grep -vxE "200|201" /root/load | sort | uniq -c | grep .'
}

runs() { # SUITE VERSION
	sh_on "$1" 'for i in $(seq 150); do
		! curl -s http://127.0.0.1:8080/metrics | grep "jobforge_build_info.*\"$1\"" || exit 0
		sleep 0.2; done; journalctl -u jobforged -n 5; exit 1' "$2"
}

install_next() { # SUITE
	sh_on "$1" "apt-get -y install /root/jobforge_${next}_*.deb"
}

try_upgrade() { # SUITE
	local pid
	pid=$(on "$1" systemctl show -p MainPID --value jobforged)
	load_begin "$1"
	check "$1: upgrade that is not told to migrate" install_next "$1"
	says "$((schema + 1)).*pending|1 migrations? (is|are) pending" 'jobforge-setup upgrade --migrate'
	check "$1: the version before goes on" runs "$1" "$version"
	check "$1: a reload changes nothing" on "$1" systemctl reload jobforged
	check "$1: and says why" sh_on "$1" 'for i in $(seq 50); do ! journalctl -u jobforged | grep "the old program stays.*migrate" || exit 0
		sleep 0.2; done; exit 1'
	check "$1: jobforge-setup upgrade --migrate" on "$1" jobforge-setup upgrade --migrate
	check "$1: the new version runs" runs "$1" "$next"
	check "$1: as the same process" sh_on "$1" '[ "$(systemctl show -p MainPID --value jobforged)" = "$1" ]' "$pid"
	sleep 15
	load_end "$1"
}

try_migrating_upgrade() { # SUITE
	on "$1" sed -i 's/^MIGRATE_ON_UPGRADE=.*/MIGRATE_ON_UPGRADE=yes/' /etc/default/jobforge
	load_begin "$1"
	check "$1: upgrade that is told to migrate" install_next "$1"
	check "$1: the new version runs" runs "$1" "$next"
	sleep 15
	load_end "$1"
	check "$1: the schema is the new one" on "$1" jobforgectl status
	check "$1: the changed conffile is kept" on "$1" grep -x MIGRATE_ON_UPGRADE=yes /etc/default/jobforge
}

try_remove() { # SUITE
	check "$1: remove" on "$1" apt-get -y remove jobforge
	check "$1: nothing of it runs" sh_on "$1" '! pgrep -x jobforged && ! systemctl is-active jobforged-api.socket jobforge-backup.timer'
	check "$1: nginx goes on without the site" sh_on "$1" 'nginx -t && systemctl is-active nginx && ! curl -sk -m 5 https://localhost/'
	check "$1: configuration, keys and backups are kept" sh_on "$1" 'ls /etc/jobforge/jobforged.conf /etc/jobforge/token.keys \
		/var/backups/jobforge/*.dump'
	check "$1: installed again" install_next "$1"
	check "$1: it runs as before" runs "$1" "$next"
	check "$1: with its data" sh_on "$1" 'curl -sk --fail-with-body https://localhost/api/v1/auth/login -H "Content-Type: application/json" \
		-d "{\"email\":\"one@example.org\",\"password\":\"a long password\"}"'
	check "$1: purge" on "$1" apt-get -y purge jobforge
	says 'Not removed: '
	check "$1: what is left" sh_on "$1" '
		find / -xdev -name "*jobforge*" ! -path "/root/*" ! -path "/var/backups/jobforge*" ! -path "/var/cache/*" \
			! -path "/var/lib/apt/*" ! -path "/proc/*" ! -path "/srv/*" >/root/left
		cat /root/left
		[ ! -s /root/left ] && nginx -t && ls /var/backups/jobforge/*.dump && getent passwd jobforge && ! systemctl --failed | grep jobforge'
}

# The other machine's database, with passwords, as one elsewhere.
offer_database() {
	sh_on trixie '
		chmod 777 /srv/shared
		hba=/etc/postgresql/17/main/pg_hba.conf
		{ echo "local elsewhere all scram-sha-256"; cat $hba; } >$hba.new && cat $hba.new >$hba
		su postgres -c "psql -q -c \"ALTER SYSTEM SET unix_socket_directories = '\''/var/run/postgresql'\'', '\''/srv/shared'\''\" \
			-c \"CREATE ROLE elsewhere SUPERUSER LOGIN PASSWORD '\''secret'\''\" \
			-c \"CREATE DATABASE elsewhere TEMPLATE template0 ENCODING '\''UTF8'\''\" \
			-c \"ALTER ROLE jobforge_app PASSWORD '\''other'\''\" -c \"ALTER ROLE jobforge_backup PASSWORD '\''third'\''\""
		systemctl restart postgresql@17-main'
}

passwords() { # SUITE
	sh_on "$1" 'umask 077
		echo "*:*:*:jobforge_app:other" >/etc/jobforge/pgpass
		chown jobforge:jobforge /etc/jobforge/pgpass
		printf "%s\n" "*:*:*:elsewhere:secret" "*:*:*:jobforge_backup:third" >/root/.pgpass'
}

# ---- all of it ----

[ "$(id -u)" -eq 0 ] || die "this is for root"
for tool in mmdebstrap bwrap unshare nsenter; do
	command -v $tool >/dev/null || die "$tool is missing (packages mmdebstrap, bubblewrap, util-linux)"
done
trap finish EXIT
mkdir -p "$cache"
chmod 755 "$work"
for suite in "${suites[@]}"; do
	make_archive "$suite" "$suite" "${machine_packages[@]}"
	make_archive "$suite-build" "$suite" "${build_packages[@]}"
	unpack "$suite"
	unpack "$suite-build"
done
check "the tarball of a release" enter "$work/trixie-build" sh -c 'apt-get -q update && apt-get -q -y install autoconf automake \
	pkgconf libfcgi-dev libpq-dev libjson-c-dev libjwt-dev libcrypt-dev libssl-dev libseccomp-dev libcmark-gfm-dev libcmark-gfm-extensions-dev'
check "make dist" make_tarball
[ "$failures" -eq 0 ] || die "without it there is nothing to try"
for suite in "${suites[@]}"; do
	make_packages "$suite"
	check "$suite: what it needs is fetched" fetch_packages "$suite"
	compgen -G "$work/$suite/root/jobforge_${next}_*.deb" >/dev/null || die "without packages there is nothing to try"
	progress "starting $suite"
	boot "$suite"
	check "$suite: install" sh_on "$suite" "apt-get -y install /root/jobforge_${version}_*.deb"
	says 'It is made a service by: jobforge-setup'
	check "$suite: nothing runs before it is set up" sh_on "$suite" '! pgrep -x jobforged'
	if [ "$suite" = bookworm ]; then
		check "$suite: without a database" sh_on "$suite" '! jobforge-setup --name localhost 2>&1'
		says 'no PostgreSQL answers on this machine: install'
		check "$suite: the other machine offers it one" offer_database
		check "$suite: and it knows the passwords" passwords "$suite"
		try_setup "$suite" --database 'host=/srv/shared dbname=elsewhere user=jobforge_app passfile=/etc/jobforge/pgpass' \
			--admin-database 'host=/srv/shared dbname=elsewhere user=elsewhere passfile=/root/.pgpass' \
			--backup-database 'host=/srv/shared dbname=elsewhere user=jobforge_backup passfile=/root/.pgpass'
		try_logs "$suite"
		try_migrating_upgrade "$suite"
	else
		try_setup "$suite"
		try_logs "$suite"
		try_upgrade "$suite"
	fi
done
for suite in bookworm trixie; do
	try_remove "$suite"
done
echo "1..$count"
[ "$failures" -eq 0 ]
