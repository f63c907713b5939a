/* SPDX-License-Identifier: MIT
 *
 * One traced run, for the commands that start a program: folder, shim, environment before it; reports after it. Prints
 * error lines as the commands do. */
#ifndef ANALYZER_CMD_SESSION_H
#define ANALYZER_CMD_SESSION_H

#include "command.h"
#include "harvest.h"
#include "launch.h"

struct session_options {
    const char *folder; /* for the reports; NULL: memshim-PID in the current folder */
    char *options;      /* MEMSHIM_OPTIONS to add to what is there, or NULL; malloc'ed, freed by session_done */
};

struct session {
    char *folder; /* absolute; NULL: nothing is traced */
    char *shown;  /* as it is called in messages */
    bool created; /* by us */
    struct names before;
    struct launch_result result;
};

/* Runs argv traced, or untouched, with a line that says so, where that cannot be. Returns EXIT_DONE when the command ended
 * or could not be started (session->result), another exit code if we never got so far. Signals are blocked afterwards
 * (launch_unblock). */
int session_run(struct session *session, const struct session_options *options, char **argv);

/* After the run: makes reports of what ledgers are left, tells problems and what is still running, and adds everything to
 * reading->model. *ret_reports receives the number of reports. Returns EXIT_DONE, or another exit code after an error line
 * if something could not be read; the rest is there then. */
int session_collect(const struct session *session, struct reading *reading, size_t *ret_reports);

/* The end: removes a folder that we made for nothing. Harmless on a zeroed session. */
void session_done(struct session *session, struct session_options *options);

#endif
