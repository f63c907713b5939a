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

/* A model that was loaded: its leaks, in every format that is text. Clears the model. */
static inline void fuzz_model(struct model *model)
{
    static FILE *nowhere;
    struct leaks leaks;
    size_t count;

    if (!nowhere)
        nowhere = fopen("/dev/null", "w");
    load_done(model);
    struct symbols *symbols = symbols_new(false);
    if (nowhere && symbols && leaks_build(model, symbols, &leaks) == 0) {
        const struct output *const *formats = output_formats(&count);
        struct output_options options = {.show = ~0u, .top = 5};

        for (size_t i = 0; i < count; i++) {
            struct output_job job;

            if (strcmp(formats[i]->name, "html") == 0 || strcmp(formats[i]->name, "pprof") == 0)
                continue;
            output_job_init(&job, formats[i], &options, model, &leaks, nowhere);
            output_report(&job, formats[i], &leaks, symbols);
        }
        leaks_clear(&leaks);
    }
    symbols_free(symbols);
    model_clear(model);
}

#endif
