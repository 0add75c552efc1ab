// Two to four networks side by side, chosen by the part of the address behind #.
"use strict";

const { networks, times } = JSON.parse(document.getElementById("page-data").textContent);
const chosen = [...document.querySelectorAll(".chosen")];
let unknown = []; // names of the address that no network has
const byName = new Map(networks.map((row) => [row.network, row]));

const grouped = (value) => value.toLocaleString("en-US");
const fixed = (digits) => (value) => value.toFixed(digits);
const errorMark = (row) => (row.measured ? " m" : row.stated ? "" : " †");

// Title, field, and for figures how they are written.
const ROWS = [
  ["family", "family"],
  ["top-1 error, %", "top1_error", fixed(2), errorMark],
  ["top-5 error, %", "top5_error", fixed(2), errorMark],
  ["GMACs", "macs", (value) => (value / 1e9).toFixed(3)],
  ["parameters", "parameters", grouped],
  ["caffemodel, MiB", "size_mib", fixed(1)],
  ...Object.entries(times).map(([key, title]) => [title, key, fixed(2)]),
  ["depth", "depth"],
  ["crop, px", "crop_size"],
  ["weights", "weights"],
  ["base/crop sizes, px", "sizes"],
  ["mean (B, G, R)", "mean"],
  ["std (B, G, R)", "std"],
  ["labels", "labels"],
  ["origin", "origin"],
];

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function figureCell(row, field, write, mark, known) {
  const value = row[field] ?? null;
  if (value === null) return element("td", "..", "nothing");
  const least = Math.min(...known), most = Math.max(...known);
  const several = known.length > 1 && most > least;
  const cell = element("td", write(value) + (mark ? mark(row) : ""), several && value === least ? "least" : "");
  if (several && value > least && least > 0) cell.append(element("span", `${(value / least).toFixed(2)} ×`, "times"));
  if (most > 0) {
    const size = element("span", undefined, "size");
    size.style.width = `${(100 * value) / most}%`;
    cell.append(size);
  }
  return cell;
}

function show() {
  const names = [...new Set(chosen.map((select) => select.value).filter(Boolean))];
  const rows = names.map((name) => byName.get(name));
  const table = document.getElementById("comparison");
  const enough = rows.length >= 2;
  table.hidden = !enough;
  const hint = document.getElementById("hint");
  hint.hidden = enough && !unknown.length;
  hint.textContent = (unknown.length ? `Not in this report: ${unknown.join(", ")}. ` : "") + (enough ? "" : "Choose at least two networks.");
  for (const select of chosen) {
    for (const option of select.options) option.disabled = option.value !== "" && option.value !== select.value && names.includes(option.value);
  }
  const head = element("tr");
  head.append(element("th", ""));
  for (const row of rows) {
    const cell = element("th"), link = element("a", row.network);
    link.href = row.page.split("/").map(encodeURIComponent).join("/");
    cell.append(link);
    head.append(cell);
  }
  table.tHead.replaceChildren(head);
  table.tBodies[0].replaceChildren(
    ...ROWS.filter(([, field]) => rows.some((row) => (row[field] ?? null) !== null)).map(([title, field, write, mark]) => {
      const line = element("tr");
      line.append(element("th", title));
      const known = write ? rows.map((row) => row[field] ?? null).filter((value) => value !== null) : [];
      line.append(...rows.map((row) => (write ? figureCell(row, field, write, mark, known) : element("td", row[field]))));
      return line;
    }),
  );
}

function readAddress() {
  const asked = location.hash.slice(1).split(",").map((name) => {
    try {
      return decodeURIComponent(name);
    } catch {
      return "";
    }
  });
  const known = asked.filter((name) => byName.has(name)).slice(0, chosen.length);
  unknown = asked.filter((name) => name && !byName.has(name));
  chosen.forEach((select, i) => { select.value = known[i] ?? ""; });
  show();
}

for (const select of chosen) {
  select.addEventListener("change", () => {
    unknown = [];
    history.replaceState(null, "", `#${chosen.map((s) => s.value).filter(Boolean).map(encodeURIComponent).join(",")}`);
    show();
  });
}
window.addEventListener("hashchange", readAddress);
readAddress();
document.documentElement.dataset.ready = String(Math.round(performance.now()));
