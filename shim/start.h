/* SPDX-License-Identifier: MIT
 *
 * The life of the shim in a process: beginning, fork, end. start.c is the only file with a constructor. */
#ifndef SHIM_START_H
#define SHIM_START_H

#include "compiler.h"
#include "options.h"

#include <stdbool.h>
#include <stdint.h>

/* The options in force; constant after the constructor. */
extern _hidden_ struct options start_options;

/* True until the program's own code runs: blocks allocated now are the startup group. */
extern _hidden_ bool start_phase;

/* Ends the startup phase. */
void start_program_begins(void);

/* main() is about to be called, in a program that may be an interpreter (whose own start is startup too). */
void start_main_begins(void);

/* In a forked child, called at its first event with the guard up: gives it a ledger of its own. Returns the new generation,
 * or THREAD_INACTIVE. */
uint32_t start_forked_child(void);

/* The process ends with `status`: turns the ledger into the report. Does nothing in a vfork child or a second time. */
void start_process_ends(int status);

/* To be called now and then while a Python interpreter may be taking itself down; needs no guard. */
void start_interpreter_may_end(void);

/* Python frees `p` in its RAW domain while it takes itself down. */
void start_interpreter_drops(const void *p);

/* Status of a quick_exit that has begun. */
extern int start_quick_status;

/* The process is about to be replaced (replaced = true), or that failed (false). */
void start_process_replaced(bool replaced);

/* Switches the recording of new blocks off and on. Returns whether it was on. Thread-safe. */
bool start_recording(bool on);

#endif
