/* SPDX-License-Identifier: MIT */
#include "cfi_program.h"

#include "cfi_format.h"
#include "cfi_read.h"

#include <errno.h>
#include <string.h>

#define REMEMBER_MAX 4

/* A call frame program being run. */
struct machine {
    const struct cfi_cie *cie;
    uintptr_t pc, stop; /* rows up to and including `stop` count */
    struct cfi_row *row;
    struct cfi_row initial; /* as the CIE left it */
    struct cfi_row saved[REMEMBER_MAX];
    unsigned depth;
};

static int set_rule(struct cfi_row *row, uint64_t number, enum cfi_kind kind, int64_t value)
{
    if (number >= CFI_REGISTERS)
        return -ENOTSUP;
    row->kind[number] = (uint8_t)kind;
    row->value[number] = value;
    return 0;
}

static int set_cfa(struct cfi_row *row, uint64_t number, int64_t offset)
{
    if (number >= CFI_REGISTERS)
        return -ENOTSUP;
    row->cfa_register = (uint8_t)number;
    row->cfa_offset = offset;
    row->cfa_block = 0;
    return 0;
}

/* A rule whose value is an expression at *at, which is passed over. */
static int set_block(struct cfi_row *row, uint64_t number, enum cfi_kind kind, const uint8_t **at)
{
    int64_t block = (int64_t)(uintptr_t)*at;
    uint64_t size = cfi_uleb(at);

    *at += size;
    return set_rule(row, number, kind, block);
}

static int restore_rule(struct machine *machine, uint64_t number)
{
    if (number >= CFI_REGISTERS)
        return -ENOTSUP;
    return set_rule(machine->row, number, machine->initial.kind[number], machine->initial.value[number]);
}

static int run_state(struct machine *machine, uint8_t operation)
{
    if (operation == CFA_REMEMBER_STATE) {
        if (machine->depth == REMEMBER_MAX)
            return -ENOTSUP;
        machine->saved[machine->depth++] = *machine->row;
    } else {
        if (!machine->depth)
            return -ENOTSUP;
        *machine->row = machine->saved[--machine->depth];
    }
    return 0;
}

/* Operations that define the CFA. */
static int run_cfa(struct machine *machine, uint8_t operation, const uint8_t **at)
{
    struct cfi_row *row = machine->row;
    int64_t align = machine->cie->data_align;
    uint64_t number;

    switch (operation) {
    case CFA_DEF_CFA:
        number = cfi_uleb(at);
        return set_cfa(row, number, (int64_t)cfi_uleb(at));
    case CFA_DEF_CFA_SF:
        number = cfi_uleb(at);
        return set_cfa(row, number, cfi_sleb(at) * align);
    case CFA_DEF_CFA_REGISTER:
        return set_cfa(row, cfi_uleb(at), row->cfa_offset);
    case CFA_DEF_CFA_OFFSET:
        row->cfa_offset = (int64_t)cfi_uleb(at);
        return 0;
    case CFA_DEF_CFA_OFFSET_SF:
        row->cfa_offset = cfi_sleb(at) * align;
        return 0;
    case CFA_DEF_CFA_EXPRESSION:
        row->cfa_block = (uintptr_t)*at;
        number = cfi_uleb(at);
        *at += number;
        return 0;
    default:
        return -ENOTSUP;
    }
}

/* Operations that define where one register is. */
static int run_register(struct machine *machine, uint8_t operation, const uint8_t **at)
{
    struct cfi_row *row = machine->row;
    int64_t align = machine->cie->data_align;
    uint64_t number = cfi_uleb(at);

    switch (operation) {
    case CFA_OFFSET_EXTENDED:
        return set_rule(row, number, CFI_OFFSET, (int64_t)cfi_uleb(at) * align);
    case CFA_OFFSET_EXTENDED_SF:
        return set_rule(row, number, CFI_OFFSET, cfi_sleb(at) * align);
    case CFA_VAL_OFFSET:
        return set_rule(row, number, CFI_VAL_OFFSET, (int64_t)cfi_uleb(at) * align);
    case CFA_VAL_OFFSET_SF:
        return set_rule(row, number, CFI_VAL_OFFSET, cfi_sleb(at) * align);
    case CFA_RESTORE_EXTENDED:
        return restore_rule(machine, number);
    case CFA_UNDEFINED:
        return set_rule(row, number, CFI_UNDEFINED, 0);
    case CFA_SAME_VALUE:
        return set_rule(row, number, CFI_SAME, 0);
    case CFA_REGISTER:
        return set_rule(row, number, CFI_REGISTER, (int64_t)cfi_uleb(at));
    case CFA_EXPRESSION:
        return set_block(row, number, CFI_EXPRESSION, at);
    case CFA_VAL_EXPRESSION:
        return set_block(row, number, CFI_VAL_EXPRESSION, at);
    default:
        return -ENOTSUP;
    }
}

/* Moves the location on. Returns whether the operation was one that does. */
static bool run_advance(struct machine *machine, uint8_t operation, const uint8_t **at)
{
    uint64_t delta;

    switch (operation) {
    case CFA_ADVANCE_LOC1:
        delta = (*at)[0];
        *at += 1;
        break;
    case CFA_ADVANCE_LOC2:
        delta = (uint64_t)(*at)[0] | (uint64_t)(*at)[1] << 8;
        *at += 2;
        break;
    case CFA_ADVANCE_LOC4:
        delta = cfi_u32(*at);
        *at += 4;
        break;
    default:
        if ((operation & 0xc0) != CFA_ADVANCE_LOC)
            return false;
        delta = operation & 0x3f;
    }
    machine->pc += delta * machine->cie->code_align;
    return true;
}

static int run_one(struct machine *machine, const uint8_t **at)
{
    uint8_t operation = *(*at)++;

    if (run_advance(machine, operation, at))
        return 0;
    if ((operation & 0xc0) == CFA_OFFSET)
        return set_rule(machine->row, operation & 0x3f, CFI_OFFSET, (int64_t)cfi_uleb(at) * machine->cie->data_align);
    if ((operation & 0xc0) == CFA_RESTORE)
        return restore_rule(machine, operation & 0x3f);
    switch (operation) {
    case CFA_NOP:
        return 0;
    case CFA_SET_LOC:
        return cfi_pointer(at, machine->cie->encoding, true, &machine->pc);
    case CFA_REMEMBER_STATE:
    case CFA_RESTORE_STATE:
        return run_state(machine, operation);
    case CFA_GNU_ARGS_SIZE:
        cfi_uleb(at);
        return 0;
    case CFA_DEF_CFA:
    case CFA_DEF_CFA_SF:
    case CFA_DEF_CFA_REGISTER:
    case CFA_DEF_CFA_OFFSET:
    case CFA_DEF_CFA_OFFSET_SF:
    case CFA_DEF_CFA_EXPRESSION:
        return run_cfa(machine, operation, at);
    default:
        return run_register(machine, operation, at);
    }
}

static int run_program(struct machine *machine, const uint8_t *at, const uint8_t *end)
{
    while (at < end && machine->pc <= machine->stop) {
        int r = run_one(machine, &at);
        if (r < 0)
            return r;
    }
    return 0;
}

int cfi_program_row(const struct cfi_cie *cie, const uint8_t *program, const uint8_t *end, uintptr_t start,
                    uintptr_t pc, struct cfi_row *row)
{
    struct machine machine;

    machine.cie = cie;
    machine.row = row;
    machine.depth = 0;
    machine.pc = 0;
    machine.stop = UINTPTR_MAX;
    memset(row, 0, sizeof(*row));
    memset(&machine.initial, 0, sizeof(machine.initial));
    int r = run_program(&machine, cie->program, cie->end);
    if (r < 0)
        return r;
    machine.initial = *row;
    machine.depth = 0;
    machine.pc = start;
    machine.stop = pc;
    return run_program(&machine, program, end);
}
