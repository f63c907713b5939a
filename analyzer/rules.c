/* SPDX-License-Identifier: MIT
 *
 * The table of rules. See rules.h. */
#include "rules.h"

#include "compiler.h"

#include <string.h>

#define HELP_LEAK \
    "Release the block on every path out of the function that allocated it, error paths included. The stack of the " \
    "finding says who asked for the block; for a Python object look for a missing Py_DECREF."
#define HELP_OVERRUN \
    "Compare the size that was asked for with what the code writes: off-by-one indexes, a missing byte for the " \
    "terminator, sizes in elements instead of bytes."
#define HELP_FREED \
    "Find out which of the stacks owns the block. Set pointers to NULL when they are freed, and let one place own " \
    "each " \
    "block."
#define HELP_FAMILY \
    "Release a block with the function that belongs to the one that allocated it: free for malloc, delete for new, " \
    "delete[] for new[], PyMem_Free for PyMem_Malloc, PyObject_Free for PyObject_Malloc."
#define HELP_HANDLE "Keep the handle beside what says whether it is still valid, and look at the result of each call."

enum { RULE_UNKNOWN_LEAK = LEAK_KIND_COUNT, RULE_FIRST_ERROR };

/* The leaks in the order of enum leak_kind, blocks of unknown kind, the errors; the last one is for errors of any kind. */
static const struct rule rules[] = {
    [LEAK_DEFINITE] = {"definite-leak", "definite leak", LEVEL_ERROR, "A block was lost.",
                       "No pointer to the block was left when the process ended: nothing can release it any more.",
                       HELP_LEAK},
    [LEAK_INDIRECT] = {"indirect-leak", "indirect leak", LEVEL_WARNING, "A block was lost together with another one.",
                       "Only blocks that are lost themselves point to the block. It goes away with them.",
                       "Look at the definite leaks first: the owner of this block is among them."},
    [LEAK_POSSIBLE] = {"possible-leak", "possible leak", LEVEL_WARNING, "A block may have been lost.",
                       "Only pointers into the middle of the block were left when the process ended.", HELP_LEAK},
    [LEAK_REACHABLE] = {"reachable-block", "reachable block", LEVEL_NOTE, "A block was not released at the end.",
                        "The block was still in use, or kept, when the process ended: a pointer to it exists.",
                        "Nothing, if the block is meant to live as long as the process; look whether it grows."},
    [RULE_UNKNOWN_LEAK] =
        {"allocated-block", "block still allocated", LEVEL_NOTE, "A block was still allocated at the end.",
         "Memory was not searched for pointers to the block: whether it is lost or in use is not known.",
         "Compare with an earlier run, or let the process end by itself, so that memory is searched."},
    {"overflow", "overflow", LEVEL_ERROR, "Bytes behind a block were overwritten.",
     "The guard bytes behind the block had changed when it was checked.", HELP_OVERRUN},
    {"underflow", "underflow", LEVEL_ERROR, "Bytes before a block were overwritten.",
     "The guard bytes before the block had changed when it was checked.", HELP_OVERRUN},
    {"use-after-free", "use after free", LEVEL_ERROR, "A block was written to after it was freed.",
     "The fill bytes of a freed block had changed when it was checked.", HELP_FREED},
    {"double-free", "double free", LEVEL_ERROR, "A block was freed twice.",
     "The block had been freed before. Its memory may belong to someone else by then.", HELP_FREED},
    {"invalid-free", "invalid free", LEVEL_ERROR, "Something was freed that is no block.",
     "The pointer is not the beginning of an allocated block.",
     "Free the pointer that the allocation returned: not one into the block, on the stack, or in static memory."},
    {"domain-mismatch", "domain mismatch", LEVEL_ERROR, "A block was released in another allocator domain.",
     "CPython's domains raw, mem and obj have allocators of their own.", HELP_FAMILY},
    {"mismatched-free", "mismatched free", LEVEL_ERROR, "A block was released by the wrong function.",
     "malloc, new and new[] each have a function that releases their blocks.", HELP_FAMILY},
    {"gil-not-held", "GIL not held", LEVEL_ERROR, "A Python allocator was called without the GIL.",
     "The domains mem and obj may be used by the thread only that holds the global interpreter lock.",
     "Hold the GIL (PyGILState_Ensure) around the call, or use PyMem_RawMalloc."},
    {"overflow-read", "overflow read", LEVEL_ERROR, "Bytes behind a block were read.",
     "The inaccessible page behind the block was read (guard_pages).", HELP_OVERRUN},
    {"underflow-read", "underflow read", LEVEL_ERROR, "Bytes before a block were read.",
     "The inaccessible page before the block was read (guard_pages).", HELP_OVERRUN},
    {"use-after-free-read", "use after free, read", LEVEL_ERROR, "A block was read after it was freed.",
     "The pages of a freed block are inaccessible (guard_pages), and were read.", HELP_FREED},
    {"invalid-argument", "invalid argument", LEVEL_ERROR, "A handle or a shared pool was asked for what cannot be.",
     "A size below 1, a null handle, or a descriptor that is none: the call failed.", HELP_HANDLE},
    {"invalid-handle", "invalid handle", LEVEL_ERROR, "A handle was used that is none, or no longer one.",
     "The handle had been freed, or was never given out in this process: the call failed.", HELP_HANDLE},
    {"handle-locked", "handle locked", LEVEL_ERROR, "A locked handle was resized or freed.",
     "The pointer that the lock gave out would have become invalid: the call failed.",
     "Unlock the handle as often as it was locked, then resize or free it."},
    {"unbalanced-unlock", "unbalanced unlock", LEVEL_ERROR, "A handle was unlocked more often than locked.",
     "There was no lock left to release: the call failed.", "Unlock a handle once for each lock."},
    {"growth", "growth", LEVEL_WARNING, "A stack keeps more and more blocks.",
     "At each mark more blocks of this stack were alive than at the one before, to the end.",
     "Bound the cache, list or table that keeps them, or remove entries when they are no longer needed."},
    {"memory-error", "memory error", LEVEL_ERROR, "Memory was used wrongly.", "See the detail of the finding.",
     "Look at the stacks of the finding."},
};

const struct rule *rules_all(size_t *ret_count)
{
    *ret_count = ARRAY_SIZE(rules);
    return rules;
}

const struct rule *rule_of_leak(enum leak_kind kind, bool known)
{
    return &rules[known ? (unsigned int)kind : RULE_UNKNOWN_LEAK];
}

const struct rule *rule_of_error(const char *kind)
{
    size_t i = RULE_FIRST_ERROR;
    while (i + 1 < ARRAY_SIZE(rules) && strcmp(rules[i].id, kind) != 0)
        i++;
    return &rules[i];
}

const struct rule *rule_of_growth(void)
{
    return rule_of_error("growth");
}

const char *level_name(enum finding_level level)
{
    static const char *const names[LEVEL_COUNT] = {
        [LEVEL_NOTE] = "note", [LEVEL_WARNING] = "warning", [LEVEL_ERROR] = "error"};
    return names[level];
}
