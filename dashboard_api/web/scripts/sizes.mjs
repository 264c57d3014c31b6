// Prints what a visitor downloads, gzipped, and fails when the first paint outgrows its budget.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const STATIC = new URL("../../static/", import.meta.url).pathname;
const BUDGET_KB = { office: 90, crew: 60 }; // html + css + js before the lazy map, fonts apart

const gz = (path) => gzipSync(readFileSync(join(STATIC, path))).length;
const rows = readdirSync(join(STATIC, "assets")).map((name) => ["assets/" + name, gz("assets/" + name)]);
rows.sort((a, b) => b[1] - a[1]);
for (const [name, bytes] of rows) console.log(`${(bytes / 1024).toFixed(1).padStart(8)} kB gz  ${name}`);

let failed = false;
for (const [page, file] of [["office", "index.html"], ["crew", "petugas.html"]]) {
  const html = readFileSync(join(STATIC, file), "utf8");
  const first = new Set([...html.matchAll(/(?:src|href)="\/(assets\/[^"]+\.(?:js|css))"/g)].map((m) => m[1]));
  const kb = (gz(file) + [...first].reduce((sum, path) => sum + gz(path), 0)) / 1024;
  console.log(`${page}: first paint ${kb.toFixed(1)} kB gz (budget ${BUDGET_KB[page]} kB)`);
  failed ||= kb > BUDGET_KB[page];
}
if (failed) {
  console.error("The first paint is over its budget: move code behind a dynamic import or raise the budget with a reason.");
  process.exit(1);
}
