// Glue between the pages and two libraries: DataTables sorts and filters, Bokeh draws.
"use strict";

const pageData = JSON.parse(document.getElementById("page-data").textContent);
const byId = (id) => document.getElementById(id);

// Figures that are not known stay last in either direction.
function registerKnownOrder() {
  const order = window.DataTable.ext.type.order;
  const compare = (sign) => (a, b) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    return sign * (Number(a) - Number(b));
  };
  order["known-asc"] = compare(1);
  order["known-desc"] = compare(-1);
}

function makeTable(table, options) {
  const heads = [...table.tHead.rows[0].cells];
  const first = table.tBodies[0].rows[0];
  const columnDefs = heads.map((head, i) => {
    const numeric = first && first.cells[i].hasAttribute("data-order");
    if (numeric && !head.classList.contains("text")) head.classList.add("dt-type-numeric");
    return { targets: i, type: numeric ? "known" : "string", orderSequence: ["asc", "desc"] };
  });
  return new window.DataTable(table, {
    paging: false, info: false, autoWidth: false, order: [], layout: { topStart: null, topEnd: null, bottomStart: null, bottomEnd: null },
    ...options, columnDefs: [...(options.columnDefs || []), ...columnDefs],
  });
}

const ASSETS = new URL(".", document.currentScript.src);

// Tells how long after the start the page came so far, in ms.
function tell(stage) {
  document.documentElement.dataset[stage] = String(Math.round(performance.now()));
}

// Begins to load the charting library, where the page has a chart; resolves to whether it is there. The browser compiles
// it beside the scripts that follow, so tables and filters wait for none of it.
function loadCharts() {
  if (!document.querySelector(".chart")) return Promise.resolve(false);
  return new Promise((resolve) => {
    const script = document.createElement("script");
    script.src = new URL("bokeh.js", ASSETS);
    script.addEventListener("load", () => resolve(true));
    script.addEventListener("error", () => {
      for (const place of document.querySelectorAll(".chart")) place.textContent = "assets/bokeh.js is missing: no chart.";
      resolve(false);
    });
    document.head.append(script);
  });
}

const charts = loadCharts();

// Draws the charts when their library is there; the page without them is complete now. "ready": a frame with them is shown.
async function startCharts(draw) {
  tell("usable");
  if (await charts) await draw();
  requestAnimationFrame(() => setTimeout(() => tell("ready")));
}

// Draws the chart of a data block; returns a function from a model's name to the model.
async function embed(blockId, place) {
  const views = await window.Bokeh.embed.embed_item(JSON.parse(byId(blockId).textContent), place);
  const drawn = views.roots[0].model.document;
  return (name) => drawn.get_model_by_name(name);
}

// ---- all networks -------------------------------------------------------------------------------------------------

// What no other beats in cost and error both, cheapest first.
function paretoFront(points) {
  const front = [];
  for (const p of [...points].sort((a, b) => a.x - b.x || a.y - b.y)) {
    if (!front.length || p.y < front[front.length - 1].y) front.push(p);
  }
  return front;
}

const SCALES = { macs: 1e9, parameters: 1e6 };
const UNITS = { macs: "GMACs", parameters: "M parameters", size_mib: "MiB" };
const unit = (cost) => UNITS[cost] || "ms";

function link(row) {
  const a = document.createElement("a");
  a.href = row.page.split("/").map(encodeURIComponent).join("/");
  a.textContent = row.network;
  return a;
}

class CostChart {
  constructor(model) {
    this.points = model("points");
    this.front = model("front");
    this.line = model("front-line");
    this.axes = [model("x-axis"), model("y-axis")];
    this.ranges = [model("x-range"), model("y-range")];
    this.shown = [];
    this.points.selected.change.connect(() => this.tell(this.points.selected.indices));
  }

  // Draws those of the networks that have both figures; `passes` tells which networks the filters let through.
  draw(passes) {
    const cost = byId("cost").value, error = byId("error").value;
    this.shown = pageData.points
      .filter((p) => passes(p.network) && (p[cost] ?? null) !== null && p[error] !== null)
      .map((p) => ({ ...p, x: p[cost] / (SCALES[cost] || 1), y: p[error] }));
    const style = (p) => pageData.styles[p.style];
    const column = (f) => this.shown.map(f);
    this.points.selected.indices = [];
    this.points.data = {
      x: column((p) => p.x), y: column((p) => p.y), network: column((p) => p.network), family: column((p) => p.family),
      error: column((p) => `${error.slice(0, 4).replace("p", "p-")} ${p.y.toFixed(2)} %`),
      cost: column((p) => `${p.x.toPrecision(4)} ${unit(cost)}, ${p.crop_size} px`),
      origin: column((p) => (p.measured ? "measured here" : p.stated ? "published" : "published, crops not stated")),
      colour: column((p) => style(p).colour), marker: column((p) => style(p).marker),
      fill: column((p) => (p.stated ? style(p).colour : "#ffffff")), ring: column((p) => (p.measured ? 17 : 0)),
    };
    this.axes[0].axis_label = pageData.axes[cost];
    this.axes[1].axis_label = `${error === "top1_error" ? "top-1" : "top-5"} error, %`;
    for (const [range, values] of [[this.ranges[0], column((p) => p.x)], [this.ranges[1], column((p) => p.y)]]) {
      const start = Math.min(...values, 1e9) / 1.15, end = values.length ? Math.max(...values) * 1.15 : 2e9;
      range.setv({ start, end, reset_start: start, reset_end: end });
    }
    this.drawFront();
  }

  drawFront() {
    const shown = byId("pareto").checked;
    const front = paretoFront(this.shown);
    const [right, top] = this.ranges.map((range) => range.reset_end);
    const ends = front.length ? [{ x: front[0].x, y: top }, ...front, { x: right, y: front[front.length - 1].y }] : [];
    this.front.data = { x: ends.map((p) => p.x), y: ends.map((p) => p.y) };
    this.line.visible = shown;
    const names = byId("front-names");
    names.replaceChildren();
    if (!shown || !front.length) return;
    names.append(`On the front, no other is both cheaper and better (${front.length} of ${this.shown.length}): `);
    front.forEach((p, i) => names.append(i ? ", " : "", link(p)));
  }

  tell(indices) {
    const picked = byId("picked");
    const rows = indices.map((i) => this.shown[i]).filter(Boolean);
    if (!rows.length) return;
    picked.replaceChildren();
    rows.forEach((p, i) => picked.append(i ? " · " : "", link(p), ` (${p.family}): ${p.y.toFixed(2)} %, ${p.x.toPrecision(4)} ${unit(byId("cost").value)}`));
  }
}

function startIndex() {
  registerKnownOrder();
  const table = makeTable(byId("networks"), {
    columnDefs: [{ targets: 0, orderable: false }, { targets: [1, 2], searchable: true }, { targets: "_all", searchable: false }],
  });
  const maxima = ["top1_error", "gmacs", "millions"];
  let passing = new Set();
  let chart = null;

  table.search.fixed("filters", (text, _, index) => {
    const own = table.row(index).node().dataset;
    if (byId("family").value && own.family !== byId("family").value) return false;
    if (byId("weights").value && own.weights !== byId("weights").value) return false;
    return maxima.every((name) => {
      const limit = byId(`max-${name}`).valueAsNumber;
      return Number.isNaN(limit) || (own[name] !== "" && Number(own[name]) <= limit);
    });
  });

  function apply() {
    table.search.fixed("words", byId("search").value.trim() || null).draw();
    showPassing();
  }

  function showPassing() {
    const rows = table.rows({ search: "applied" }).nodes().toArray();
    passing = new Set(rows.map((row) => row.querySelector(".pick").value));
    byId("count").textContent = `${rows.length} of ${table.rows().count()} networks`;
    if (chart) chart.draw((name) => passing.has(name));
  }

  const filters = byId("filters");
  for (const kind of ["input", "change"]) filters.addEventListener(kind, apply);
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("reset", () => setTimeout(apply));
  startPicking(byId("networks"), byId("compare"));
  // A browser that goes back to the page fills the filters in again; else all rows are drawn already.
  if ([...filters.querySelectorAll("input, select")].some((field) => field.value)) apply();
  else showPassing();

  startCharts(async () => {
    const model = await embed("cost-chart", byId("chart"));
    if (window.innerWidth < 640) model("chart").height = 380;
    chart = new CostChart(model);
    chart.draw((name) => passing.has(name));
    for (const id of ["cost", "error"]) byId(id).addEventListener("change", () => chart.draw((name) => passing.has(name)));
    byId("pareto").addEventListener("change", () => chart.drawFront());
  });
}

// Two to four ticked networks make the link to their comparison.
function startPicking(table, button) {
  const boxes = [...table.querySelectorAll(".pick")];
  function update() {
    const picked = boxes.filter((box) => box.checked).map((box) => box.value);
    for (const box of boxes) box.disabled = !box.checked && picked.length >= 4;
    const ready = picked.length >= 2;
    button.setAttribute("aria-disabled", String(!ready));
    button.textContent = ready ? `Compare ${picked.length} networks` : "Compare: tick 2 to 4";
    button.href = `compare.html#${picked.map(encodeURIComponent).join(",")}`;
  }
  table.addEventListener("change", update);
  button.addEventListener("click", (event) => {
    if (button.getAttribute("aria-disabled") === "true") event.preventDefault();
  });
  update();
}

// ---- one network --------------------------------------------------------------------------------------------------

function startNetwork() {
  registerKnownOrder();
  const table = makeTable(byId("layers"), {});
  byId("layer-search").addEventListener("input", (event) => table.search(event.target.value).draw());
  const drawing = byId("drawing");
  drawing.scrollLeft = (drawing.scrollWidth - drawing.clientWidth) / 2;
  byId("fit").addEventListener("change", (event) => {
    drawing.classList.toggle("fit", event.target.checked);
    drawing.scrollLeft = (drawing.scrollWidth - drawing.clientWidth) / 2;
  });
  for (const button of document.querySelectorAll(".copy")) button.addEventListener("click", () => copy(button));
  startCharts(async () => {
    for (const [chart, choices] of Object.entries(pageData)) {
      const model = await embed(`${chart}-item`, byId(`${chart}-chart`));
      const show = (models) => {
        for (const [name, values] of Object.entries(models)) model(name).setv(values);
      };
      show(choices[0]);
      byId(`${chart}-choice`)?.addEventListener("change", (event) => show(choices[event.target.value]));
      if (window.innerWidth < 640) model("legend").ncols = 1;
    }
  });
}

async function copy(button) {
  const code = byId(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    window.getSelection().selectAllChildren(code); // no clipboard for this page: the text is marked instead
    button.textContent = "Marked: press Ctrl+C";
  }
}

if (byId("networks")) startIndex();
else startNetwork();
