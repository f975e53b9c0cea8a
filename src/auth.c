#include "auth.h"

#include <strings.h>
#include <time.h>

#include "endpoint.h"
#include "request.h"
#include "response.h"

static enum token_result
verify(struct call *call, struct slice token)
{
	const struct service *service = call->service;

	return token_verify(call->arena, service->keys, &service->token_policy, token, (int64_t)time(NULL), call->user_id);
}

int
auth_check(struct call *call)
{
	static const char scheme[] = "Bearer ";
	const size_t skip = sizeof(scheme) - 1;
	struct slice header = call->request->authorization;
	const struct service *service = call->service;
	const char *detail = NULL;

	if (call->endpoint->access == ACCESS_ANYONE)
		return 0;
	if (header.len > skip && strncasecmp(header.data, scheme, skip) == 0) {
		struct slice token = { header.data + skip, header.len - skip };
		enum token_result result = verify(call, token);
		if (result == TOKEN_INVALID && token_keys_renew(service->keys))
			result = verify(call, token);
		if (result == TOKEN_VALID)
			return 0;
		detail = result == TOKEN_EXPIRED ? "The access token has expired." : "The access token is not valid.";
	}
	call->user_id[0] = '\0';
	return response_problem(call->response, call->request, PROBLEM_UNAUTHORIZED, NULL, detail);
}
