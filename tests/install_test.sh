#!/bin/sh
# What `make install` makes of the files that are not programs: units, account, directories, log rotation, jobforge-setup.
set -u

srcdir=$(cd "${srcdir:-$(dirname "$0")/..}" && pwd)
builddir=$(cd "${builddir:-${JOBFORGE_TEST_BUILD:-.}}" && pwd)
if [ -e "$srcdir/config.status" ]; then
	echo "1..0 # SKIP the source tree itself is configured"
	exit 0
fi
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
root=$work/root
units=$root/usr/lib/systemd/system
count=0
failed=0

# report STATUS NAME: one line of TAP, and what was said if it failed.
report() {
	count=$((count + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $count - $2"
	else
		echo "not ok $count - $2"
		sed 's/^/# /' "$work/said"
		failed=1
	fi
}

skip() {
	count=$((count + 1))
	echo "ok $count - $1 # SKIP $2"
}

has() {
	command -v "$1" >/dev/null
}

install_files() {
	mkdir "$work/build" && cd "$work/build" &&
		"$srcdir/configure" --prefix=/usr --sysconfdir=/etc --localstatedir=/var --runstatedir=/run \
			--with-systemdsystemunitdir &&
		make DESTDIR="$root" install-systemdsystemunitDATA install-dist_sysusersDATA install-tmpfilesDATA install-logrotateDATA \
			install-sbinSCRIPTS &&
		cp "$builddir/jobforged" "$builddir/jobforgectl" "$root/usr/sbin/"
}

install_files >"$work/said" 2>&1
report $? "configured for /usr, files are installed"

(cd "$root" && find . -type f -printf '%m %p\n' | sed 's|\./||' | LC_ALL=C sort -k 2) >"$work/present"
cat >"$work/wanted" <<'END'
644 etc/logrotate.d/jobforge
644 usr/lib/systemd/system/jobforge-backup.service
644 usr/lib/systemd/system/jobforge-backup.timer
644 usr/lib/systemd/system/jobforge-maintain.service
644 usr/lib/systemd/system/jobforge-maintain.timer
644 usr/lib/systemd/system/jobforged-api.socket
644 usr/lib/systemd/system/jobforged-auth.socket
644 usr/lib/systemd/system/jobforged-bulk.socket
644 usr/lib/systemd/system/jobforged.service
644 usr/lib/sysusers.d/jobforge.conf
644 usr/lib/tmpfiles.d/jobforge.conf
755 usr/sbin/jobforge-setup
755 usr/sbin/jobforgectl
755 usr/sbin/jobforged
END
diff "$work/wanted" "$work/present" >"$work/said"
report $? "these files, with these modes"

! grep -rIlE '@[a-z]+@' "$root/usr/lib" "$root/etc" "$root/usr/sbin/jobforge-setup" >"$work/said"
report $? "no place holder is left in them"

if has systemd-analyze; then
	# The units with the programs where they are now, for a machine that has them nowhere else.
	mkdir "$work/units"
	for unit in "$units"/*; do
		sed "s|=/usr/sbin/|=$root/usr/sbin/|" "$unit" >"$work/units/${unit##*/}"
	done
	for unit in "$work/units"/*; do
		name=${unit##*/}
		# What it says of other units of this machine, or of man pages not installed, is not ours.
		SYSTEMD_UNIT_PATH="$work/units:" systemd-analyze verify --man=no "$unit" >"$work/all" 2>&1
		! grep -F "$name" "$work/all" >"$work/said"
		report $? "systemd-analyze verify $name"
	done
	for unit in "$work/units"/*.service; do
		systemd-analyze security --offline=true --threshold=20 --no-pager "$unit" >"$work/said" 2>&1
		report $? "${unit##*/} is rated under 2.0"
	done
else
	skip "the units" "systemd-analyze is not installed"
fi

if has systemd-tmpfiles && [ "$(id -u)" -eq 0 ] && getent passwd www-data >/dev/null; then
	printf 'root:x:0:0::/:/bin/sh\nwww-data:x:33:33::/:/bin/sh\n' >"$root/etc/passwd"
	printf 'root:x:0:\nadm:x:4:\nwww-data:x:33:\n' >"$root/etc/group"
	{ systemd-sysusers --root="$root" && systemd-tmpfiles --root="$root" --create jobforge.conf; } >"$work/said" 2>&1
	report $? "the account and the directories are made"
	(
		cd "$root" || exit
		id=$(sed -n 's/^jobforge:[^:]*:\([0-9]*\):.*/\1/p' etc/group)
		find etc/jobforge run/jobforge var/backups var/log -printf '%m %U:%G %p\n' | sed "s/:$id /:jobforge /" | LC_ALL=C sort -k 3
	) >"$work/present"
	cat >"$work/wanted" <<'END'
750 0:jobforge etc/jobforge
755 0:0 run/jobforge
755 0:0 var/backups
700 0:0 var/backups/jobforge
755 0:0 var/log
755 0:0 var/log/jobforge
640 33:4 var/log/jobforge/access.log
640 33:jobforge var/log/jobforge/refusals.log
END
	diff "$work/wanted" "$work/present" >"$work/said"
	report $? "with these modes and owners"
else
	skip "the account and the directories" "systemd-tmpfiles is not installed, or this is not root"
fi

if has logrotate; then
	logs=$work/log
	mkdir -m 755 "$logs"
	install -m 640 /dev/null "$logs/access.log"
	install -m 640 /dev/null "$logs/refusals.log"
	sed -e "s|/var/log/jobforge|$logs|" -e "s/create 0640 .*/create 0640 $(id -un) $(id -gn)/" -e 's|/run/nginx.pid|/nowhere|' \
		"$root/etc/logrotate.d/jobforge" >"$work/logrotate.conf"
	for n in 1 2 3; do
		for log in access refusals; do
			echo "$n" >>"$logs/$log.log"
		done
		logrotate -f -s "$work/state" "$work/logrotate.conf" || echo "failed: $?"
	done >"$work/said" 2>&1
	(cd "$logs" && find . -type f -printf '%m %f %s\n' | sed 's/\(gz\) .*/\1/' | LC_ALL=C sort -k 2) >"$work/present"
	cat >"$work/wanted" <<'END'
640 access.log 0
640 access.log.1 2
640 access.log.2.gz
640 access.log.3.gz
640 refusals.log 0
640 refusals.log.1 2
640 refusals.log.2.gz
END
	diff "$work/wanted" "$work/present" >>"$work/said"
	report $? "the logs are rotated, and the last one stays uncompressed"
else
	skip "log rotation" "logrotate is not installed"
fi

setup=$root/usr/sbin/jobforge-setup
"$setup" --help >"$work/help" 2>"$work/said"
report $? "jobforge-setup --help"
grep -oE '(^|[^-a-z])--[a-z]+(-[a-z]+)*' "$work/help" | grep -oE -e '--.*' | sort -u >"$work/present"
sed -n 's/^\.It Fl \(-[a-z-]*\).*/-\1/p' "$srcdir/src/jobforge-setup.8" | sort -u >"$work/wanted"
diff "$work/wanted" "$work/present" >"$work/said"
report $? "jobforge-setup(8) has its options"
"$setup" --no-such-option >"$work/said" 2>&1
[ $? -eq 2 ]
report $? "another option is refused"

sed -n 's/^AC_INIT(\[jobforge\], \[\(.*\)\])/\1/p' "$srcdir/configure.ac" >"$work/wanted"
sed -n '1s/^jobforge (\(.*\)) .*/\1/p' "$srcdir/debian/changelog" >"$work/present"
diff "$work/wanted" "$work/present" >"$work/said"
report $? "the package has the version of the program"

echo "1..$count"
exit "$failed"
