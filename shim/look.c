/* SPDX-License-Identifier: MIT
 *
 * What a thread looks at now and then (count.h). */
#include "count.h"
#include "marks.h"
#include "snapshot.h"

_cold_ void count_look(void)
{
    if (marks_are_due())
        thread_local_state.after |= AFTER_MARK;
    snapshot_reap();
    if (snapshot_is_wanted())
        thread_local_state.after |= AFTER_SNAPSHOT;
}
