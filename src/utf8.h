/* UTF-8 as RFC 3629 has it: no over-long forms, no surrogates, nothing above U+10FFFF. */
#ifndef JOBFORGE_UTF8_H
#define JOBFORGE_UTF8_H

#include "base.h"

bool utf8_valid(const char *text, size_t len);

/* The length of the one valid sequence that `text` begins with: 1 to 4, or 0 when it begins with none or `len` is 0. */
size_t utf8_sequence(const char *text, size_t len);

/* The number of code points of valid UTF-8: what PostgreSQL's length() counts. */
size_t utf8_length(const char *text, size_t len);

#endif
