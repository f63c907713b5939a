/* SPDX-License-Identifier: MIT
 *
 * Names of signals, as options have them: USR1, SIGUSR1, RTMIN+2, or a number. */
#ifndef SHIM_SIGNAL_NAMES_H
#define SHIM_SIGNAL_NAMES_H

#include <stddef.h>

/* The number of the signal that `text` (`length` bytes) names; 0 for "0" and "none"; -1 when there is no such signal, or none
 * that a program can handle. */
int signal_number(const char *text, size_t length);

/* Writes the name, or "0"; as snprintf. */
int signal_name(int number, char *buffer, size_t size);

#endif
