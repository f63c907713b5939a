/* SPDX-License-Identifier: MIT */
#include "mappers.h"

#include "compiler.h"
#include "memshim/report.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

/* Without memory for it, the process counts as gone. */
static void add(struct mappers *mappers, ino_t inode, const char *name, pid_t pid)
{
    struct mapper *items, *last = mappers->count ? &mappers->items[mappers->count - 1] : NULL;

    if (last && last->inode == inode && last->pid == pid)
        return; /* a further part of the same file */
    items = reallocarray(mappers->items, mappers->count + 1, sizeof(*items));
    if (!items)
        return;
    mappers->items = items;
    items[mappers->count] = (struct mapper){inode, strdup(name), pid};
    mappers->count += items[mappers->count].name != NULL;
}

/* "start-end perms offset dev inode   path", of a ledger. Whoever reads it has it mapped, too, but not to be written. */
static void take_line(struct mappers *mappers, char *line, pid_t pid)
{
    char *end = strstr(line, MEMSHIM_LEDGER_SUFFIX), *slash;
    unsigned long long inode;
    char access[8];

    if (!end || sscanf(line, "%*s %7s %*s %*s %llu", access, &inode) != 2 || access[1] != 'w')
        return;
    end[strlen(MEMSHIM_LEDGER_SUFFIX)] = '\0';
    slash = strrchr(line, '/');
    if (slash)
        add(mappers, (ino_t)inode, slash + 1, pid);
}

static void read_maps(struct mappers *mappers, pid_t pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    _cleanup_fclose_ FILE *maps = fopen(path, "re");
    _cleanup_free_ char *line = NULL;
    size_t size = 0;

    while (maps && getline(&line, &size, maps) > 0)
        take_line(mappers, line, pid);
}

pid_t mappers_find(struct mappers *mappers, const char *name, ino_t inode)
{
    DIR *stream = mappers->read ? NULL : opendir("/proc");

    mappers->read = true;
    for (struct dirent *entry; stream && (entry = readdir(stream)) != NULL;)
        if (*entry->d_name >= '1' && *entry->d_name <= '9')
            read_maps(mappers, atoi(entry->d_name));
    if (stream)
        closedir(stream);
    for (size_t i = 0; i < mappers->count; i++)
        if (mappers->items[i].inode == inode && strcmp(mappers->items[i].name, name) == 0)
            return mappers->items[i].pid;
    return 0;
}

void mappers_clear(struct mappers *mappers)
{
    for (size_t i = 0; i < mappers->count; i++)
        free(mappers->items[i].name);
    free(mappers->items);
    *mappers = (struct mappers){0};
}
