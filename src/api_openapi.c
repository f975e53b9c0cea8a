/* The description of the API: /api/v1/openapi.json. */
#include "api.h"
#include "buffer.h"
#include "call.h"
#include "crypto.h"
#include "openapi.h"
#include "request.h"
#include "response.h"

/* It is made anew for each request: that takes about a millisecond, and no worker keeps what few ask for. */
static int
handle_openapi(struct call *call)
{
	struct response *response = call->response;
	uint8_t hash[SHA256_BYTES];
	char etag[2 * SHA256_BYTES + 1];

	openapi_write(&response->body, call->service->endpoints);
	crypto_sha256(hash, response->body.data, response->body.len);
	hex_encode(etag, hash, sizeof(hash) / 2);
	response_header(response, "ETag", "\"%s\"", etag);
	response->cacheable = true;
	if (!http_etag_matches(call->request->if_none_match, slice_of(etag), true))
		return response->status = 200;
	buffer_clear(&response->body);
	response->content_type = NULL;
	return response->status = 304;
}

const struct endpoint openapi_endpoints[] = {
	{ .method = HTTP_GET, .path = API "/openapi.json", .access = ACCESS_ANYONE, .handler = handle_openapi, .tagged = true,
	    .about = "This description." },
	{ 0 },
};
