#include "dblookup.h"

#include <netdb.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

#include "apart.h"

enum { OUTPUT_MAX = DBLOOKUP_MOST * NI_MAXHOST };

bool
dblookup_is_name(const char *host)
{
	const struct addrinfo numeric = { .ai_flags = AI_NUMERICHOST };
	struct addrinfo *found;

	if (strchr("/@", *host) != NULL || strchr(host, ',') != NULL) /* which finds the end too */
		return false;
	if (getaddrinfo(host, NULL, &numeric, &found) != 0)
		return true;
	freeaddrinfo(found);
	return false;
}

/* ---- in a process of its own ---- */

static void
say_address(int output, const struct addrinfo *one)
{
	char address[NI_MAXHOST + 1];

	if (getnameinfo(one->ai_addr, one->ai_addrlen, address, NI_MAXHOST, NULL, 0, NI_NUMERICHOST) != 0)
		return;
	size_t len = strlen(address);
	address[len] = ',';
	apart_say(output, address, len + 1);
}

/* Each address with a comma after it; or why there is none, without. */
static void
work(int output, const void *argument)
{
	const struct addrinfo stream = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	int error = getaddrinfo(argument, NULL, &stream, &found), count = 0;

	if (error != 0)
		apart_say(output, gai_strerror(error), strlen(gai_strerror(error)));
	for (const struct addrinfo *one = found; one != NULL && count < DBLOOKUP_MOST; one = one->ai_next, count++)
		say_address(output, one);
	if (found != NULL)
		freeaddrinfo(found);
}

/* ---- in the caller's ---- */

int
dblookup(struct buffer *out, const char *host, int milliseconds)
{
	const struct apart lookup = { .event = "database", .work = work, .argument = host, .most = OUTPUT_MAX,
		.timer = ITIMER_REAL, .milliseconds = milliseconds };
	size_t start = out->len;
	int count = 0;

	if (milliseconds <= 0 || !apart_run(out, &lookup))
		return -1;
	for (size_t i = start; i < out->len; i++)
		count += out->data[i] == ',';
	out->len -= count > 0;
	return count;
}
