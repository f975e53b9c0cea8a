/* Markdown to HTML that is safe in a page: CommonMark with GitHub's tables, task lists, strikethrough and autolinks. */
#ifndef JOBFORGE_MARKDOWN_H
#define JOBFORGE_MARKDOWN_H

#include "base.h"
#include "buffer.h"

/*
 * Appends a fragment of HTML, without <html> or <body>, for a text of UTF-8; U+0000 becomes U+FFFD.
 *
 * The fragment holds no HTML of the text's own, and its links and images lead to http, https, ftp, mailto, tel, xmpp
 * and relative addresses only: any other address is emptied, the link's words stay.
 *
 * The text is converted in a process of its own, which is given 200 ms of a CPU, 128 MiB of memory and 8 MiB of output.
 * A text that takes more, as only one made for the purpose does, becomes an escaped <pre>, as does every text while no
 * process can be made: then false is returned. Call it from a process of one thread, with SIGCHLD at its default. Never fails.
 */
bool markdown_to_html(struct buffer *out, struct slice text);

#endif
