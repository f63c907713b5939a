/* SPDX-License-Identifier: MIT
 *
 * For the fuzz targets: each defines LLVMFuzzerTestOneInput. With clang that is linked with libFuzzer; with other compilers
 * driver.c calls it, for files and for random changes of them. What a target reads goes on through as much of the analyzer as its
 * input reaches; what it writes goes nowhere. */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include "compiler.h"
#include "leaks.h"
#include "load.h"
#include "output.h"
#include "symbols.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A model that was loaded: its leaks, in one of the formats that are text, which `choice` chooses. Clears the model. */
static inline void fuzz_model(struct model *model, size_t choice)
{
    static FILE *nowhere;
    struct leaks leaks;
    size_t count;
    const struct output *const *formats = output_formats(&count);
    const struct output *format = formats[choice % count];

    if (!nowhere)
        nowhere = fopen("/dev/null", "w");
    if (strcmp(format->name, "html") == 0 || strcmp(format->name, "pprof") == 0)
        format = formats[0];
    load_done(model);
    struct symbols *symbols = symbols_new(false);
    if (nowhere && symbols && leaks_build(model, symbols, &leaks) == 0) {
        struct output_options options = {.show = ~0u, .top = 5, .source_root = "/"};
        struct output_job job;

        output_job_init(&job, format, &options, model, &leaks, nowhere);
        output_report(&job, format, &leaks, symbols);
        leaks_clear(&leaks);
    }
    symbols_free(symbols);
    model_clear(model);
}

#endif
