/* SPDX-License-Identifier: MIT
 *
 * Text on its way into documents that other programs parse: collected in memory where it is needed twice, and written to a
 * stream escaped as the format wants it. Bytes that are not UTF-8 become U+FFFD; a failed write stays in the stream. */
#ifndef ANALYZER_EMIT_H
#define ANALYZER_EMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Text collected through a stream. Unlike open_memstream it tells when memory ran out on the way. Stays where it is while
 * it is open. */
struct memo {
    FILE *out; /* to write to; NULL while closed */
    char *text;
    size_t size, room;
    bool failed;
};

/* Opens an empty one. Returns memo->out, or NULL without memory. */
FILE *memo_open(struct memo *memo);

/* Closes it. Returns the text, malloc'ed, its length in memo->size; or NULL if memory ran out, then or before. */
char *memo_close(struct memo *memo);

/* A JSON string with its quotes; null for NULL. */
void emit_json(FILE *out, const char *text);

/* The same for a JSON document that stands in a <script> of an HTML page: nothing in it can end the element, begin a comment,
 * or be a line end of JavaScript's. */
void emit_script(FILE *out, const char *text);

/* XML 1.0 character data, fit for attributes in double quotes too. What XML cannot hold at all (most control characters)
 * becomes U+FFFD. NULL writes nothing. */
void emit_xml(FILE *out, const char *text);

/* One field of RFC 4180. A text that a spreadsheet would take for a formula gets a ' before it. NULL is an empty field. */
void emit_csv(FILE *out, const char *text);

/* The path part of a URI (RFC 3986): everything but unreserved characters and slashes in percent encoding. */
void emit_uri_path(FILE *out, const char *path);

#endif
