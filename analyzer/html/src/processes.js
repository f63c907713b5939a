// SPDX-License-Identifier: MIT
//
// What is known about a process beyond its leaks, and what the reader has to know before trusting the numbers.
import { h } from "./dom.js";
import { count, plural, processName, size } from "./format.js";

// Sentences about what a process's report lacks.
export function notesOf(process) {
    const notes = process.lacks.slice();
    if (process.truncated) notes.unshift("The report is truncated: what was lost with its end is not counted.");
    if (process.dropped > 0) notes.push(`${plural(process.dropped, "event")} could not be recorded.`);
    if (process.suppressed_errors > 0)
        notes.push(`Memory errors that rules suppress: ${count(process.suppressed_errors)}.`);
    if (process.sample > 0)
        notes.push(
            `Sampled every ${plural(process.sample, "byte")}: numbers are estimates; ${size(process.live_bytes)} live, standard error ${size(process.error_bytes)}.`,
        );
    if (/(^|:)leak_check=0(:|$)/.test(process.options ?? "")) notes.push("Leaks were not looked for (leak_check=0).");
    return notes;
}

// The notes of these processes as one element that opens, or null.
export function notesElement(processes) {
    const several = processes.length > 1;
    const items = processes.flatMap((process) =>
        notesOf(process).map((note) =>
            h("li", {}, several ? h("strong", {}, `${processName(process)}: `) : null, note),
        ),
    );
    if (items.length === 0) return null;
    return h(
        "details",
        { class: "notes", open: items.length <= 3 },
        h("summary", {}, plural(items.length, "note")),
        h("ul", {}, items),
    );
}

export function processDetails(process) {
    const facts = [
        ["Command", process.argv.length > 0 ? process.argv.join(" ") : process.program],
        ["Process id", `${process.pid}, child of ${process.ppid}${process.forked ? ", forked" : ""}`],
        ["Python", process.python],
        ["Started", process.started],
        ["Options", process.options],
        ["Allocations", `${count(process.allocations)}, freed: ${count(process.frees)}`],
        ["Live at the end", `${plural(process.live_bytes, "byte")} in ${plural(process.live_blocks, "block")}`],
        ["Peak", plural(process.peak_bytes, "byte")],
    ];
    const list = facts
        .filter(([, value]) => value)
        .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)));
    return h("div", { class: "details" }, h("dl", {}, list), notesElement([process]));
}
