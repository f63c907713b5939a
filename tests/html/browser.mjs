// SPDX-License-Identifier: MIT
//
// The HTML report in a browser without a window: browser.mjs MEMSHIM PACKAGES [CHROMIUM]. PACKAGES is the folder in which npm has
// installed package.json. Without CHROMIUM, or if npm could not, the tests are skipped.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createRunner, eventually, expect } from "./check.mjs";
import { EVIL, writeReports } from "./reports.mjs";

const [memshim, packages, executablePath] = process.argv.slice(2);
const chromium = loadDriver();
const folder = mkdtempSync(join(tmpdir(), "memshim-html-"));

const report = join(folder, "report.html");
const difference = join(folder, "difference.html");
const clean = join(folder, "clean.html");

function loadDriver() {
    try {
        if (executablePath) return createRequire(resolve(packages, "package.json"))("playwright-core").chromium;
    } catch (error) {
        if (error.code !== "MODULE_NOT_FOUND") throw error;
    }
    console.log("TAP version 13\n1..1\nok 1 - a browser # SKIP needs chromium, and playwright-core from npm");
    process.exit(0);
}

function makePages() {
    writeReports(folder);
    const path = (name) => join(folder, name);
    const environment = { env: { ...process.env, DEBUGINFOD_URLS: "" } };
    execFileSync(memshim, ["report", "-o", report, path("new-1.jsonl"), path("new-2.jsonl")], environment);
    execFileSync(memshim, ["report", "-o", clean, path("clean.jsonl")], environment);
    const { status } = spawnSync(
        memshim,
        ["diff", "-o", difference, path("old.jsonl"), path("new-1.jsonl")],
        environment,
    );
    expect(status === 1, `memshim diff ended with ${status}`);
}

const texts = (page, selector) => () => page.locator(selector).allInnerTexts();
const view = (page, name) => page.getByRole("tab", { name: new RegExp(`^${name}`) }).click();
const functions = (page) => texts(page, "tr.row .where .line:first-child code");
const boxes = (page) => () =>
    page.locator("g.frame").evaluateAll((all) => all.map((box) => box.getAttribute("name")).sort());

// What a reader sees of a text that is not what it seems to be.
const shownEvil = EVIL.replace("\u2028", "\ufffd").replace("\u0007", "\u2407").replace("\u202e", "\ufffd");

function addTests({ test }) {
    test("the page tells what is lost", report, async (page) => {
        const verdict = await page.locator(".verdict").innerText();
        expect(/1 memory error/.test(verdict) && /9,000 bytes in 165 blocks definitely lost/.test(verdict), verdict);
        expect(/, 2 stacks growing$/.test(verdict), verdict);
        expect((await page.title()).includes("server"), "title");
        await view(page, "Leaks");
        await eventually("functions", functions(page), ["remember", "forget", shownEvil]);
        await eventually("two processes are one row", texts(page, "tr.row td.process"), [
            "2 processes",
            "2 processes",
            "2 processes",
        ]);
    });

    test("the policy is in force", report, async (page, problems) => {
        const allowed = await page.evaluate(async () => {
            const tries = {
                eval: () => eval("1"),
                markup: () => (document.createElement("p").innerHTML = "<b>x</b>"),
                script: () => (document.createElement("script").text = "1"),
            };
            const works = (attempt) => {
                try {
                    attempt();
                    return true;
                } catch {
                    return false;
                }
            };
            // The timer runs them as the page's own, not as a debugger's.
            return new Promise((done) => setTimeout(() => done(Object.keys(tries).filter((key) => works(tries[key])))));
        });
        expect(allowed.length === 0, `allowed: ${allowed}`);
        problems.length = 0; // which say that it was blocked
    });

    test("texts of the report stay texts", report, async (page) => {
        await view(page, "Leaks");
        expect((await page.locator("img").count()) === 0, "markup of the report became elements");
        expect((await page.locator(".notes").innerText()).includes(shownEvil), "the note is not shown as it is");
    });

    test("rows open and show the stack", report, async (page) => {
        await view(page, "Leaks");
        const open = page.locator("tr.row .open").first();
        expect((await open.getAttribute("aria-expanded")) === "false", "expanded at first");
        await open.focus();
        await page.keyboard.press("Enter");
        expect((await open.getAttribute("aria-expanded")) === "true", "not expanded");
        await eventually("stack", texts(page, "tr.detail:not([hidden]) .stack code"), ["remember", "serve", "main"]);
        await page.locator("tr.row").first().click();
        expect((await open.getAttribute("aria-expanded")) === "false", "not closed");
    });

    test("rows tell what they were lost with", report, async (page) => {
        await view(page, "Leaks");
        await page.locator("tr.row .open").first().click();
        const lines = await page.locator(".why .link").allInnerTexts();
        expect((await page.locator(".why h2").innerText()) === "One of them, and what it was lost with", "title");
        expect(
            lines.length === 2 &&
                lines[0].startsWith("</script><img") &&
                lines[0].endsWith(' (obj, 64 bytes) as "cache"'),
            lines.join(),
        );
        expect(lines[1].startsWith("-> list (obj, 64 bytes)"), lines.join());
    });

    test("columns sort both ways", report, async (page) => {
        await view(page, "Leaks");
        await page.locator("th.blocks button").click();
        await eventually("most blocks first", functions(page), ["forget", "remember", shownEvil]);
        await page.locator("th.blocks button").click();
        await eventually("fewest blocks first", functions(page), [shownEvil, "remember", "forget"]);
        expect((await page.locator("th.blocks").getAttribute("aria-sort")) === "ascending", "aria-sort");
        await page.locator("th.where button").click();
        await eventually("by name", async () => (await functions(page)()).filter((name) => name !== shownEvil), [
            "forget",
            "remember",
        ]);
    });

    test("the filter takes words of any frame", report, async (page) => {
        await view(page, "Leaks");
        await page.keyboard.press("/");
        await page.keyboard.type("store.py dict");
        await eventually("two words", functions(page), ["forget"]);
        await page.getByRole("searchbox").fill("serve -remember");
        await eventually("one without", functions(page), ["forget"]);
        await page.getByRole("searchbox").fill("nothing has this");
        await eventually("none", functions(page), []);
        expect(await page.getByText("No leak of these kinds matches.").isVisible(), "no word about it");
    });

    test("kinds are shown and hidden", report, async (page) => {
        await view(page, "Leaks");
        await page.locator(".box.reachable").click();
        await eventually("with reachable ones", functions(page), ["remember", "forget", "never_lost", shownEvil]);
        await page.locator(".box.definite").click();
        await eventually("without definite ones", functions(page), ["never_lost", shownEvil]);
    });

    test("processes have tabs", report, async (page) => {
        await view(page, "Leaks");
        await page.getByRole("tab", { name: /worker/ }).click();
        await eventually("its bytes", texts(page, "tr.row td.bytes"), ["2,000", "1,000", "50"]);
        expect((await page.locator(".verdict").innerText()).startsWith("3,000 bytes in 55 blocks"), "verdict");
        await page.keyboard.press("ArrowLeft");
        await eventually("the other's", texts(page, "tr.row td.bytes"), ["4,000", "2,000", "100"]);
        await page.keyboard.press("Home");
        await eventually("all", texts(page, "tr.row td.bytes"), ["6,000", "3,000", "150"]);
    });

    test("errors have their three stacks", report, async (page) => {
        await view(page, "Errors");
        await page.locator("tr.row .open").click();
        await eventually("titles", texts(page, ".details h2"), ["Found", "Allocated by", "Freed by"]);
        await eventually("innermost", texts(page, ".details .stack li:first-child code"), [
            "remember",
            "forget",
            "forget",
        ]);
    });

    test("what grows has a view of its own", report, async (page) => {
        await view(page, "Growth");
        await eventually("functions", functions(page), ["remember", "remember"]);
        await eventually("bytes an interval", texts(page, "tr.row td.bytes"), ["1,000", "1,000"]);
        await page.getByRole("tab", { name: /worker/ }).click();
        await page.locator("tr.row .open").click();
        expect((await page.locator(".details dl").innerText()).includes("7,000 bytes in 70 blocks"), "the last mark");
    });

    test("the flame graph zooms and is searched", report, async (page) => {
        await view(page, "Flame graph");
        const all = ["all", "forget", "main", "remember", "serve", `evil.py ${shownEvil}`].sort();
        await eventually("boxes", boxes(page), all);
        await page.locator('g.frame[name="forget"]').click();
        await eventually("zoomed", boxes(page), ["all", "forget", "main", "serve"]);
        await page.getByRole("button", { name: "Reset zoom" }).click();
        await eventually("all again", boxes(page), all);
        await page.getByRole("searchbox").fill("store.py");
        await eventually("matches", () => page.locator(".matches").innerText(), "2 matches: 8.8 KiB, 98 %");
        await eventually("marked", () => page.locator('rect[fill="var(--box-hit)"]').count(), 2);
    });

    test("the flame graph has other widths and directions", report, async (page) => {
        await view(page, "Flame graph");
        const widest = () =>
            page
                .locator("g.frame")
                .evaluateAll((all) =>
                    all.map((box) => [box.getAttribute("name"), Math.round(box.getAttribute("width"))]),
                );
        const width = async (name) => (await widest()).find(([other]) => other === name)?.[1] ?? 0;
        await eventually("bytes", async () => (await width("remember")) > (await width("forget")), true);
        await page.getByRole("button", { name: "Blocks", exact: true }).click();
        await eventually("blocks", async () => (await width("forget")) > (await width("remember")), true);
        await page.getByRole("button", { name: "Allocations", exact: true }).click();
        await eventually("allocations", async () => (await width("forget")) > 10 * (await width("remember")), true);
        await page.getByRole("button", { name: "Inverted", exact: true }).click();
        await eventually("callers above", () => page.locator('g.frame[name="main"]').count(), 4);
        const top = (name) =>
            page
                .locator(`g.frame[name="${name}"]`)
                .first()
                .boundingBox()
                .then(({ y }) => y);
        await page.getByRole("button", { name: "Flame", exact: true }).click();
        await eventually("the root is below", async () => (await top("all")) > (await top("forget")), true);
    });

    test("the flame graph goes by keyboard", report, async (page) => {
        await view(page, "Flame graph");
        const focused = () => page.evaluate(() => document.activeElement.getAttribute("name"));
        await page.locator('g.frame[tabindex="0"]').focus();
        for (const key of ["ArrowDown", "ArrowDown", "ArrowDown", "ArrowRight"]) await page.keyboard.press(key);
        await eventually("box", focused, "forget");
        await page.keyboard.press("Enter");
        await eventually("zoomed", boxes(page), ["all", "forget", "main", "serve"]);
        await eventually("still there", focused, "forget");
        await page.keyboard.press("Escape");
        await eventually("all again", async () => (await boxes(page)()).length, 6);
    });

    test("a leak is found in the flame graph", report, async (page) => {
        await view(page, "Leaks");
        await page.locator("tr.row .open").nth(1).click();
        await page.getByRole("button", { name: "Show in the flame graph" }).click();
        await eventually("zoomed", boxes(page), ["all", "forget", "main", "serve"]);
    });

    test(
        "light and dark",
        report,
        async (page) => {
            const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
            const color = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
            expect((await theme()) === "dark", "does not begin as the system is");
            const dark = await color();
            await page.getByRole("button", { name: "Switch to the light theme" }).click();
            expect((await theme()) === "light" && (await color()) !== dark, "does not switch");
        },
        { colorScheme: "dark" },
    );

    test(
        "nothing is wider than a small screen",
        report,
        async (page) => {
            for (const name of ["Leaks", "Errors", "Flame graph", "Processes"]) {
                await page
                    .getByRole("tablist", { name: "Views" })
                    .getByRole("tab", { name: new RegExp(`^${name}`) })
                    .click();
                if (name !== "Flame graph") await page.locator("tr.row .open").first().click();
                const [width, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
                expect(width <= room, `${name}: ${width} pixels wide, room for ${room}`);
            }
        },
        { viewport: { width: 360, height: 740 } },
    );

    test("a clean program is said to be clean", clean, async (page) => {
        expect((await page.locator(".verdict.good").innerText()) === "Nothing is lost", "verdict");
        expect((await page.locator("tr.row").count()) === 0, "rows");
        await page.locator(".box.reachable").click();
        await eventually("on request", functions(page), ["never_lost"]);
    });

    test("differences", difference, async (page) => {
        expect((await page.locator(".verdict").innerText()).startsWith("1 new, 1 grown: +4,000 bytes"), "verdict");
        await eventually("changes", texts(page, "tr.row td.kind"), ["new", "grown"]);
        await view(page, "Flame graph");
        await eventually("boxes", boxes(page), ["all", "forget", "main", "remember", "serve"]);
        const fill = (name) => page.locator(`g.frame[name="${name}"] rect`).getAttribute("fill");
        await eventually("all new", () => fill("forget"), "var(--box-worse-4)");
        await eventually("twice as much", () => fill("remember"), "var(--box-worse-2)");
        await page.getByRole("button", { name: "Before", exact: true }).click();
        await eventually("what there was", boxes(page), ["all", "main", "remember", "serve"]);
    });
}

let done = false;
let browser = null;
try {
    makePages();
    const args = process.getuid() === 0 ? ["--no-sandbox"] : [];
    browser = await chromium.launch({ executablePath, args });
    const runner = createRunner(browser);
    addTests(runner);
    done = await runner.run();
} finally {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
}
process.exit(done ? 0 : 1);
