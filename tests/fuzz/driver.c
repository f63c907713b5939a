/* SPDX-License-Identifier: MIT
 *
 * In the place of libFuzzer, where the compiler has none.
 *
 *     fuzz_x FILE..               runs each file once
 *     fuzz_x --cut FILE..         each file cut at every byte, and with every byte changed
 *     fuzz_x --random N FILE..    N random changes of the files (a generator without a seed: the same each time) */
#include "fuzz.h"

static uint8_t *read_file(const char *path, size_t *ret_size)
{
    FILE *in = fopen(path, "r");
    uint8_t *bytes = malloc(1 << 24);

    if (!in || !bytes) {
        perror(path);
        exit(2);
    }
    *ret_size = fread(bytes, 1, 1 << 24, in);
    fclose(in);
    return bytes;
}

/* A copy of exactly this size, so that a sanitizer sees what is read beyond it. */
static void run(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);

    memcpy(copy, bytes, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static unsigned long cut(uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        uint8_t before = bytes[i];

        run(bytes, i);
        bytes[i] = (uint8_t)(before ^ (1u << i % 8));
        run(bytes, size);
        bytes[i] = before;
    }
    return size * 2;
}

static uint64_t state = 1;

static uint64_t draw(uint64_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return below ? state % below : 0;
}

static void change(uint8_t *bytes, size_t *size)
{
    size_t from = draw(*size), to = draw(*size), length = draw(40);

    switch (draw(5)) {
    case 0:
        bytes[to] = (uint8_t)draw(256);
        break;
    case 1:
        memmove(bytes + to, bytes + from, MIN(length, *size - MAX(from, to)));
        break;
    case 2:
        *size = to + 1;
        break;
    case 3:
        bytes[to] ^= (uint8_t)(1u << draw(8));
        break;
    default:
        for (size_t i = to; i < MIN(to + length, *size); i++)
            bytes[i] = "0123456789-{}[]\",:\\\0\377"[draw(22)];
    }
}

static void run_randomly(const uint8_t *bytes, size_t size, unsigned long count)
{
    uint8_t *copy = malloc(size ? size : 1);

    for (unsigned long i = 0; size && i < count; i++) {
        size_t now = size;

        memcpy(copy, bytes, size);
        for (uint64_t changes = draw(6) + 1; changes && now > 1; changes--)
            change(copy, &now);
        run(copy, now);
    }
    free(copy);
}

int main(int argc, char **argv)
{
    int first = 1;
    unsigned long random = 0, runs = 0;
    bool cuts = argc > 1 && strcmp(argv[1], "--cut") == 0;

    if (argc > 2 && strcmp(argv[1], "--random") == 0)
        random = strtoul(argv[2], NULL, 10), first = 3;
    else if (cuts)
        first = 2;
    for (int i = first; i < argc; i++) {
        size_t size;
        uint8_t *bytes = read_file(argv[i], &size);

        run(bytes, size);
        runs += 1 + random;
        run_randomly(bytes, size, random);
        if (cuts)
            runs += cut(bytes, size);
        free(bytes);
    }
    printf("%lu runs\n", runs);
    return 0;
}
