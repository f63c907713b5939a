/* SPDX-License-Identifier: MIT
 *
 * One memory error in the C library's family, named by the argument, or with "fixed" as second argument the same without the
 * error. The bad thing is done in a function that is named after it. */
#include "target.h"

#include "memshim/memshim.h"

#include <malloc.h>

static bool fixed;
static char *volatile kept;

VISIBLE static void write_over(char *p, int from, int count)
{
    for (int i = 0; i < count && !fixed; i++)
        p[from + i] = 'x';
}

VISIBLE static char *make_block(size_t size)
{
    char *block = malloc(size);
    return block;
}

VISIBLE static void drop_block(void *p)
{
    free(p);
    NO_TAIL_CALL();
}

static void overflow(void)
{
    char *p = make_block(13);
    write_over(p, 13, 1);
    drop_block(p);
}

static void overflow_aligned(void)
{
    char *p = memalign(256, 100);
    write_over(p, 100, 3);
    drop_block(p);
}

static void overflow_kept(void)
{
    kept = make_block(13);
    write_over(kept, 14, 1);
}

static void overflow_checked(void)
{
    overflow_kept();
    if (memshim_is_loaded() && memshim_check() != !fixed)
        _exit(1);
    if (memshim_is_loaded() && memshim_check() != 0) /* told once */
        _exit(1);
}

static void overflow_realloc(void)
{
    char *p = make_block(13);
    write_over(p, 13, 2);
    drop_block(realloc(p, 1000));
}

static void underflow(void)
{
    char *p = make_block(13);
    write_over(p, -1, 1);
    drop_block(p);
}

static void underflow_far(void)
{
    char *p = make_block(13);
    write_over(p, -32, 32);
    drop_block(p);
}

/* All that stands before the block, and no more than what memshim itself has there. */
static void prefix(void)
{
    char *p = make_block(13);
    write_over(p, -32, 16);
    drop_block(p);
}

static void prefix_kept(void)
{
    kept = make_block(13);
    write_over(kept, -32, 16);
}

static void prefix_late(void)
{
    char *p = make_block(40);
    drop_block(p);
    write_over(p, -32, 16);
}

/* Found when the block leaves the quarantine. */
static void prefix_late_pushed_out(void)
{
    prefix_late();
    for (int i = 0; i < 1000; i++)
        drop_block(make_block(40));
    if (memshim_is_loaded() && memshim_check() != 0) /* has been told */
        _exit(1);
}

static void prefix_twice(void)
{
    char *p = make_block(40);
    drop_block(p);
    write_over(p, -32, 16);
    if (!fixed)
        drop_block(p);
}

static void use_after_free(void)
{
    char *p = make_block(40);
    drop_block(p);
    write_over(p, 7, 2);
}

static void use_after_realloc(void)
{
    char *p = make_block(40);
    char *moved = realloc(p, 4000);
    write_over(p, 7, 2);
    drop_block(moved);
}

static void double_free(void)
{
    char *p = make_block(40);
    drop_block(p);
    if (!fixed)
        drop_block(p);
}

static void free_inside(void)
{
    char *p = make_block(100);
    if (!fixed)
        drop_block(p + 48);
    drop_block(p);
}

static void free_stack(void)
{
    _Alignas(16) char array[64];
    if (!fixed)
        drop_block(array + 16);
}

static void free_static(void)
{
    static _Alignas(16) char array[64];
    if (!fixed)
        drop_block(array + 16);
}

static const struct {
    const char *name;
    void (*run)(void);
} errors[] = {
    {"overflow", overflow},
    {"overflow-aligned", overflow_aligned},
    {"overflow-kept", overflow_kept},
    {"overflow-checked", overflow_checked},
    {"overflow-realloc", overflow_realloc},
    {"underflow", underflow},
    {"underflow-far", underflow_far},
    {"prefix", prefix},
    {"prefix-kept", prefix_kept},
    {"prefix-late", prefix_late},
    {"prefix-late-pushed-out", prefix_late_pushed_out},
    {"prefix-twice", prefix_twice},
    {"use-after-free", use_after_free},
    {"use-after-realloc", use_after_realloc},
    {"double-free", double_free},
    {"free-inside", free_inside},
    {"free-stack", free_stack},
    {"free-static", free_static},
};

int main(int argc, char **argv)
{
    fixed = argc > 2;
    for (size_t i = 0; argc > 1 && i < sizeof(errors) / sizeof(errors[0]); i++) {
        if (strcmp(argv[1], errors[i].name) == 0) {
            errors[i].run();
            return 0;
        }
    }
    return 2;
}
