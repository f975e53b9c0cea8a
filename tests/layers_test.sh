#!/bin/sh
# A file of src includes only its own layer and lower ones, each library's header is included where the table says and
# nowhere else, and every file is in a layer. One test (TAP) for each file and for each library.

src=${srcdir:-.}/src
exec awk '
BEGIN {
	# Lowest first; a name that ends in "*" stands for all that begin so.
	layer("base", "base arena buffer clock log trouble utf8")
	layer("leaf", "apart certificate child cmdline conf conffile confkey confprint conninfo crypto csv cursor db dbconnect dblookup dbresult dbsocket encode fcgi http json " \
	    "jsonstream markdown metrics notify password record refusals sandbox schema token tokencache writer")
	layer("request", "arguments auth call create endpoint field fieldschema list openapi openapi_* problem request " \
	    "response route row sheet")
	layer("api", "api api_* minute")
	layer("process", "backup dbtool handover jobforgectl jobforged keyfile listener main master migrate migration pgprogram restore scoreboard worker ctl*")

	library("fcgi", "^(fcgi.*|fastcgi)\\.h$", "fcgi.c")
	library("libpq", "^(libpq.*|postgres.*|pg_config.*)\\.h$", "db.c dbconnect.h dbresult.c dbsocket.h dbtool.c") # the workers; jobforgectl
	library("json-c", "^(json-c/.*|json.*\\.h)$", "json.c")
	library("libjwt", "^(jwt.*|jansson)\\.h$", "token.c")
	library("libxcrypt", "^crypt\\.h$", "password.c")
	library("libcrypto", "^openssl/", "certificate.c crypto.c")
	library("libseccomp", "^seccomp\\.h$", "sandbox.c")
	library("cmark-gfm", "^cmark-gfm.*\\.h$", "markdown.c")

	system_headers = "^((assert|complex|ctype|dirent|endian|errno|fcntl|fenv|float|getopt|glob|grp|inttypes|" \
	    "iso646|langinfo|libgen|limits|locale|math|netdb|poll|pthread|pwd|regex|sched|search|setjmp|signal|spawn|" \
	    "stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|strings|syslog|" \
	    "termios|time|ucontext|unistd|wchar|wctype)\\.h|(arpa|linux|net|netinet|sanitizer|sys)/.*)$"
}

function layer(name, files,    list, count, i) {
	layer_names[++layers] = name
	count = split(files, list, " ")
	for (i = 1; i <= count; i++)
		layer_of[list[i]] = layers
}

function library(name, headers, files) {
	library_names[++libraries] = name
	library_headers[libraries] = headers
	library_files[libraries] = " " files " "
}

# The layer of a file by its name without ".c" or ".h"; 0 for a file that is in none.
function find_layer(name,    pattern) {
	if (name in layer_of)
		return layer_of[name]
	for (pattern in layer_of)
		if (pattern ~ /\*$/ && index(name, substr(pattern, 1, length(pattern) - 1)) == 1)
			return layer_of[pattern]
	return 0
}

function fault(file, text) {
	faults[file] = faults[file] "# " file ":" FNR ": " text "\n"
}

function check_own(file, header,    own, other) {
	own = find_layer(stem(file))
	other = find_layer(stem(header))
	if (other == 0)
		fault(file, header " is in no layer")
	else if (other > own)
		fault(file, header " is of the higher layer " layer_names[other])
}

function check_foreign(file, header,    i) {
	for (i = 1; i <= libraries; i++) {
		if (header ~ library_headers[i]) {
			if (index(library_files[i], " " file " ") == 0)
				library_faults[i] = library_faults[i] "# " file ":" FNR ": " header "\n"
			library_used[i, file] = 1
			return
		}
	}
	if (header !~ system_headers)
		fault(file, header " is of a library that no table names")
}

function stem(file) {
	sub(/\.[ch]$/, "", file)
	return file
}

function report(passed, name, details) {
	printf "%s %d - %s\n%s", passed ? "ok" : "not ok", ++tests, name, passed ? "" : details
	failed += !passed
}

FNR == 1 {
	file = FILENAME
	sub(/.*\//, "", file)
	files[++file_count] = file
	if (find_layer(stem(file)) == 0)
		fault(file, "it is in no layer")
}

/^[ \t]*#[ \t]*include/ {
	header = $0
	sub(/^[ \t]*#[ \t]*include[ \t]*/, "", header)
	own = header ~ /^"/
	sub(/^["<]/, "", header)
	sub(/[">].*$/, "", header)
	if (own)
		check_own(file, header)
	else
		check_foreign(file, header)
}

END {
	for (i = 1; i <= file_count; i++)
		report(faults[files[i]] == "", files[i] " includes what its layer may", faults[files[i]])
	for (i = 1; i <= libraries; i++) {
		count = split(library_files[i], list, " ")
		for (j = 1; j <= count; j++)
			if (!((i, list[j]) in library_used))
				library_faults[i] = library_faults[i] "# " list[j] " does not include its header\n"
		report(library_faults[i] == "", "the header of " library_names[i] " is included by" library_files[i] "alone",
		    library_faults[i])
	}
	report(file_count > 0, "there are files", "")
	print "1.." tests
	exit failed > 0
}
' "$src"/*.[ch]
