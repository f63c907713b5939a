// SPDX-License-Identifier: MIT
//
// Numbers, sizes, times and names as people read them. Nothing here knows the page.

const numbers = new Intl.NumberFormat("en-US");

export function count(value) {
    return numbers.format(value);
}

export function plural(value, word, words = `${word}s`) {
    return `${count(value)} ${Math.abs(value) === 1 ? word : words}`;
}

// Short: "12.3 KiB". With a sign for differences.
export function size(bytes) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let value = Math.abs(bytes);
    let unit = 0;
    while (value >= 1024 && unit < units.length - 1) {
        value /= 1024;
        unit++;
    }
    const digits = unit === 0 || value >= 100 ? 0 : 1;
    return `${bytes < 0 ? "\u2212" : ""}${value.toFixed(digits)} ${units[unit]}`;
}

export function signed(value, format) {
    return value > 0 ? `+${format(value)}` : format(value).replace("-", "\u2212");
}

export function percent(part, whole) {
    if (!whole) return "0 %";
    const value = (100 * part) / whole;
    return `${value > 0 && value < 0.1 ? "<0.1" : value.toFixed(value >= 10 ? 0 : 1)} %`;
}

export function duration(microseconds) {
    if (!microseconds) return "";
    const seconds = microseconds / 1e6;
    if (seconds < 1) return `${Math.max(1, Math.round(seconds * 1000))} ms`;
    if (seconds < 120) return `${seconds.toFixed(1)} s`;
    const minutes = Math.floor(seconds / 60);
    return minutes < 120 ? `${minutes} min` : `${(minutes / 60).toFixed(1)} h`;
}

// Control characters and marks that turn the direction of writing would mislead a reader: each becomes a visible sign.
export function visible(text) {
    if (typeof text !== "string") return text;
    return text
        .replace(/[\u0000-\u001f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)))
        .replace(/[\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g, "\ufffd");
}

export function baseName(path) {
    return path.slice(path.lastIndexOf("/") + 1);
}

// "app.py:12", or the file of the library, if the name does not have it already.
export function place(frame) {
    if (frame.file) return frame.line > 0 ? `${baseName(frame.file)}:${frame.line}` : baseName(frame.file);
    const module = frame.module ? baseName(frame.module) : "";
    return frame.name?.startsWith(`${module}+0x`) ? "" : module;
}

export function fullPlace(frame) {
    if (frame.file) return frame.line > 0 ? `${frame.file}:${frame.line}` : frame.file;
    return frame.module ?? "";
}

export function processName(process) {
    return `${baseName(process.program)} \u00b7 ${process.pid}`;
}

const signals = { 6: "SIGABRT", 9: "SIGKILL", 11: "SIGSEGV", 15: "SIGTERM", 2: "SIGINT", 7: "SIGBUS", 13: "SIGPIPE" };

export function ending(process) {
    if (process.snapshot > 0) return `snapshot ${process.snapshot} of the running process`;
    switch (process.ended) {
        case "exit":
            return `exited with status ${process.status}`;
        case "signal":
            return `killed by signal ${process.status}${signals[process.status] ? ` (${signals[process.status]})` : ""}`;
        case "exec":
            return "replaced itself by another program";
        case "killed":
            return "killed, or ended without a word";
        default:
            return "still running, or its end is not known";
    }
}
