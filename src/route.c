#include "route.h"

#include <stdio.h>

#include "arena.h"
#include "buffer.h"
#include "call.h"
#include "request.h"
#include "response.h"

/* The next segment of a path, without its slash; false at the end. */
static bool
next_segment(const char **path, const char *end, struct slice *segment)
{
	if (*path == end || **path != '/')
		return false;
	const char *start = ++*path;
	while (*path < end && **path != '/')
		(*path)++;
	*segment = (struct slice){ start, (size_t)(*path - start) };
	return true;
}

static bool
segment_matches(struct call *call, struct slice pattern, struct slice segment, int *ids)
{
	if (pattern.len > 0 && pattern.data[0] == '{') {
		struct slice id = http_decode(call->arena, segment, false);
		if (id.data == NULL || id.len == 0)
			return false;
		call->path[(*ids)++] = id;
		return true;
	}
	if (memchr(segment.data, '%', segment.len) != NULL)
		segment = http_decode(call->arena, segment, false);
	return segment.data != NULL && segment.len == pattern.len &&
	    memcmp(segment.data, pattern.data, pattern.len) == 0;
}

static bool
path_matches(struct call *call, const char *pattern)
{
	const char *path = call->request->path.len == 0 ? "" : call->request->path.data;
	const char *end = path + call->request->path.len;
	const char *pattern_end = pattern + strlen(pattern);
	struct slice expected;
	struct slice segment;
	int ids = 0;

	memset(call->path, 0, sizeof(call->path));
	while (next_segment(&pattern, pattern_end, &expected))
		if (!next_segment(&path, end, &segment) || !segment_matches(call, expected, segment, &ids))
			return false;
	return path == end;
}

static bool
method_matches(enum http_method asked, enum http_method offered)
{
	return asked == offered || (asked == HTTP_HEAD && offered == HTTP_GET);
}

/* 405, or 204 for OPTIONS, with every method that the path takes. */
static int
answer_allow(struct call *call, const bool allowed[])
{
	struct buffer *headers = &call->response->headers;

	if (call->request->method == HTTP_OPTIONS) {
		call->response->status = 204;
		call->response->content_type = NULL;
	} else {
		response_problem(call->response, call->request, PROBLEM_METHOD_NOT_ALLOWED, NULL, NULL);
	}
	BUFFER_LITERAL(headers, "Allow: OPTIONS");
	for (enum http_method method = HTTP_GET; method < HTTP_OPTIONS; method++)
		if (allowed[method == HTTP_HEAD ? HTTP_GET : method])
			buffer_printf(headers, ", %s", http_method_name(method));
	BUFFER_LITERAL(headers, "\r\n");
	return call->response->status;
}

int
route_find(struct call *call)
{
	bool allowed[HTTP_OTHER + 1] = { false };
	bool found = false;

	for (const struct endpoint *endpoint = call->service->endpoints; endpoint->path != NULL; endpoint++) {
		if (!path_matches(call, endpoint->path))
			continue;
		if (method_matches(call->request->method, endpoint->method)) {
			call->endpoint = endpoint;
			return 0;
		}
		allowed[endpoint->method] = found = true;
	}
	if (found)
		return answer_allow(call, allowed);
	return response_problem(call->response, call->request, PROBLEM_NOT_FOUND, NULL, NULL);
}

static size_t
count_endpoints(const struct endpoint *endpoints)
{
	size_t count = 0;

	while (endpoints[count].path != NULL)
		count++;
	return count;
}

size_t
route_number(const struct call *call)
{
	const struct endpoint *endpoints = call->service->endpoints;

	if (call->endpoint != NULL)
		return (size_t)(call->endpoint - endpoints);
	return count_endpoints(endpoints) + call->request->method;
}

bool
route_row(const struct endpoint *endpoints, size_t number, struct route_row *row)
{
	size_t count = count_endpoints(endpoints);

	if (number > count + HTTP_OTHER)
		return false;
	*row = number < count ? (struct route_row){ endpoints[number].path, endpoints[number].method, &endpoints[number] }
			      : (struct route_row){ "unmatched", (enum http_method)(number - count), NULL };
	return true;
}

void
route_print(const struct endpoint *endpoints)
{
	for (const struct endpoint *endpoint = endpoints; endpoint->path != NULL; endpoint++)
		printf("%s %s %s %s\n", http_method_name(endpoint->method), endpoint->path,
		    endpoint->access == ACCESS_USER ? "user" : "anyone", endpoint_pool_names[endpoint->pool]);
}
