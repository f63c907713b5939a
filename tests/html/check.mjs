// SPDX-License-Identifier: MIT
//
// Tests as TAP, one page of a browser for each. Every page is offline and must stay without requests, errors and violations
// of its policy.
import { pathToFileURL } from "node:url";

const PATIENCE = 120000; // milliseconds: for machines that are busy otherwise

export function createRunner(browser) {
    const tests = [];

    async function open(file, options) {
        const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, ...options });
        await context.setOffline(true);
        const page = await context.newPage();
        page.setDefaultTimeout(PATIENCE);
        const problems = [];
        page.on("console", (message) => ["error", "warning"].includes(message.type()) && problems.push(message.text()));
        page.on("pageerror", (error) => problems.push(String(error)));
        page.on("dialog", (dialog) => problems.push(`dialog: ${dialog.message()}`));
        page.on(
            "request",
            (request) => /^(file|data|blob):/.test(request.url()) || problems.push(`request: ${request.url()}`),
        );
        await page.goto(pathToFileURL(file).href);
        return { page, problems, close: () => context.close() };
    }

    async function runOne({ file, options, body }) {
        const { page, problems, close } = await open(file, options);
        try {
            await body(page, problems);
            if (problems.length > 0) throw new Error(`the page complains: ${problems.join("; ")}`);
        } finally {
            await close();
        }
    }

    return {
        // body(page, problems) throws when something is wrong; what the page complains about is collected in problems.
        test(name, file, body, options = {}) {
            tests.push({ name, file, body, options });
        },
        async run() {
            let failed = 0;
            console.log(`TAP version 13\n1..${tests.length}`);
            for (const [i, test] of tests.entries()) {
                try {
                    await runOne(test);
                    console.log(`ok ${i + 1} - ${test.name}`);
                } catch (error) {
                    failed++;
                    console.log(`not ok ${i + 1} - ${test.name}`);
                    console.log(String(error.stack).replace(/^/gm, "# "));
                }
            }
            return failed === 0;
        },
    };
}

// Waits until `read()` gives what is wanted: the page draws when it can.
export async function eventually(what, read, wanted) {
    const end = Date.now() + PATIENCE;
    let got;
    do {
        got = await read();
        if (JSON.stringify(got) === JSON.stringify(wanted)) return;
        await new Promise((done) => setTimeout(done, 20));
    } while (Date.now() < end);
    throw new Error(`${what}: want ${JSON.stringify(wanted)}, got ${JSON.stringify(got)}`);
}

export function expect(condition, what) {
    if (!condition) throw new Error(what);
}
