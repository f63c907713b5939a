/* SPDX-License-Identifier: MIT */
#include "interpreter_lock.h"

#include "errors.h"
#include "event.h"
#include "misuse.h"

#include <dlfcn.h>

/* Functions of the interpreter that hold its lock, but for a while no thread state, when a subinterpreter begins or ends; and those
 * that end the process where something is wrong with that very state. */
static bool is_between_states(const void *pc)
{
    static const char *const names[] = {
        "PyThreadState_Delete",
        "PyThreadState_DeleteCurrent",
        "PyThreadState_Clear",
        "PyInterpreterState_Delete",
        "PyInterpreterState_New",
        "PyInterpreterState_Clear",
        "Py_NewInterpreter",
        "Py_NewInterpreterFromConfig",
        "Py_EndInterpreter",
        "Py_FinalizeEx",
        "Py_Finalize",
        "PyThreadState_New",
        "Py_FatalError",
        "_Py_FatalErrorFunc",
        "_Py_FatalErrorFormat",
    };
    Dl_info info;

    if (!dladdr(pc, &info) || !info.dli_sname)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(info.dli_sname, names[i]) == 0)
            return true;
    return false;
}

/* The interpreter calls its own allocators without a thread state: looks at the stack. Without one, nothing is claimed. */
_cold_ bool interpreter_lock_excused(struct thread *thread, void *const *frame)
{
    if (!event_from_interpreter(frame))
        return false;
    uint32_t trace = event_trace(thread, frame);
    uint32_t id = trace ? ((const struct ledger_trace *)ledger_entry(LEDGER_TRACES, trace))->native : 0;

    if (!id)
        return true;
    for (unsigned frames = 0; id && frames < 16; frames++) {
        const struct ledger_node *node = ledger_entry(LEDGER_NODES, id);
        if (node->meta & NODE_NATIVE && is_between_states((const void *)(uintptr_t)(node->key - 1)))
            return true;
        id = node->parent;
    }
    return false;
}

bool interpreter_lock_missing(void)
{
    return pymem_checks_lock && unlikely(!pyframes_attached()) && pymem_api()->is_initialized();
}

void interpreter_lock_note(struct thread *thread, const void *p, uint64_t size, enum block_domain domain,
                           const char *function, void *const *frame)
{
    char detail[128];

    snprintf(detail, sizeof(detail), "%s is called by a thread that does not hold the interpreter's lock", function);
    errors_note(&(struct error_note){
        .kind = ERROR_GIL_NOT_HELD,
        .domain = domain,
        .address = (uintptr_t)p,
        .size = size,
        .trace = event_trace(thread, frame),
        .detail = detail,
    });
}

_cold_ static const struct python_origin *note_missing_lock(const struct python_origin *origin, size_t size,
                                                            void *const *frame)
{
    struct thread *thread = thread_enter();
    bool right = !thread || interpreter_lock_excused(thread, frame);

    if (thread && !right)
        interpreter_lock_note(thread, NULL, size, origin->domain, misuse_maker(origin->domain), frame);
    if (thread)
        thread_leave();
    return right ? origin : pymem_libc_origin(origin->domain);
}

const struct python_origin *interpreter_lock_origin(const struct python_origin *origin, size_t size, void *const *frame)
{
    if (likely(thread_local_state.busy || !interpreter_lock_missing()))
        return origin;
    return note_missing_lock(origin, size, frame);
}
