/* SPDX-License-Identifier: MIT
 *
 * Source tree and the frame that matters. See place.h. */
#include "place.h"

#include "compiler.h"
#include "text.h"

#include <string.h>

/* Folders of installed packages, also where a virtual environment lies inside the source tree. */
static bool is_installed(const char *file)
{
    return strstr(file, "/site-packages/") || strstr(file, "/dist-packages/");
}

/* "<string>", "<frozen os>": code that is in no file. */
static bool has_source(const struct frame *frame)
{
    return frame->language != FRAME_CUT && frame->file && frame->file[0] && frame->file[0] != '<' && frame->line > 0;
}

const char *place_file(const struct output_job *job, const char *file, bool *ret_own)
{
    const char *path = text_below(file, job->root);
    while (strncmp(path, "./", 2) == 0 && path[2])
        path += 2;
    *ret_own = path[0] != '/' && strncmp(path, "../", 3) != 0 && !is_installed(file);
    return path;
}

void place_find(const struct output_job *job, const struct stack *stack, struct place *ret)
{
    const struct frame *foreign = NULL, *runtime = NULL;
    *ret = (struct place){0};
    for (size_t i = 0; i < stack->size && !ret->own; i++) {
        const struct frame *frame = stack->frames[i];
        if (!has_source(frame) || !output_frame_shown(job->options, frame))
            continue;
        const struct frame **first = frame->runtime ? &runtime : &foreign;
        *first = *first ? *first : frame;
        if (!frame->runtime && (place_file(job, frame->file, &ret->own), ret->own))
            ret->frame = frame;
    }
    if (!ret->frame)
        ret->frame = foreign ? foreign : runtime;
    if (!ret->frame)
        return;
    ret->file = place_file(job, ret->frame->file, &ret->own);
    ret->line = ret->frame->line;
}

/* True if `path`, of `length` bytes within a buffer of `size`, has a .git in it. `path` is as before afterwards. */
static bool is_repository(char *path, size_t length, size_t size)
{
    if (length + sizeof("/.git") > size)
        return false;
    memcpy(path + length, "/.git", sizeof("/.git"));
    bool is = access(path, F_OK) == 0;
    path[length] = '\0';
    return is;
}

static void strip_slashes(char *path)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        path[--length] = '\0';
}

void source_root_find(const char *wanted, const char *folder, char *ret, size_t size)
{
    if (wanted) {
        _cleanup_free_ char *real = realpath(wanted, NULL);
        int length = snprintf(ret, size, "%s", real ? real : wanted);
        if (length < 0 || (size_t)length >= size)
            ret[0] = '\0';
        strip_slashes(ret);
        return;
    }
    char path[4096];
    size_t length = strlen(folder);
    if (length >= size || length >= sizeof(path)) {
        ret[0] = '\0';
        return;
    }
    memcpy(path, folder, length + 1);
    memcpy(ret, folder, length + 1);
    while (length > 0 && !is_repository(path, length, sizeof(path))) {
        while (length > 0 && path[--length] != '/')
            ;
        path[length] = '\0';
    }
    if (length > 0)
        memcpy(ret, path, length + 1);
}
