/* SPDX-License-Identifier: MIT
 *
 * The functions of memshim/handles.h: arguments, errors, reports. The table knows the handles, the block its memory. */
#include "memshim/handles.h"

#include "compiler.h"
#include "handle_table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#define FLAGS_KNOWN (MEMSHIM_HANDLE_CLEAR | MEMSHIM_HANDLE_QUIET)
#define LABEL_MAX 256

static struct memshim_handle_stats stats;
static int reporting = 1;

/* Whether anybody looks: the shim is loaded and reporting is on. */
static bool is_watched(const struct handle_slot *slot)
{
    return &memshim_object_fault && __atomic_load_n(&reporting, __ATOMIC_RELAXED) &&
           !(slot && slot->flags & MEMSHIM_HANDLE_QUIET);
}

/* Notes an error of the report. `slot`: the handle's place, or NULL. */
static void _printf_format_(4, 5) complain(enum memshim_object_fault fault, memshim_handle handle,
                                           const struct handle_slot *slot, const char *format, ...)
{
    char detail[512];
    va_list arguments;

    if (!is_watched(slot))
        return;
    va_start(arguments, format);
    vsnprintf(detail, sizeof(detail), format, arguments);
    va_end(arguments);
    memshim_object_fault(&(struct memshim_fault){.size_of = sizeof(struct memshim_fault),
                                                 .domain = MEMSHIM_OBJECT_HANDLE,
                                                 .fault = fault,
                                                 .address = handle,
                                                 .size = slot ? slot->block.size : 0,
                                                 .detail = detail},
                         slot ? &slot->object : NULL);
}

static const char *label_of(const struct handle_slot *slot)
{
    return slot->label ? slot->label : "";
}

/* The live place of a handle that `function` is called for, or NULL: *ret_error says why, and so does the report. */
static struct handle_slot *use(memshim_handle handle, const char *function, int *ret_error)
{
    struct handle_slot *slot = handle_table_find(handle, ret_error);

    if (*ret_error == 0)
        return slot;
    if (*ret_error == -EINVAL)
        complain(MEMSHIM_FAULT_ARGUMENT, handle, NULL, "%s is called for the null handle", function);
    else if (*ret_error == -EBADF)
        complain(MEMSHIM_FAULT_HANDLE, handle, NULL, "%s is called for 0x%" PRIx64 ", which never was a handle",
                 function, handle);
    else
        complain(strcmp(function, "memshim_handle_free") ? MEMSHIM_FAULT_HANDLE : MEMSHIM_FAULT_DOUBLE_FREE, handle,
                 slot, "%s is called for a handle that was freed%s%s%s", function, slot ? ": \"" : "",
                 slot ? label_of(slot) : "", slot ? "\"" : "");
    return NULL;
}

/* Looks at the guard bytes and the like, and says what it finds. */
static void check(struct handle_slot *slot, memshim_handle handle)
{
    int64_t offset;
    enum block_damage damage;

    while ((damage = handle_block_check(&slot->block, &offset)) != BLOCK_INTACT) {
        const char *label = label_of(slot);
        if (damage == BLOCK_OVERRUN || damage == BLOCK_UNDERRUN)
            complain(damage == BLOCK_OVERRUN ? MEMSHIM_FAULT_OVERFLOW : MEMSHIM_FAULT_UNDERFLOW, handle, slot,
                     "handle \"%s\" of %zu bytes was written to at offset %" PRId64, label, slot->block.size, offset);
        else if (damage == BLOCK_MOVED)
            complain(MEMSHIM_FAULT_STALE_WRITE, handle, slot,
                     "handle \"%s\" was written to through a pointer from before its resize, at offset %" PRId64, label,
                     offset);
        else
            complain(MEMSHIM_FAULT_STALE_WRITE, handle, slot, "handle \"%s\" was written to while it was not locked",
                     label);
    }
}

/* ---- new and free ---- */

static char *copy_label(const char *what)
{
    return what ? strndup(what, LABEL_MAX) : NULL;
}

static void record(struct handle_slot *slot, memshim_handle handle)
{
    if (&memshim_object_new && is_watched(NULL))
        memshim_object_new(&slot->object, MEMSHIM_OBJECT_HANDLE, slot->label, handle & 0xffffffffffu, slot->block.size);
}

static int new_locked(const char *what, size_t size, unsigned flags, memshim_handle *ret)
{
    memshim_handle handle;
    struct handle_slot *slot = handle_table_take(&handle);

    if (!slot)
        return -ENOMEM;
    slot->flags = flags;
    slot->label = copy_label(what);
    if ((what && !slot->label) || !handle_block_init(&slot->block, size, flags & MEMSHIM_HANDLE_CLEAR)) {
        free(slot->label);
        slot->label = NULL;
        handle_table_give(slot);
        return -ENOMEM;
    }
    record(slot, handle);
    stats.handle_count++;
    stats.total_size += size;
    *ret = handle;
    return 0;
}

_exported_ int memshim_handle_new(const char *what, int64_t size, unsigned flags, memshim_handle *ret)
{
    if (!ret || flags & ~(unsigned)FLAGS_KNOWN || size <= 0) {
        if (size <= 0 && !(flags & MEMSHIM_HANDLE_QUIET))
            complain(MEMSHIM_FAULT_ARGUMENT, 0, NULL, "a handle \"%s\" of %" PRId64 " bytes is asked for",
                     what ? what : "", size);
        return -EINVAL;
    }
    handle_table_lock();
    int result = new_locked(what, (size_t)size, flags, ret);
    handle_table_unlock();
    return result;
}

/* The label is kept for messages about the freed handle, until its place is taken again. */
static void release(struct handle_slot *slot)
{
    stats.handle_count--;
    stats.total_size -= slot->block.size;
    if (&memshim_object_free)
        memshim_object_free(&slot->object);
    handle_block_done(&slot->block);
    free(slot->lock_objects);
    slot->lock_objects = NULL;
    if (!&memshim_object_free) {
        free(slot->label);
        slot->label = NULL;
    }
    handle_table_give(slot);
}

_exported_ int memshim_handle_free(memshim_handle handle)
{
    int result;

    handle_table_lock();
    struct handle_slot *slot = use(handle, "memshim_handle_free", &result);
    if (slot && slot->locks) {
        complain(MEMSHIM_FAULT_LOCKED, handle, slot, "handle \"%s\" is freed while it is locked (%" PRIu32 ")",
                 label_of(slot), slot->locks);
        result = -EBUSY;
    } else if (slot) {
        check(slot, handle);
        release(slot);
    }
    handle_table_unlock();
    return result;
}

/* ---- lock and unlock ---- */

/* Each lock is an object of its own in the report. */
static int record_lock(struct handle_slot *slot, memshim_handle handle)
{
    if (slot->locks == slot->lock_room) {
        uint32_t room = slot->lock_room ? 2 * slot->lock_room : 4;
        struct memshim_object *objects = reallocarray(slot->lock_objects, room, sizeof(*objects));
        if (!objects)
            return -ENOMEM;
        slot->lock_objects = objects;
        slot->lock_room = room;
    }
    struct memshim_object *object = &slot->lock_objects[slot->locks];
    *object = (struct memshim_object){0};
    if (&memshim_object_new && is_watched(NULL))
        memshim_object_new(object, MEMSHIM_OBJECT_LOCK, slot->label, handle & 0xffffffffffu, 0);
    slot->locks++;
    return 0;
}

_exported_ int memshim_handle_lock(memshim_handle handle, void **ret)
{
    int result;

    if (!ret)
        return -EINVAL;
    handle_table_lock();
    struct handle_slot *slot = use(handle, "memshim_handle_lock", &result);
    if (slot)
        result = record_lock(slot, handle);
    if (slot && result == 0) {
        if (slot->locks == 1)
            check(slot, handle);
        handle_block_unseal(&slot->block);
        *ret = handle_block_bytes(&slot->block);
    }
    handle_table_unlock();
    return result;
}

static void unlock_one(struct handle_slot *slot, memshim_handle handle)
{
    slot->locks--;
    if (&memshim_object_free)
        memshim_object_free(&slot->lock_objects[slot->locks]);
    if (slot->locks)
        return;
    check(slot, handle);
    if (is_watched(slot))
        handle_block_seal(&slot->block);
}

_exported_ int memshim_handle_unlock(memshim_handle handle)
{
    int result;

    handle_table_lock();
    struct handle_slot *slot = use(handle, "memshim_handle_unlock", &result);
    if (slot && !slot->locks) {
        complain(MEMSHIM_FAULT_UNBALANCED, handle, slot, "handle \"%s\" is unlocked and was not locked",
                 label_of(slot));
        result = -EPERM;
    } else if (slot) {
        unlock_one(slot, handle);
    }
    handle_table_unlock();
    return result;
}

/* ---- size ---- */

_exported_ int memshim_handle_size(memshim_handle handle, uint64_t *ret)
{
    int result;

    if (!ret)
        return -EINVAL;
    handle_table_lock();
    const struct handle_slot *slot = use(handle, "memshim_handle_size", &result);
    if (slot)
        *ret = slot->block.size;
    handle_table_unlock();
    return result;
}

static int resize(struct handle_slot *slot, const char *what, size_t size, memshim_handle handle)
{
    char *label = copy_label(what);
    size_t before = slot->block.size;

    check(slot, handle);
    if ((what && !label) ||
        !handle_block_resize(&slot->block, size, slot->flags & MEMSHIM_HANDLE_CLEAR, is_watched(slot))) {
        free(label);
        return -ENOMEM;
    }
    if (is_watched(slot))
        handle_block_seal(&slot->block);
    if (label) {
        free(slot->label);
        slot->label = label;
    }
    stats.total_size += size - before;
    if (&memshim_object_free && slot->object.record) {
        memshim_object_free(&slot->object);
        record(slot, handle);
    }
    return 0;
}

_exported_ int memshim_handle_resize(const char *what, int64_t size, memshim_handle handle)
{
    int result;

    handle_table_lock();
    struct handle_slot *slot = use(handle, "memshim_handle_resize", &result);
    if (slot && size < 0) {
        complain(MEMSHIM_FAULT_ARGUMENT, handle, slot, "handle \"%s\" is resized to %" PRId64 " bytes", label_of(slot),
                 size);
        result = -EINVAL;
    } else if (slot && slot->locks) {
        complain(MEMSHIM_FAULT_LOCKED, handle, slot, "handle \"%s\" is resized while it is locked (%" PRIu32 ")",
                 label_of(slot), slot->locks);
        result = -EBUSY;
    } else if (slot) {
        result = resize(slot, what, (size_t)size, handle);
    }
    handle_table_unlock();
    return result;
}

/* ---- all of them ---- */

_exported_ int memshim_handle_stats(struct memshim_handle_stats *ret)
{
    if (!ret)
        return -EINVAL;
    handle_table_lock();
    *ret = stats;
    handle_table_unlock();
    return 0;
}

_exported_ int memshim_handle_reporting(int on)
{
    return __atomic_exchange_n(&reporting, on != 0, __ATOMIC_RELAXED);
}

/* A last look at what is left; where another thread is at work just now, none. */
static void at_end(void)
{
    struct handle_slot *slot;

    if (!handle_table_try_lock())
        return;
    for (uint32_t n = 0; (slot = handle_table_at(n)); n++)
        if (slot->live)
            check(slot, handle_table_handle(slot));
    handle_table_unlock();
}

__attribute__((constructor)) static void begin(void)
{
    if (&memshim_at_end)
        memshim_at_end(at_end);
}
