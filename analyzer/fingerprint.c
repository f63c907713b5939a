/* SPDX-License-Identifier: MIT
 *
 * Frames are hashed once each, stacks from the hashes of their frames: stacks share frames, and there may be a million
 * of them. */
#include "fingerprint.h"

#include "frames.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define HASHED_FRAMES_MAX 512 /* of deeper stacks the innermost ones */

/* A hash of two texts that keeps them apart. */
static uint64_t hash_pair(uint64_t seed, const char *a, size_t a_length, const char *b, size_t b_length)
{
    return XXH3_64bits_withSeed(b, b_length, XXH3_64bits_withSeed(a, a_length, seed) + 1);
}

/* What of a path counts. */
static const char *tail_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash || strncmp(slash, "/__", 3) != 0)
        return slash ? slash + 1 : path;
    while (slash > path && slash[-1] != '/')
        slash--;
    return slash;
}

static uint64_t hash_native(const struct frame *frame)
{
    const char *slash = frame->module ? strrchr(frame->module, '/') : NULL;
    const char *name = slash ? slash + 1 : frame->module ? frame->module : "";

    if (strcmp(frame->function, "??") != 0)
        return hash_pair(FRAME_NATIVE, name, strcspn(name, "."), frame->function, strlen(frame->function));
    if (!frame->module) /* an absolute address, another one in every run */
        return hash_pair(FRAME_NATIVE, "", 0, "", 0);
    return hash_pair(FRAME_NATIVE, name, strcspn(name, "."), (const char *)&frame->offset, sizeof(frame->offset));
}

uint64_t fingerprint_frame(const struct frame *frame)
{
    const char *file;

    if (frame->language == FRAME_NATIVE)
        return hash_native(frame);
    file = tail_of(frame->file ? frame->file : "");
    return hash_pair(FRAME_PYTHON, file, strlen(file), frame->function, strlen(frame->function));
}

/* Appends what counts of the stack to `hashes`. Returns the new number. */
static size_t hash_frames(const struct frame *const *frames, size_t size, bool runtime, uint64_t *hashes, size_t count)
{
    size_t before = count;

    for (size_t i = 0; i < size && count < HASHED_FRAMES_MAX; i++) {
        uint64_t identity = ((const struct known_frame *)(const void *)frames[i])->identity;

        if (frames[i]->language == FRAME_CUT || frames[i]->inlined || (frames[i]->runtime && !runtime))
            continue;
        if (count > before && hashes[count - 1] == identity)
            continue;
        hashes[count++] = identity;
    }
    return count;
}

static uint64_t hash_owner(const struct fingerprint_of *of)
{
    const char *type = of->type ? of->type : "";
    uint64_t hash = hash_pair(FINGERPRINT_VERSION, of->domain, strlen(of->domain), type, strlen(type));

    return of->label ? XXH3_64bits_withSeed(of->label, strlen(of->label), hash) : hash;
}

void fingerprint_stack(const struct fingerprint_of *of, const struct frame *const *frames, size_t size,
                       char ret[static FINGERPRINT_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    uint64_t hashes[HASHED_FRAMES_MAX];
    XXH128_canonical_t canonical;
    size_t count;

    hashes[0] = FINGERPRINT_VERSION;
    hashes[1] = hash_owner(of);
    count = hash_frames(frames, size, false, hashes, 2);
    if (count == 2)
        count = hash_frames(frames, size, true, hashes, 2);
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(hashes, count * sizeof(hashes[0])));
    for (size_t i = 0; i < sizeof(canonical.digest); i++) {
        ret[2 * i] = digits[canonical.digest[i] >> 4];
        ret[2 * i + 1] = digits[canonical.digest[i] & 15];
    }
    ret[FINGERPRINT_SIZE - 1] = '\0';
}
