/* SPDX-License-Identifier: MIT
 *
 * Calls and callbacks made by libffi, as ctypes uses it: its calling sequences in assembly, and closures, which are code
 * made at run time. */
#include "stress.h"

#include <ffi.h>
#include <stdlib.h>

#define ARGUMENTS 12

struct call {
    ffi_cif cif;
    ffi_closure *closure;
    void *code;
    int depth;
};

/* What the closure runs: captures, and calls the closure again. */
static void called(ffi_cif *cif, void *result, void **arguments, void *data)
{
    struct call *call = data;
    long value = 1;

    capture();
    if (call->depth-- > 0) {
        capture_some();
        ffi_call(cif, FFI_FN(call->code), &value, arguments);
    } else {
        value = calls_plain(3, 1);
    }
    *(ffi_arg *)result = (ffi_arg)value;
    capture_some();
}

/* A function of `count` arguments: those beyond the sixth lie on the stack, doubles in other registers. */
static void call_with_arguments(unsigned count)
{
    ffi_type *types[ARGUMENTS];
    void *values[ARGUMENTS];
    long number = 5, result = 0;
    double real = 2.5;
    struct call call = {.depth = (int)chance(6)};

    for (unsigned i = 0; i < count; i++) {
        types[i] = i & 1 ? &ffi_type_double : &ffi_type_slong;
        values[i] = i & 1 ? (void *)&real : (void *)&number;
    }
    call.closure = ffi_closure_alloc(sizeof(*call.closure), &call.code);
    if (!call.closure || ffi_prep_cif(&call.cif, FFI_DEFAULT_ABI, count, &ffi_type_slong, types) != FFI_OK ||
        ffi_prep_closure_loc(call.closure, &call.cif, called, &call, call.code) != FFI_OK)
        abort();
    ffi_call(&call.cif, FFI_FN(call.code), &result, values);
    sink += (double)result;
    ffi_closure_free(call.closure);
}

void test_ffi(void)
{
    for (unsigned i = 0; i < rounds * 20; i++)
        call_with_arguments(i % (ARGUMENTS + 1));
}
