/* SPDX-License-Identifier: MIT
 *
 * Looks at the file that a command line would start, and says why preloading cannot work for it. Never prints. */
#ifndef ANALYZER_PROGRAM_H
#define ANALYZER_PROGRAM_H

/* The file that execvp(3) would run for `command`: malloc'ed path, or NULL if there is none (or no memory). */
char *program_find(const char *command);

/* NULL if the program at `path` can be traced, as far as its file tells (what cannot be read, is no known format, or does
 * not exist is for execve to judge); else what it is: static text such as "statically linked". Scripts are judged by their
 * interpreters. */
const char *program_obstacle(const char *path);

#endif
