/* SPDX-License-Identifier: MIT
 *
 * Stack walks on x86-64: all that the unwinder knows about the architecture.
 *
 * A rule says how to find the caller of a frame from the frame's stack pointer and rbp alone. It is made from the call
 * frame information of one address and holds for every frame there. What cannot be said that way (a CFA that hangs on
 * another register) is a job for libunwind. Code without call frame information is treated as libunwind treats it. */
#include "cfi.h"
#include "cfi_format.h"
#include "cfi_read.h"
#include "unwind_guess.h"
#include "unwind_last.h"
#include "unwind_rules.h"
#include "unwind_slow.h"

#include <errno.h>
#include <string.h>

enum { /* DWARF register numbers */
       REGISTER_RBP = 6,
       REGISTER_RSP = 7,
       REGISTER_RIP = 16,
};

enum rule_kind {
    RULE_NONE = 0,
    RULE_SP,       /* CFA = rsp + offset; the return address is at CFA - 8 */
    RULE_FP,       /* CFA = rbp + offset; the same */
    RULE_SP_DEREF, /* CFA = word at rsp + offset; the same */
    RULE_FP_DEREF, /* CFA = word at rbp + offset; the same (functions that align their stack) */
    RULE_SIGNAL,   /* CFA = word at rsp + offset, interrupted pc in the word behind it */
    RULE_STOP,     /* outermost frame */
    RULE_GUESS,    /* no information */
    RULE_FOREIGN,  /* the same, in no loaded object: an object may be loaded there later */
    RULE_COMPLEX,  /* only libunwind can tell */
};

enum fp_mode { /* where the caller's rbp is */
               FP_SAME = 0,
               FP_AT_CFA, /* at CFA + offset */
               FP_AT_FP,  /* at rbp + offset */
               FP_AT_SP,  /* at rsp + offset */
};

/* A rule is 64 bits: kind, mode << 4, signed offset of rbp << 8 (24 bits), signed offset of the CFA << 32. */
static uint64_t rule_make(enum rule_kind kind, int64_t offset, enum fp_mode mode, int64_t fp_offset)
{
    if (offset != (int32_t)offset || fp_offset < -(1 << 23) || fp_offset >= 1 << 23)
        return RULE_COMPLEX;
    return (uint64_t)kind | (uint64_t)mode << 4 | ((uint64_t)fp_offset & 0xffffff) << 8 | (uint64_t)offset << 32;
}

static inline enum rule_kind rule_kind(uint64_t rule)
{
    return (enum rule_kind)(rule & 15);
}

static inline enum fp_mode rule_fp_mode(uint64_t rule)
{
    return (enum fp_mode)(rule >> 4 & 15);
}

static inline intptr_t rule_fp_offset(uint64_t rule)
{
    return (int32_t)(uint32_t)rule >> 8;
}

static inline intptr_t rule_offset(uint64_t rule)
{
    return (intptr_t)rule >> 32;
}

/* ---- expressions, as far as they are base + constant ---- */

enum base { BASE_NONE = 0, BASE_SP, BASE_FP, BASE_CFA };

/* base + offset, or the word there. */
struct affine {
    enum base base;
    bool deref;
    int64_t offset;
};

#define EXPRESSION_STACK 8

/* The constant that follows an OP_CONST operation. */
static int64_t read_constant(uint8_t operation, const uint8_t **at)
{
    unsigned size = 1u << (operation - OP_CONST1U) / 2;
    uint64_t value = 0;

    if (operation == OP_CONSTU)
        return (int64_t)cfi_uleb(at);
    if (operation == OP_CONSTS)
        return cfi_sleb(at);
    memcpy(&value, *at, size);
    *at += size;
    if (operation & 1 && size < 8) /* the signed ones are odd */
        value = (uint64_t)((int64_t)(value << (64 - 8 * size)) >> (64 - 8 * size));
    return (int64_t)value;
}

static bool push_register(struct affine *top, unsigned number, int64_t offset, uintptr_t pc)
{
    switch (number) {
    case REGISTER_RSP:
        *top = (struct affine){BASE_SP, false, offset};
        return true;
    case REGISTER_RBP:
        *top = (struct affine){BASE_FP, false, offset};
        return true;
    case REGISTER_RIP:
        *top = (struct affine){BASE_NONE, false, (int64_t)pc + offset};
        return true;
    default:
        return false;
    }
}

/* left = left operation right. */
static bool combine(struct affine *left, uint8_t operation, const struct affine *right)
{
    bool constants = !left->base && !right->base;

    if (left->deref || right->deref)
        return false;
    switch (operation) {
    case OP_PLUS:
        if (left->base && right->base)
            return false;
        left->base = left->base ? left->base : right->base;
        left->offset = (int64_t)((uint64_t)left->offset + (uint64_t)right->offset);
        return true;
    case OP_MINUS:
        left->offset = (int64_t)((uint64_t)left->offset - (uint64_t)right->offset);
        return !right->base;
    case OP_AND:
        left->offset &= right->offset;
        return constants;
    case OP_GE:
        left->offset = left->offset >= right->offset;
        return constants;
    case OP_SHL:
        if (right->offset < 0 || right->offset > 63)
            return false;
        left->offset = (int64_t)((uint64_t)left->offset << right->offset);
        return constants;
    default:
        return false;
    }
}

/* Operations that need nothing from the stack. Returns whether it was one, and pushed. */
static bool push(struct affine *top, uint8_t operation, const uint8_t **at, uintptr_t pc)
{
    if (operation >= OP_LIT0 && operation <= OP_LIT31)
        *top = (struct affine){BASE_NONE, false, operation - OP_LIT0};
    else if (operation >= OP_CONST1U && operation <= OP_CONSTS)
        *top = (struct affine){BASE_NONE, false, read_constant(operation, at)};
    else if (operation >= OP_BREG0 && operation <= OP_BREG31)
        return push_register(top, operation - OP_BREG0, cfi_sleb(at), pc);
    else
        return false;
    return true;
}

/* Evaluates the block in a frame at `pc`, with `first` on the stack if it has a base. Returns whether the result is of a
 * form that `ret` can hold. */
static bool evaluate(uintptr_t block, uintptr_t pc, struct affine first, struct affine *ret)
{
    const uint8_t *at = (const uint8_t *)block;
    uint64_t size = cfi_uleb(&at);
    const uint8_t *end = at + size;
    struct affine stack[EXPRESSION_STACK] = {first};
    unsigned depth = first.base ? 1 : 0;

    while (at < end) {
        uint8_t operation = *at++;
        if (depth < EXPRESSION_STACK && push(&stack[depth], operation, &at, pc)) {
            depth++;
        } else if (operation == OP_PLUS_UCONST && depth && !stack[depth - 1].deref) {
            stack[depth - 1].offset += (int64_t)cfi_uleb(&at);
        } else if (operation == OP_DEREF && depth && stack[depth - 1].base && !stack[depth - 1].deref) {
            stack[depth - 1].deref = true;
        } else {
            if (depth < 2 || !combine(&stack[depth - 2], operation, &stack[depth - 1]))
                return false;
            depth--;
        }
    }
    if (!depth)
        return false;
    *ret = stack[depth - 1];
    return true;
}

/* ---- from a row to a rule ---- */

static bool cfa_of(const struct cfi_row *row, uintptr_t pc, struct affine *ret)
{
    if (row->cfa_block)
        return evaluate(row->cfa_block, pc, (struct affine){BASE_NONE, false, 0}, ret) && ret->base;
    return push_register(ret, row->cfa_register, row->cfa_offset, pc) && ret->base;
}

static bool fp_of(const struct cfi_row *row, uintptr_t pc, enum fp_mode *mode, int64_t *offset)
{
    struct affine place;

    *offset = row->value[REGISTER_RBP];
    switch (row->kind[REGISTER_RBP]) {
    case CFI_SAME:
        *mode = FP_SAME;
        *offset = 0;
        return true;
    case CFI_OFFSET:
        *mode = FP_AT_CFA;
        return true;
    case CFI_EXPRESSION:
        if (!evaluate((uintptr_t)*offset, pc, (struct affine){BASE_CFA, false, 0}, &place) || place.deref ||
            !place.base)
            return false;
        *mode = place.base == BASE_CFA ? FP_AT_CFA : place.base == BASE_FP ? FP_AT_FP : FP_AT_SP;
        *offset = place.offset;
        return true;
    default:
        return false;
    }
}

/* Whether the caller's stack pointer is the CFA. */
static bool sp_is_cfa(const struct cfi_row *row, uintptr_t pc, const struct affine *cfa)
{
    struct affine place;

    if (row->kind[REGISTER_RSP] == CFI_SAME)
        return true;
    return row->kind[REGISTER_RSP] == CFI_EXPRESSION && cfa->deref &&
           evaluate((uintptr_t)row->value[REGISTER_RSP], pc, (struct affine){BASE_CFA, false, 0}, &place) &&
           !place.deref && place.base == cfa->base && place.offset == cfa->offset;
}

/* Whether the row is that of a signal trampoline: rsp and rip from the interrupted context, rip behind rsp. */
static bool is_signal_context(const struct cfi_row *row, uintptr_t pc, const struct affine *cfa)
{
    struct affine place;

    return cfa->deref && cfa->base == BASE_SP && row->kind[REGISTER_RIP] == CFI_EXPRESSION &&
           evaluate((uintptr_t)row->value[REGISTER_RIP], pc, (struct affine){BASE_CFA, false, 0}, &place) &&
           !place.deref && place.base == BASE_SP && place.offset == cfa->offset + 8;
}

static uint64_t rule_of(const struct cfi_frame *frame, const struct cfi_row *row, uintptr_t pc)
{
    enum rule_kind kind;
    enum fp_mode mode;
    struct affine cfa;
    int64_t fp_offset;

    if (frame->ra_register != REGISTER_RIP)
        return RULE_COMPLEX;
    if (row->kind[REGISTER_RIP] == CFI_UNDEFINED || row->kind[REGISTER_RBP] == CFI_UNDEFINED)
        return RULE_STOP;
    if (!cfa_of(row, pc, &cfa) || !sp_is_cfa(row, pc, &cfa) || !fp_of(row, pc, &mode, &fp_offset))
        return RULE_COMPLEX;
    if (frame->signal)
        return is_signal_context(row, pc, &cfa) ? rule_make(RULE_SIGNAL, cfa.offset, mode, fp_offset) : RULE_COMPLEX;
    if (row->kind[REGISTER_RIP] != CFI_OFFSET || row->value[REGISTER_RIP] != -8)
        return RULE_COMPLEX;
    if (cfa.base == BASE_SP)
        kind = cfa.deref ? RULE_SP_DEREF : RULE_SP;
    else
        kind = cfa.deref ? RULE_FP_DEREF : RULE_FP;
    return rule_make(kind, cfa.offset, mode, fp_offset);
}

/* Code that no table knows. libunwind recognises two pieces of code by their bytes, which are left to it. */
static uint64_t rule_without_cfi(uintptr_t pc)
{
    uint64_t code[2];

    if (!memory_probe(pc + 8))
        return RULE_GUESS;
    memcpy(code, (const void *)pc, sizeof(code));
    bool sigreturn = code[0] == 0x0f0000000fc0c748 && (code[1] & 0xff) == 0x05; /* mov $15, %rax; syscall */
    bool plt = (code[0] & 0xffff) == 0x25ff && (code[0] >> 48 & 0xff) == 0x68 && (code[1] >> 24 & 0xff) == 0xe9;
    return sigreturn || plt ? RULE_COMPLEX : RULE_GUESS;
}

static _cold_ uint64_t rule_learn(uintptr_t pc, bool exact, uint64_t key)
{
    struct cfi_frame frame;
    struct cfi_row row;
    uint64_t rule;

    if (pc >= RULES_EXACT)
        return RULE_STOP;
    int r = cfi_row(exact ? pc : pc - 1, &frame, &row);
    if (r == -ENOENT || r == -ENXIO) {
        if (!memory_probe(pc))
            return RULE_STOP; /* not entered: there may be code one day */
        rule = rule_without_cfi(pc);
        if (r == -ENXIO && rule == RULE_GUESS)
            rule = RULE_FOREIGN;
    } else {
        rule = r < 0 ? RULE_COMPLEX : rule_of(&frame, &row, pc);
    }
    rules_enter(key, rule);
    return rule;
}

/* ---- walking ---- */

reads_stacks static inline uintptr_t load(uintptr_t address)
{
    return *(const uintptr_t *)address;
}

static enum step step_odd(struct memory *memory, struct unwind_fresh *frame, struct cursor *cursor, enum rule_kind kind)
{
    switch (kind) {
    case RULE_GUESS:
    case RULE_FOREIGN:
        return guess_step(memory, frame, cursor);
    case RULE_STOP:
        return STEP_END;
    default:
        return STEP_COMPLEX;
    }
}

/* The CFA, with frame->sp_slot and fp_used set; false when it cannot be read. */
reads_stacks static inline bool step_cfa(struct memory *memory, struct unwind_fresh *frame, const struct cursor *cursor,
                                         uint64_t rule, uintptr_t *cfa)
{
    enum rule_kind kind = rule_kind(rule);

    frame->fp_used = kind == RULE_FP || kind == RULE_FP_DEREF;
    *cfa = (frame->fp_used ? cursor->fp : cursor->sp) + (uintptr_t)rule_offset(rule);
    if (likely(kind <= RULE_FP))
        return true;
    if (!memory_readable(memory, *cfa))
        return false;
    frame->sp_slot = *cfa;
    *cfa = load(*cfa);
    return true;
}

/* The address of the saved rbp, 0 when it was not saved. */
static inline uintptr_t step_fp_slot(struct unwind_fresh *frame, const struct cursor *cursor, uint64_t rule,
                                     uintptr_t cfa)
{
    uintptr_t offset = (uintptr_t)rule_fp_offset(rule);

    switch (rule_fp_mode(rule)) {
    case FP_AT_CFA:
        return cfa + offset;
    case FP_AT_FP:
        frame->fp_used = true;
        return cursor->fp + offset;
    case FP_AT_SP:
        return cursor->sp + offset;
    case FP_SAME:
    default:
        frame->fp_kept = true;
        return 0;
    }
}

/* Moves the cursor to the caller, and notes in `frame` what was read. */
reads_stacks static inline enum step step(struct memory *memory, struct unwind_fresh *frame, struct cursor *cursor,
                                          uint64_t rule)
{
    enum rule_kind kind = rule_kind(rule);
    uintptr_t cfa, pc;

    frame->pc_slot = frame->fp_slot = frame->sp_slot = 0;
    frame->fp_used = frame->fp_kept = false;
    if (unlikely(kind > RULE_SIGNAL))
        return step_odd(memory, frame, cursor, kind);
    if (unlikely(!step_cfa(memory, frame, cursor, rule, &cfa)))
        return STEP_END;
    uintptr_t pc_slot = unlikely(kind == RULE_SIGNAL) ? frame->sp_slot + 8 : cfa - 8;
    uintptr_t fp_slot = step_fp_slot(frame, cursor, rule, cfa);
    uintptr_t last_pc = cursor->pc, last_cfa = cursor->sp - cursor->lag;
    cursor->sp = cfa;
    cursor->lag = 0;
    if (unlikely(!memory_readable(memory, pc_slot) || (fp_slot && !memory_readable(memory, fp_slot))))
        return STEP_END;
    frame->pc_slot = pc_slot;
    frame->fp_slot = fp_slot;
    cursor->pc = pc = load(pc_slot);
    if (fp_slot)
        cursor->fp = load(fp_slot);
    cursor->exact = kind == RULE_SIGNAL;
    return unlikely(pc < CODE_MIN || (pc == last_pc && cfa == last_cfa)) ? STEP_END : STEP_ON;
}

static _cold_ bool no_room(struct unwind_thread *thread, uint32_t fresh)
{
    return fresh >= FRAMES_MAX / 2 || !state_grow(thread);
}

void walk_init(void)
{
    cfi_init();
    guess_init();
}

bool walk_stack(struct unwind_thread *thread, const struct unwind_start *start)
{
    struct cursor cursor = {start->pc, start->sp, start->fp, false, 0};
    uint32_t kept = thread->count, fresh = 0, backward = 0;
    bool cut = false;

    thread->count = 0; /* while it is being changed */
    while (!meet(thread, &cursor, &kept, fresh)) {
        if (unlikely(fresh == thread->size) && no_room(thread, fresh)) {
            cut = true;
            break;
        }
        struct unwind_fresh *frame = &thread->fresh[fresh++];
        uint64_t key = rules_key(cursor.pc, cursor.exact, thread->generation);
        uint64_t rule = rules_find(key);
        frame->pc = cursor.pc;
        frame->sp = cursor.sp;
        frame->fp = cursor.fp;
        frame->exact = cursor.exact;
        frame->lag = cursor.lag;
        if (unlikely(!rule) || unlikely(rule == RULE_FOREIGN && cfi_covers(cursor.pc)))
            rule = rule_learn(cursor.pc, cursor.exact, key);
        enum step result = step(&thread->memory, frame, &cursor, rule);
        if (likely(result == STEP_ON) && (likely(cursor.sp > frame->sp) || ++backward <= BACKWARD_MAX))
            continue;
        if (result == STEP_COMPLEX && slow_present())
            return false;
        kept = 0;
        break;
    }
    if (!kept || cut) {
        kept = 0;
        thread->dropped = 0;
        thread->rootless = cut;
    }
    while (unlikely(kept + fresh > thread->size))
        if (!state_grow(thread))
            drop_outer(thread, &kept);
    push_fresh(thread, kept, fresh, &cursor);
    thread->kept = kept;
    return true;
}
