/*
 * FastCGI records, checked before libfcgi sees them.
 *
 * libfcgi 2.4.2 trusts whoever writes to the socket: FCGI_GET_VALUES with one name many times runs over its stack,
 * other management records leak memory, and a parameter's length, whatever it says, is allocated before a byte of it
 * has come. A web server sends nothing of the kind. So only what one sends to a responder is let through: one request
 * after the other, each a beginning, parameters up to their end, and a body up to its end.
 */
#ifndef JOBFORGE_RECORD_H
#define JOBFORGE_RECORD_H

#include "base.h"

enum { RECORD_PARAMS_MAX = 256 * 1024 }; /* bytes of a request's parameters; nginx sends at most 64 KiB */

/* What the next byte is. Zeroed it is ready for the first byte of a connection. */
struct record {
	enum { RECORD_IDLE, RECORD_PARAMS, RECORD_BODY } phase;
	bool refused;
	uint8_t header[8];
	size_t header_len;
	size_t content; /* bytes of the record still to come, */
	size_t padding; /* and after those */
	uint16_t id;    /* of the request */
	size_t begun;   /* bytes of its beginning */
	size_t params;  /* bytes of its parameters */
	size_t pair;    /* bytes of a name and its value still to come */
	size_t lengths; /* their sum, while the two lengths are being read */
	int length;     /* 0: the name's is being read, 1: the value's */
	uint32_t number;
	size_t digits;  /* bytes of that length still to come */
};

/* Takes the next bytes of the connection. False: they are not what a web server sends, and so is all that follows. */
bool record_take(struct record *record, const void *bytes, size_t len) MUST_CHECK;

/* Whether the parameters of the request at hand have come to their end. */
bool record_has_params(const struct record *record);

#endif
