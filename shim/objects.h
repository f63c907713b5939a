/* SPDX-License-Identifier: MIT
 *
 * The end of a process as the client library and its objects see it (client_hooks.h is their side of this). */
#ifndef SHIM_OBJECTS_H
#define SHIM_OBJECTS_H

/* Calls the functions given to memshim_at_end. Outside the guard of thread.h. */
void objects_tell_end(void);

/* The process has ended by itself: objects that are left are lost. Inside the guard. */
void objects_end(void);

#endif
