/* SPDX-License-Identifier: MIT
 *
 * Functions with a part that the compiler moves away from them, and one that has none and no name. Linked without symbols but
 * those of what is exported. */
#define VISIBLE __attribute__((visibility("default"), noinline, noclone))

/* Return an address in what they are named after. */
VISIBLE const void *cold_part_of_first(int n);
VISIBLE const void *cold_part_of_second(int n);
VISIBLE const void *nameless_function(int n);

static volatile int sink;
static const void *caller;

static __attribute__((cold, noinline, noclone)) void seldom(int n)
{
    sink += n;
    caller = __builtin_return_address(0);
}

const void *cold_part_of_first(int n)
{
    for (int i = 0; i < n; i++) {
        sink += i;
        if (sink > 10) {
            seldom(n);
            sink += 2;
        }
    }
    return caller;
}

const void *cold_part_of_second(int n)
{
    if (n > 3) {
        seldom(n);
        sink += 2;
    }
    sink *= n;
    return caller;
}

static __attribute__((noinline, noclone)) int nameless(int n)
{
    sink += n;
    seldom(n);
    return n * sink;
}

const void *nameless_function(int n)
{
    sink = nameless(n) + (n > 100);
    return caller;
}
