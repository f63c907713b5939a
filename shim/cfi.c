/* SPDX-License-Identifier: MIT
 *
 * Reader of .eh_frame_hdr and .eh_frame. What ld and lld write is handled (sorted table of 32-bit offsets, augmentation
 * "z..."); everything else is -ENOTSUP, so that the caller can ask libunwind. */
#include "cfi.h"

#include "cfi_format.h"
#include "compiler.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <string.h>

#define REMEMBER_MAX 4

/* An object that holds the pc. */
struct object {
    uintptr_t start, end;
    const uint8_t *header; /* .eh_frame_hdr, or NULL */
};

/* Result of _dl_find_object on x86-64 (an interface of glibc 2.35, fixed since). */
struct find_result {
    uint64_t flags;
    void *start, *end, *link_map, *eh_frame;
    uint64_t reserved[7];
};

/* What a common information entry says. */
struct cie {
    const uint8_t *program, *end;
    uint64_t code_align;
    int64_t data_align;
    uint8_t ra_register;
    uint8_t encoding; /* of pointers in its FDEs */
    bool augmented;   /* FDEs have an augmentation block */
    bool signal;
};

/* A call frame program being run. */
struct machine {
    const struct cie *cie;
    uintptr_t pc, stop; /* rows up to and including `stop` count */
    struct cfi_row *row;
    struct cfi_row initial; /* as the CIE left it */
    struct cfi_row saved[REMEMBER_MAX];
    unsigned depth;
};

static int (*find_object)(void *address, struct find_result *result);

void cfi_init(void)
{
    /* Looked up at run time: a reference would tie the shim to glibc 2.35. */
    *(void **)&find_object = dlsym(RTLD_DEFAULT, "_dl_find_object");
}

uint64_t cfi_uleb(const uint8_t **at)
{
    uint64_t value = 0;

    for (unsigned shift = 0;; shift += 7) {
        uint8_t byte = *(*at)++;
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
}

int64_t cfi_sleb(const uint8_t **at)
{
    uint64_t value = 0;
    unsigned shift = 0;
    uint8_t byte;

    do {
        byte = *(*at)++;
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
    } while (byte & 0x80);
    if (shift < 64 && (byte & 0x40))
        value |= ~0ULL << shift;
    return (int64_t)value;
}

static uint32_t read_u32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static int32_t read_s32(const uint8_t *at)
{
    return (int32_t)read_u32(at);
}

/* Without _dl_find_object: the way that takes the loader's lock, only when a pc is met for the first time. */
static int look_at_object(struct dl_phdr_info *info, size_t size, void *data)
{
    struct object *object = data;
    uintptr_t pc = object->start;
    const uint8_t *header = NULL;
    bool inside = false;
    uintptr_t start = UINTPTR_MAX, end = 0;

    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t address = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_GNU_EH_FRAME)
            header = (const uint8_t *)address;
        if (segment->p_type != PT_LOAD)
            continue;
        inside |= pc - address < segment->p_memsz;
        start = MIN(start, address);
        end = MAX(end, address + segment->p_memsz);
    }
    if (inside)
        *object = (struct object){start, end, header};
    return inside;
}

static bool object_of(uintptr_t pc, struct object *object)
{
    struct find_result found;

    if (likely(find_object)) {
        if (find_object((void *)pc, &found))
            return false;
        *object = (struct object){(uintptr_t)found.start, (uintptr_t)found.end, found.eh_frame};
        return true;
    }
    object->start = pc;
    return dl_iterate_phdr(look_at_object, object) != 0;
}

bool cfi_covers(uintptr_t pc)
{
    struct object object;

    return object_of(pc, &object);
}

static bool inside(const struct object *object, const uint8_t *at, size_t size)
{
    return (uintptr_t)at >= object->start && (uintptr_t)at <= object->end && object->end - (uintptr_t)at >= size;
}

/* The FDE that the sorted table has for `pc`: *ret_fde, which may yet end before the pc. */
static int table_search(const struct object *object, uintptr_t pc, const uint8_t **ret_fde)
{
    const uint8_t *header = object->header;

    if (!header || !inside(object, header, 12) || header[0] != 1 || header[2] != PE_UDATA4 ||
        header[3] != (PE_DATAREL | PE_SDATA4) || (header[1] & PE_FORMAT & ~8) != PE_UDATA4)
        return -ENOTSUP;
    size_t count = read_u32(header + 8);
    const uint8_t *table = header + 12;
    if (!inside(object, table, count * 8))
        return -ENOTSUP;
    size_t low = 0, high = count; /* the entry is in [low - 1, high - 1] */
    intptr_t wanted = (intptr_t)(pc - (uintptr_t)header);
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (read_s32(table + middle * 8) <= wanted)
            low = middle + 1;
        else
            high = middle;
    }
    if (!low)
        return -ENOENT;
    *ret_fde = header + read_s32(table + (low - 1) * 8 + 4);
    return 0;
}

/* Reads an encoded pointer; `base` false leaves out what it is relative to. */
static int read_pointer(const uint8_t **at, uint8_t encoding, bool base, uintptr_t *ret)
{
    const uint8_t *start = *at;
    uint64_t value = 0;
    unsigned size;

    switch (encoding & PE_FORMAT) {
    case PE_UDATA4:
    case PE_SDATA4:
        size = 4;
        break;
    case PE_UDATA2:
    case PE_SDATA2:
        size = 2;
        break;
    case PE_ABSOLUTE:
    case PE_UDATA8:
    case PE_SDATA8:
        size = 8;
        break;
    default:
        return -ENOTSUP;
    }
    memcpy(&value, start, size);
    if ((encoding & PE_FORMAT) == PE_SDATA4)
        value = (uint64_t)(int64_t)(int32_t)value;
    if ((encoding & PE_FORMAT) == PE_SDATA2)
        value = (uint64_t)(int64_t)(int16_t)value;
    if (base && (encoding & PE_BASE) == PE_PCREL)
        value += (uintptr_t)start;
    else if (base && (encoding & PE_BASE))
        return -ENOTSUP;
    *at += size;
    *ret = value;
    return 0;
}

/* Reads what the letters of an augmentation string announce. */
static int read_augmentation(const char *letters, const uint8_t *at, struct cie *cie)
{
    uintptr_t personality;

    for (; *letters; letters++) {
        switch (*letters) {
        case 'R':
            cie->encoding = *at++;
            break;
        case 'L':
            at++;
            break;
        case 'P':
            at++;
            if (read_pointer(&at, at[-1], false, &personality))
                return -ENOTSUP;
            break;
        case 'S':
            cie->signal = true;
            break;
        default:
            return -ENOTSUP;
        }
    }
    return 0;
}

static int read_cie(const struct object *object, const uint8_t *at, struct cie *cie)
{
    if (!inside(object, at, 16) || read_u32(at) >= 0xfffffff0 || !inside(object, at + 4, read_u32(at)) ||
        read_u32(at + 4) != 0)
        return -ENOTSUP;
    *cie = (struct cie){.end = at + 4 + read_u32(at), .encoding = PE_ABSOLUTE};
    uint8_t version = at[8];
    const char *letters = (const char *)at + 9;
    if ((version != 1 && version != 3) || (letters[0] && letters[0] != 'z'))
        return -ENOTSUP;
    at = (const uint8_t *)letters + strlen(letters) + 1;
    cie->code_align = cfi_uleb(&at);
    cie->data_align = cfi_sleb(&at);
    uint64_t ra = version == 1 ? *at++ : cfi_uleb(&at);
    if (ra >= CFI_REGISTERS)
        return -ENOTSUP;
    cie->ra_register = (uint8_t)ra;
    cie->program = at;
    if (letters[0] != 'z')
        return 0;
    cie->augmented = true;
    uint64_t size = cfi_uleb(&at);
    cie->program = at + size;
    return cie->program <= cie->end ? read_augmentation(letters + 1, at, cie) : -ENOTSUP;
}

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
        delta = read_u32(*at);
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
        return read_pointer(at, machine->cie->encoding, true, &machine->pc);
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

static int run_row(const struct cie *cie, const uint8_t *program, const uint8_t *end, uintptr_t start, uintptr_t pc,
                   struct cfi_row *row)
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

int cfi_row(uintptr_t pc, struct cfi_frame *ret_frame, struct cfi_row *ret_row)
{
    struct object object;
    const uint8_t *fde;
    struct cie cie;
    uintptr_t start, size;

    if (!object_of(pc, &object))
        return -ENXIO;
    int r = table_search(&object, pc, &fde);
    if (r < 0)
        return r;
    if (!inside(&object, fde, 16) || read_u32(fde) >= 0xfffffff0 || !inside(&object, fde + 4, read_u32(fde)))
        return -ENOTSUP;
    const uint8_t *end = fde + 4 + read_u32(fde), *at = fde + 8;
    r = read_cie(&object, fde + 4 - read_u32(fde + 4), &cie);
    if (r < 0 || (r = read_pointer(&at, cie.encoding, true, &start)) < 0 ||
        (r = read_pointer(&at, cie.encoding & PE_FORMAT, false, &size)) < 0)
        return r;
    if (pc - start >= size)
        return -ENOENT;
    if (cie.augmented) {
        uint64_t skipped = cfi_uleb(&at);
        at += skipped;
    }
    *ret_frame = (struct cfi_frame){start, start + size, cie.ra_register, cie.signal};
    return run_row(&cie, at, end, start, pc, ret_row);
}
