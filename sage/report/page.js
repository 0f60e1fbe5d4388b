"use strict";
// The table draws only the rows in view; a prompt's texts are unpacked when it is chosen.
const data = JSON.parse(document.getElementById("data").textContent);
const ROW = 40, SPARE = 8, NARROW = matchMedia("(max-width: 640px)").matches, STRIP = NARROW ? 12 : 24;
const $ = (id) => document.getElementById(id);
const el = (name, attributes = {}, ...children) => {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key in node && key !== "role") node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
};
const whole = (value) => value.toLocaleString("en");
const percent = (value) => (value === null ? "—" : `${Math.round(value)}%`);
const FILTERS = {
  "all prompts": () => true,
  "never solved": (r) => r.solved === 0,
  "solved only with a hint": (r) => r.solved === 1,
  "solved without a hint": (r) => r.solved === 2,
  "last visit with a hint": (r) => r.last > 0,
};
const SOLVED = ["never", "with hint", "without hint"];
const COLUMNS = [
  { key: "id", name: "prompt", width: NARROW ? "auto" : "30%" },
  { key: "problem", name: "problem", width: "24%", less: true },
  { key: "visits", name: "visits", width: "8%", number: true, less: true },
  { key: "strip", name: NARROW ? "levels" : "levels and success", width: NARROW ? "116px" : "210px" },
  { key: "mean", name: "last", width: "8%", number: true, less: true },
  { key: "tokens", name: "tokens", width: "9%", number: true, less: true },
  { key: "solved", name: "solved", width: "106px" },
];
let run = 0, rows = [], common = 0, shown = [], sortKey = null, down = false, chosen = null;

function makeRows(index) {
  const t = data.runs[index].table;
  if (!t) return [];
  const made = [];
  let at = 0;
  for (let i = 0; i < t.id.length; i++) {
    const end = at + t.visits[i];
    made.push({ i, from: at, to: end, id: t.id[i], problem: t.problem[i], visits: t.visits[i], tokens: t.tokens[i],
      solved: t.solved[i], last: t.level[end - 1], mean: t.success[end - 1], strip: t.level[end - 1] });
    at = end;
  }
  return made;
}

function strip(row) {
  const t = data.runs[run].table;
  const from = Math.max(row.from, row.to - STRIP);
  const words = [];
  let marks = "";
  for (let k = from, x = 0; k < row.to; k++, x += 8) {
    const level = t.level[k], height = (t.success[k] / 100) * 22, color = `var(--level-${Math.min(level, 9)})`;
    marks += `<rect x="${x + .5}" y="1.5" width="6" height="22" fill="none" stroke="${color}"/>` +
      `<rect x="${x + .5}" y="${23.5 - height}" width="6" height="${height}" fill="${color}"/>`;
    words.push(`step ${t.step[k]} level ${level} ${t.success[k]}%`);
  }
  const cell = el("td");
  cell.innerHTML = `<svg width="${8 * (row.to - from)}" height="25" role="img"><title></title>${marks}</svg>`;
  cell.querySelector("title").textContent = words.join(", ");
  return cell;
}

function drawHead() {
  const head = document.querySelector("#table thead tr");
  const hasProblem = rows.some((r) => r.problem);
  head.replaceChildren(...COLUMNS.filter((c) => hasProblem || c.key !== "problem").map((c) => {
    const arrow = sortKey === c.key ? (down ? " ▼" : " ▲") : "";
    const button = el("button", { type: "button", textContent: c.name + arrow });
    button.onclick = () => { down = sortKey === c.key ? !down : false; sortKey = c.key; arrange(); head.querySelector(`[data-key=${c.key}] button`).focus(); };
    const classes = [c.number && "number", c.less && "less"].filter(Boolean).join(" ");
    const cell = el("th", { className: classes, scope: "col", "data-key": c.key, style: `width:${c.width}` }, button);
    if (sortKey === c.key) cell.setAttribute("aria-sort", down ? "descending" : "ascending");
    return cell;
  }));
}

function arrange() {
  const wanted = FILTERS[$("filter").value], text = $("find").value.trim().toLowerCase();
  shown = rows.filter((r) => wanted(r) && (!text || r.id.toLowerCase().includes(text) || r.problem.toLowerCase().includes(text)));
  if (sortKey) {
    const sign = down ? -1 : 1, key = sortKey;
    shown.sort((a, b) => sign * (a[key] < b[key] ? -1 : a[key] > b[key] ? 1 : a.i - b.i));
  }
  $("count").textContent = data.runs[run].table ? `${whole(shown.length)} of ${whole(rows.length)} prompts` : "No history in this run.";
  $("scroll").hidden = !data.runs[run].table;
  drawHead();
  $("scroll").scrollTop = 0;
  drawRows();
}

function drawRows() {
  const box = $("scroll"), body = document.querySelector("#table tbody");
  const focused = document.activeElement && document.activeElement.dataset.at;
  const first = Math.max(0, Math.floor(box.scrollTop / ROW) - SPARE);
  const last = Math.min(shown.length, Math.ceil((box.scrollTop + box.clientHeight) / ROW) + SPARE);
  const hasProblem = rows.some((r) => r.problem);
  const made = [el("tr", { "aria-hidden": "true", style: `height:${first * ROW}px` })];
  for (let at = first; at < last; at++) {
    const r = shown[at];
    const button = el("button", { type: "button", textContent: r.id.slice(common), "data-at": at, title: r.id });
    const cells = [el("td", {}, button)];
    if (hasProblem) cells.push(el("td", { className: "less", textContent: r.problem, title: r.problem }));
    cells.push(el("td", { className: "number less", textContent: r.visits }), strip(r),
      el("td", { className: "number less", textContent: percent(r.mean) }),
      el("td", { className: "number less", textContent: whole(r.tokens) }), el("td", { textContent: SOLVED[r.solved] }));
    const line = el("tr", { className: "row" + (r.id === chosen ? " chosen" : ""), "aria-rowindex": at + 2 }, ...cells);
    line.onclick = () => choose(r, true);
    made.push(line);
  }
  made.push(el("tr", { "aria-hidden": "true", style: `height:${(shown.length - last) * ROW}px` }));
  body.replaceChildren(...made);
  $("table").setAttribute("aria-rowcount", shown.length + 1);
  if (focused !== undefined) body.querySelector(`[data-at="${focused}"]`)?.focus({ preventScroll: true });
}

async function unpack(index, part) {
  const bytes = Uint8Array.from(atob($(`part-${index}-${part}`).textContent), (c) => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

const levelChip = (level) =>
  el("b", { className: "chip", style: `--chip:var(--level-${Math.min(level, 9)})`, textContent: level ? `level ${level}` : "no hint" });

function groupView(g) {
  const [level, correct, n, tokens, seconds, kept, hint] = g;
  const text = ` ${correct}/${n} correct, ${whole(tokens)} tokens, ${seconds} s${kept ? "" : ", discarded"}`;
  const node = el("div", { className: "group" + (kept ? "" : " off") }, levelChip(level), text);
  if (hint === null) node.append(el("p", { className: "note", textContent: "Hint left out to bound the page: it is in sage_history.jsonl." }));
  else if (hint !== 0) node.append(el("blockquote", { textContent: hint }));
  return node;
}

function visitView(v) {
  const [action, reason, level] = v.d;
  const node = el("article", { className: "visit" }, el("h4", { textContent: `Step ${v.s}` }),
    el("p", { className: "note", textContent: `${action.replace("_", " ")} at level ${level}: ${reason.replace("_", " ")}` }), ...v.g.map(groupView));
  if (v.q.length) node.append(el("p", { className: "note", textContent: "Hint requests: " +
    v.q.map(([l, outcome, tokens]) => `level ${l} ${outcome.replaceAll("_", " ")} (${tokens} tokens)`).join(", ") }));
  if (v.f.length) node.append(el("p", { className: "note", textContent: "No hint: " + v.f.join(", ").replaceAll("_", " ") }));
  if (v.o) {
    const box = el("details", {}, el("summary", { textContent: `${v.o.length} rollouts trained on` }));
    v.c.forEach((context, k) => {
      box.append(el("p", { className: "note", textContent: "What the model read:" }), el("pre", { textContent: context }));
      for (const [place, score, output] of v.o) if (place === k) {
        box.append(el("p", { className: "note", textContent: `reward ${score}` }), el("pre", { className: score > 0 ? "right" : "wrong", textContent: output }));
      }
    });
    node.append(box);
  }
  return node;
}

async function choose(row, move) {
  chosen = row.id;
  drawRows();
  const index = run, found = (await unpack(index, Math.floor(row.i / data.part)))[row.i % data.part];
  if (chosen !== row.id || run !== index) return;
  const parts = [el("h3", { textContent: row.id })];
  if (found.p) parts.push(el("pre", { textContent: found.p }));
  if (found.a !== undefined) parts.push(el("p", { className: "note", textContent: `Answer: ${found.a}` }));
  parts.push(...found.v.map(visitView));
  $("detail").replaceChildren(...parts);
  $("detail").dataset.prompt = row.id;
  history.replaceState(null, "", `#run=${index}&prompt=${encodeURIComponent(row.id)}`);
  if (move) { $("detail").scrollIntoView({ block: "start" }); $("detail").focus({ preventScroll: true }); }
}

function setRun(index) {
  run = index;
  rows = makeRows(run);
  // A folder-like start that all ids share is left out of the table.
  const start = rows.length ? rows[0].id.slice(0, rows[0].id.lastIndexOf("/") + 1) : "";
  common = rows.every((r) => r.id.startsWith(start)) ? start.length : 0;
  document.querySelectorAll(".choose").forEach((s) => { s.value = run; });
  document.querySelectorAll("section.run").forEach((s) => { s.hidden = Number(s.dataset.run) !== run; });
  $("notes").replaceChildren(...data.runs[run].notes.map((n) => el("p", { className: "note", textContent: n })));
  const levels = [...new Set(data.runs[run].table ? data.runs[run].table.level : [])].sort((a, b) => a - b);
  $("levels").replaceChildren(...levels.map(levelChip));
  arrange();
  const same = rows.find((r) => r.id === chosen);
  if (same) choose(same, false);
  else { chosen = null; $("detail").replaceChildren(el("p", { className: "note", textContent: "Choose a prompt to see its visits, hints and rollouts." })); }
}

$("filter").replaceChildren(...Object.keys(FILTERS).map((name) => el("option", { textContent: name })));
document.querySelectorAll(".choose").forEach((s) => { s.onchange = () => setRun(Number(s.value)); });
$("filter").onchange = arrange;
$("find").oninput = arrange;
let waiting = false;
$("scroll").onscroll = () => { if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; drawRows(); }); } };
$("scroll").onkeydown = (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key], at = event.target.dataset.at;
  if (!step || at === undefined) return;
  event.preventDefault();
  const next = Math.min(shown.length - 1, Math.max(0, Number(at) + step)), box = $("scroll"), top = next * ROW;
  if (top < box.scrollTop) box.scrollTop = top;
  else if (top + 2 * ROW > box.scrollTop + box.clientHeight) box.scrollTop = top + 2 * ROW - box.clientHeight;
  drawRows();
  document.querySelector(`#table [data-at="${next}"]`)?.focus({ preventScroll: true });
};
document.addEventListener("click", (event) => {
  const id = event.target.dataset && event.target.dataset.prompt;
  const row = event.target.matches("a.prompt") && rows.find((r) => r.id === id);
  if (row) { event.preventDefault(); choose(row, true); }
});
const asked = new URLSearchParams(location.hash.slice(1));
const start = Number(asked.get("run"));
setRun(start >= 0 && start < data.runs.length ? start : 0);
const first = rows.find((r) => r.id === asked.get("prompt"));
if (first) choose(first, true);
