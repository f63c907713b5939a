/* SPDX-License-Identifier: MIT
 *
 * Text on its way into documents that other programs parse: written to a stream, escaped as the format wants it. Bytes that
 * are not UTF-8 become U+FFFD. No state, no allocation; a failed write stays in the stream. */
#ifndef ANALYZER_EMIT_H
#define ANALYZER_EMIT_H

#include <stdio.h>

/* A JSON string with its quotes; null for NULL. */
void emit_json(FILE *out, const char *text);

/* XML 1.0 character data, fit for attributes in double quotes too. What XML cannot hold at all (most control characters)
 * becomes U+FFFD. NULL writes nothing. */
void emit_xml(FILE *out, const char *text);

/* One field of RFC 4180. A text that a spreadsheet would take for a formula gets a ' before it. NULL is an empty field. */
void emit_csv(FILE *out, const char *text);

/* The path part of a URI (RFC 3986): everything but unreserved characters and slashes in percent encoding. */
void emit_uri_path(FILE *out, const char *path);

#endif
