/* SPDX-License-Identifier: MIT
 *
 * Ledgers. They have a segment for each kind of entry, so the input is what is changed in a small one that is in order:
 *
 *     kind, entry (2 bytes), offset in it (2 bytes), length, bytes ..
 *
 * Kind 0 is the header, whose offset is the whole of entry and offset. Kind 255 takes that many pages off the end. */
#include "fuzz.h"

#include "../support/fake_ledger.h"
#include "ledger_view.h"
#include "report_writer.h"

#define ENTRIES 16u
#define CHANGES_MAX 512u

static struct fake_ledger fake;
static uint8_t *file; /* what the ledger is read from; equal to `fake` between the runs */
static int descriptor;

struct change {
    size_t at, size;
};

static void fill(void)
{
    uint32_t path = fake_text(&fake, "/usr/lib/libexample.so"), name = fake_text(&fake, "work");
    uint32_t table = fake_text_pieces(&fake, "\x80\x01\x02\x00\x0a\x01", 6, 4);
    uint32_t module = fake_add(&fake, LEDGER_MODULES,
                               &(struct ledger_module){.start = 0x10000,
                                                       .end = 0x90000,
                                                       .bias = 0x10000,
                                                       .path = path,
                                                       .last_epoch = UINT32_MAX,
                                                       .build_id_size = 20});
    uint32_t code = fake_add(&fake, LEDGER_CODES,
                             &(struct ledger_code){.address = 0x1234,
                                                   .used = 1,
                                                   .first_line = 10,
                                                   .file = path,
                                                   .name = name,
                                                   .qualname = name,
                                                   .table = table,
                                                   .table_kind = CODE_LOCATIONS_311});
    (void)module;
    for (uint32_t i = 0; i < 5; i++) {
        uint32_t outer = fake_node(&fake, 0, 0x10100 + i * 16, NODE_NATIVE);
        uint32_t inner = fake_node(&fake, outer, 0x10200 + i * 16, NODE_NATIVE | (i % 2 ? NODE_EXACT : 0));
        uint32_t python = fake_node(&fake, 0, (uint64_t)code << 32 | i * 2, NODE_PYTHON | NODE_ENTRY);
        uint32_t trace = fake_trace(&fake, inner, i % 3 ? python : 0, 10, 160);
        fake_block(&fake, 16 + i, trace, (enum block_domain)(i % DOMAIN_COUNT), i % 8, i % 4 ? name : 0);
        fake_add(&fake, LEDGER_THREADS, &(struct ledger_thread){.used = 1, .allocations = 10, .frees = i});
    }
    uint32_t label = fake_node(&fake, 0, name | LABEL_IGNORED, NODE_LABEL);
    fake_block(&fake, 100, fake_trace(&fake, 0, label, 1, 1), DOMAIN_OBJ, 0, 0);
    fake_add(&fake, LEDGER_ARENAS, &(struct ledger_arena){0x10000, 1u << 20});
    fake_add(&fake, LEDGER_ERRORS,
             &(struct ledger_error){
                 .kind = ERROR_OVERFLOW, .address = 0x1000, .size = 10, .count = 1, .trace = 1, .detail = name});
    fake_add(&fake, LEDGER_TALLIES, &(struct ledger_tally){.native = 2, .parent = 3, .trace = 1, .allocations = 2});
}

static void prepare(void)
{
    fake_init(&fake);
    fill();
    descriptor = fake_file(&fake, fake.size);
    file = mmap(NULL, fake.size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (file == MAP_FAILED)
        abort();
}

/* Where a change begins; SIZE_MAX: nowhere. */
static size_t place_of(const uint8_t *head)
{
    unsigned kind = head[0] % LEDGER_KIND_COUNT;
    size_t entry = head[1] | (size_t)head[2] << 8, offset = head[3] | (size_t)head[4] << 8;

    if (kind == LEDGER_HEADER)
        return (entry << 16 | offset) % sizeof(struct ledger_header);
    if (!fake.segments[kind])
        return SIZE_MAX;
    size_t size = ledger_entry_size((enum ledger_kind)kind);
    return (size_t)((uint8_t *)fake_entry(&fake, (enum ledger_kind)kind, entry % ENTRIES) - fake.base) + offset % size;
}

static void read_ledger(size_t size)
{
    struct model model = {0};
    struct load_error error = {0};
    struct ledger_view view;
    char *text = NULL;
    size_t length = 0;
    int fd = size == fake.size ? dup(descriptor) : memfd_create("ledger", MFD_CLOEXEC);
    const char *why = NULL;

    if (size != fake.size && write(fd, file, size) != (ssize_t)size)
        abort();
    if (ledger_view_open_fd(&view, fd, &why) == 0) {
        FILE *out = open_memstream(&text, &length);
        int written = report_write(&view, NULL, out);
        fclose(out);
        ledger_view_close(&view);
        FILE *in = written == 0 ? fmemopen(text, length, "r") : NULL;
        /* What the writer makes of a damaged ledger is a report in order. */
        if (in && load_stream(&model, in, "input", &error) != 0)
            abort();
        if (in)
            fclose(in);
        if (written == 0)
            fuzz_model(&model, 0);
        free(text);
    }
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct change changes[CHANGES_MAX];
    size_t count = 0, kept = 0;

    if (!file)
        prepare();
    kept = fake.size;
    while (size > 6 && count < CHANGES_MAX) {
        size_t length = MIN((size_t)data[5], size - 6), at = data[0] == 255 ? SIZE_MAX : place_of(data);

        if (data[0] == 255)
            kept = fake.size - MIN(fake.size, (size_t)(data[1] | data[2] << 8) * 4096);
        if (at != SIZE_MAX) {
            length = MIN(length, fake.size - at);
            memcpy(file + at, data + 6, length);
            changes[count++] = (struct change){at, length};
        }
        data += 6 + length;
        size -= 6 + length;
    }
    read_ledger(kept);
    while (count--)
        memcpy(file + changes[count].at, fake.base + changes[count].at, changes[count].size);
    return 0;
}
