// SPDX-License-Identifier: MIT
//
// Puts the page together: bundle.mjs PACKAGES OUTPUT. PACKAGES is the folder in which npm has installed package.json; OUTPUT
// is a C header with the page before and after the data as two strings. The policy of the page allows its own script and
// style by their hashes, and nothing else.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const packages = resolve(process.argv[2]);
const output = process.argv[3];
const { buildSync } = createRequire(join(packages, "package.json"))("esbuild");

function bundle(entry, options) {
    const result = buildSync({
        entryPoints: [join(here, "src", entry)],
        nodePaths: [join(packages, "node_modules")],
        bundle: true,
        write: false,
        ...options,
        target: ["es2020"],
        charset: "ascii",
        metafile: true,
        minifyWhitespace: true,
        minifySyntax: true, // not identifiers: d3-flame-graph asks for the names of constructors
        outdir: here,
        logLevel: "warning",
    });
    const text = result.outputFiles.find((file) => file.path.endsWith(entry)).text.trim();
    return licences(result.metafile) + text;
}

// The licence of each package in the bundle, equal ones once, as a comment that stays in the page.
function licences(metafile) {
    const texts = new Map();
    for (const input of Object.keys(metafile.inputs)) {
        const name = input.match(/node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[1];
        if (!name) continue;
        const text = readFileSync(join(packages, "node_modules", name, "LICENSE"), "utf8").trim();
        texts.set(text, new Set(texts.get(text)).add(name));
    }
    const notices = [...texts].map(([text, names]) => `${[...names].sort().join(", ")}:\n\n${text}`);
    return `/*! This page contains:\n\n${notices.join("\n\n").replaceAll("*/", "* /").replaceAll("\r", "")}\n*/\n`;
}

function hash(text) {
    return `'sha256-${createHash("sha256").update(text, "utf8").digest("base64")}'`;
}

// The text inside of an element that ends at its end tag only.
function checked(text, end) {
    if (text.toLowerCase().includes(end) || text.includes("<!--") || text.includes("\r") || text.includes("\0"))
        throw new Error(`a bundle cannot stand in the page: it has ${end} or a comment in it`);
    return text;
}

// Lines of C string literals, short enough for every compiler.
function literals(text) {
    const bytes = Buffer.from(text, "utf8");
    const lines = [];
    let line = "";
    for (const byte of bytes) {
        if (byte === 0x0a) line += "\\n";
        else if (byte === 0x22 || byte === 0x5c || byte === 0x3f) line += `\\${String.fromCharCode(byte)}`;
        else if (byte < 0x20 || byte > 0x7e) line += `\\${byte.toString(8).padStart(3, "0")}`;
        else line += String.fromCharCode(byte);
        if (line.length >= 110 || byte === 0x0a) {
            lines.push(`    "${line}"`);
            line = "";
        }
    }
    return [...lines, `    "${line}"`].join("\n");
}

const script = checked(bundle("main.js", { format: "iife", loader: { ".css": "empty" } }), "</script");
const style = checked(bundle("main.css", {}), "</style");
const policy = [
    "default-src 'none'",
    `script-src ${hash(script)}`,
    `style-src ${hash(style)}`,
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
].join("; ");

const parts = { POLICY: policy, STYLE: style, SCRIPT: script };
const page = readFileSync(join(here, "template.html"), "utf8").replace(
    /@(POLICY|STYLE|SCRIPT)@/g,
    (_, key) => parts[key],
);
const [head, tail] = page.split("@DATA@");
writeFileSync(
    output,
    `/* Made by bundle.mjs. */\nstatic const char html_page_head[] =\n${literals(head)};\n` +
        `static const char html_page_tail[] =\n${literals(tail)};\n`,
);
