/* SPDX-License-Identifier: MIT
 *
 * The report file: JSON Lines, UTF-8, one JSON object a line. Constants only; written by shim/report_writer.c, read by
 * analyzer/load.c. Readers ignore keys and lines that they do not know; keys may be added, never renamed.
 *
 * Order: the first line, then tables (a line refers to lines above it only), then groups, errors, what the reference audit found, explanations, totals, the end.
 * The first key of a line says what it is, and its value is the line's id where it has one.
 *
 *   {"memshim":1, "schema":"memshim-report-lines/1", "version":"0.1.0", "pid":1, "ppid":0, "sequence":0,
 *    "program":"python3", "argv":["python3"], "python":"3.11.2" or null, "started":"2026-01-31T12:00:00.000000Z",
 *    "options":"stack_depth=32", "forked":false, "snapshot":1}     "snapshot" (left out otherwise): the n-th of a process
 *        that ran on
 *   {"module":1, "path":"/usr/lib/x.so", "start":"0x7f..", "end":"0x7f..", "bias":"0x7f..", "build_id":"hex" or null}
 *   {"code":1, "file":"x.py", "name":"f", "qualname":"C.f", "first_line":3,
 *    "table_kind":"lnotab"|"linetable-3.10"|"locations-3.11", "table":"hex"}
 *   {"frame":1, "language":"native", "module":1 or 0, "offset":"0x1234", "exact":true}     offset = address - bias of the
 *        module (ELF address); with module 0 the absolute address. A return address unless "exact" is there and true.
 *        "symbols":[{"function":"f" or null, "mangled":"_Z1fv", "file":"f.c" or null, "line":3}, ..]: of a report that was made to be read
 *        elsewhere; more than one where functions were inlined, innermost first
 *   {"frame":2, "language":"python", "code":1, "instruction":42, "entry":true}     byte offset into the code; "entry": the
 *        outermost Python frame of one run of a C evaluation function
 *   {"frame":3, "language":"cut", "frames":10}     stack_depth cut the rest towards the root; 0 = how many is not known
 *   {"stack":1, "parent":0, "frame":1}     one node: a frame and the id of its caller's node, 0 = none
 *   {"trace":1, "native":1, "python":2, "allocations":10, "bytes":160}     a whole stack: ids of its innermost nodes, 0 = none.
 *        Those that groups and errors refer to, and those that asked most often and for most bytes, whatever is left of it.
 *        "label":"text": what the thread said of its work; "ignored":true: and that the blocks are no leaks. Left out otherwise
 *   {"group":1, "trace":1, "kind":"reachable", "known":false, "domain":"obj", "type":"list" or null, "startup":false,
 *    "blocks":1, "bytes":16}     live blocks by stack. "known":false: no scan has run, the kind is a guess.
 *        "interpreter":true (left out when false): the interpreter itself keeps the block beyond its end; no leak of the
 *        program. "type": that of the Python object in the block, with its module. "domain": where the block comes
 *        from ("malloc", "raw", "mem", "obj", "new", "new[]", "mmap"; "handle", "handle-lock", "pool", "pool-attachment" and
 *        "buffer" are no blocks), or the name of the domain of which the program says that it is (memshim_track)
 *   {"error":1, "kind":"overflow", "domain":"mem", "address":"0x..", "size":16, "count":1, "detail":"text",
 *    "trace":1, "alloc_trace":0, "free_trace":0}
 *   {"audit":1, "trace":1, "type":"list" or null, "kind":"reachable", "confidence":"low"|"medium"|"high", "startup":false,
 *    "interpreter":false, "objects":1, "bytes":56, "surplus":2, "least":2, "most":2, "unseen":null}     Python objects, some of
 *        those of the groups with this trace and type, whose counts are higher than the references to them in memory:
 *        "surplus" of all, "least" and "most" of one. With "unseen" they are in cycles which the collector does not free:
 *        tp_traverse of the type of this name does not visit a reference.
 *   {"why":1, "of":1, "role":"block", "trace":1, "kind":"reachable", "domain":"obj", "type":"list" or null, "size":56}
 *   {"why":2, "of":1, "role":"holder"|"referrer", "trace":1, "kind":.., "domain":.., "type":.., "size":64, "offset":"0x18",
 *    "name":"cache"}     "offset" of the pointer in it, and "name", the key or index under which it is held, are left out where
 *        they are not known
 *   {"why":3, "of":1, "role":"root", "root":"data"|"stack"|"memory", "address":"0x..", "module":1 or 0, "offset":"0x1234"}     The
 *        lines with one "of" explain why a block of these groups is there: the block, the chain of those that hold it, from
 *        the nearest to the root or (of a lost one) to the block that it was lost with, and up to 4 lost referrers.
 *   {"mark":1, "name":"text" or null, "time":"2026-01-31T12:00:00.000000Z", "live_blocks":0, "live_bytes":0}     a moment at
 *        which live blocks were counted by stack; in the order of their numbers, from 1
 *   {"growth":1, "trace":1, "blocks":[0, ..], "bytes":[0, ..]}     the counts of one stack at each of the marks; of those stacks only
 *        that may be growing, and not of all blocks that are in a group (they may be gone at the end). With "garbage_blocks":0 and
 *        "garbage_bytes":0, where that is known: what of the last count only garbage held that Python's collector had not come to
 *   {"arenas":true, "count":3, "bytes":3145728, "peak_bytes":9437184, "live_blocks":1, "live_bytes":16, "used_bytes":32, "sparse":1}     arenas of
 *        pymalloc: how many there are, their bytes, the most that there were, what live blocks have of them ("used_bytes": with
 *        rounding and what the shim keeps before each), and of how many less than a tenth is used. From
 *        "live_blocks" on left out where not all blocks in them are known.
 *   {"pin":1, "trace":1, "arenas":1, "blocks":1, "bytes":16}     a stack with blocks in such arenas, those in most of them first
 *   {"totals":true, "allocations":0, "frees":0, "live_blocks":0, "live_bytes":0, "peak_bytes":0, "dropped":0,
 *    "startup_blocks":0, "startup_bytes":0, "inherited_frees":0, "refused":0, "threads":1, "self_checks":0,
 *    "self_check_differences":0, "sample":0, "error_bytes":0}     "refused": requests that an option let fail. "sample": mean
 *        bytes between recorded blocks; when it is not 0, all numbers are estimates, "error_bytes" (here of live_bytes, in a
 *        group of its bytes) being the standard error
 *   {"end":true, "ended":"exit", "status":0, "time":"2026-01-31T12:00:01.000000Z" or null, "lacks":["text", ..], "lines":123}
 *
 * Numbers are at most INT64_MAX. Text that is not valid UTF-8 has \xNN in place of each bad byte, and may hold NUL. A code
 * without a line table has neither "table_kind" nor "table", and "file", "name" and "qualname" may be null. "lines" counts
 * all lines of the file, the end line included. A damaged ledger may give "module", "code" or "trace" 0 in place of a row
 * that cannot be read; "lacks" says so.
 *
 * Without the end line, or with fewer lines than it says, the file is truncated. */
#ifndef MEMSHIM_REPORT_H
#define MEMSHIM_REPORT_H

#define MEMSHIM_REPORT_VERSION 1
#define MEMSHIM_REPORT_SCHEMA "memshim-report-lines/1"
#define MEMSHIM_JSON_SCHEMA "memshim-report/1" /* of `memshim report --format json` */

#define MEMSHIM_REPORT_SUFFIX ".jsonl"
#define MEMSHIM_SNAPSHOT_INFIX ".snapshot-" /* and a number, before the suffix: of a process that ran on */
#define MEMSHIM_POOL_SUFFIX ".pool"         /* a link to a shared pool (memshim/pool.h) that a traced process used */
#define MEMSHIM_LEDGER_SUFFIX ".ledger"     /* replaces MEMSHIM_REPORT_SUFFIX while the process runs */

#endif
