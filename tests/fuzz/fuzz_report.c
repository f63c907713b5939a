/* SPDX-License-Identifier: MIT
 *
 * Reports: the input is the file. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct model model = {0};
    struct load_error error = {0};
    FILE *in = size ? fmemopen((void *)(uintptr_t)data, size, "r") : NULL;

    if (!in)
        return 0;
    if (load_stream(&model, in, "input", &error) == 0)
        fuzz_model(&model, size);
    else
        model_clear(&model);
    fclose(in);
    return 0;
}
