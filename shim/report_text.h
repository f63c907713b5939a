/* SPDX-License-Identifier: MIT
 *
 * Bytes of a traced process as JSON strings: every byte that is not part of valid UTF-8 becomes the four characters \xNN
 * (as Python's backslashreplace has it), NUL bytes are kept. */
#ifndef SHIM_REPORT_TEXT_H
#define SHIM_REPORT_TEXT_H

#include "ledger_view.h"
#include "report_tables.h"

#include <jansson.h>

/* Work space, kept between calls; zeroed at first. */
struct text_space {
    struct bytes raw;
    struct bytes clean;
};

void text_space_done(struct text_space *space);

/* A new string, or NULL when memory is out. */
json_t *text_json(struct text_space *space, const char *bytes, size_t length);

/* The same for a field of a ledger's header that may lack its NUL: what is before the first NUL of `size` bytes. */
json_t *text_json_field(struct text_space *space, const char *field, size_t size);

/* The same for a text of the ledger; `missing` (a literal, or NULL for JSON's null) stands for ref 0 and damaged ones. */
json_t *text_json_ref(struct text_space *space, const struct ledger_view *view, uint32_t ref, const char *missing);

/* The bytes of a text of the ledger in hexadecimal; "" for ref 0 and damaged ones. */
json_t *text_json_hex_ref(struct text_space *space, const struct ledger_view *view, uint32_t ref);

/* Bytes in hexadecimal. */
json_t *text_json_hex(struct text_space *space, const uint8_t *bytes, size_t length);

/* Nanoseconds since the epoch as RFC 3339 in UTC, or JSON's null for 0. */
json_t *text_json_time(int64_t nanoseconds);

#endif
