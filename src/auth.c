#include "auth.h"

#include <strings.h>
#include <time.h>

#include "call.h"
#include "request.h"
#include "response.h"
#include "tokencache.h"

static enum token_result
verify(struct call *call, struct slice token)
{
	const struct service *service = call->service;
	int64_t now = (int64_t)time(NULL);
	const struct token_subject *known = token_cache_find(service->tokens, token, now);
	struct token_subject subject;

	if (known == NULL) {
		enum token_result result =
		    token_verify(call->arena, service->keys, &service->token_policy, token, now, &subject);
		if (result != TOKEN_VALID)
			return result;
		token_cache_keep(service->tokens, token, &subject, now);
		known = &subject;
	}
	memcpy(call->user_id, known->user_id, sizeof(call->user_id));
	return TOKEN_VALID;
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
		if (result == TOKEN_INVALID && token_keys_renew(service->keys)) {
			token_cache_clear(service->tokens);
			result = verify(call, token);
		}
		if (result == TOKEN_VALID)
			return 0;
		detail = result == TOKEN_EXPIRED ? "The access token has expired." : "The access token is not valid.";
	}
	call->user_id[0] = '\0';
	return response_problem(call->response, call->request, PROBLEM_UNAUTHORIZED, NULL, detail);
}
