"use strict";
// Sorts and filters tables, names the row under the pointer, and saves charts; without it the page shows the same.
const PREFIX = {p: 1e-12, n: 1e-9, "µ": 1e-6, m: 1e-3, k: 1e3, M: 1e6, G: 1e9, T: 1e12};
const QUANTITY = /^[≤≥~\s]*([-−]?[\d,]*\.?\d+(?:e[-+]?\d+)?)\s*(?:([pnµmkMGT])?(?:J|s)\b|([kMGT])(?![a-z]))?/;

// a cell as it sorts: a number in its base unit, else its text; what is absent comes last
function value(cell) {
  const text = cell ? cell.textContent.trim() : "";
  const found = QUANTITY.exec(text);
  if (found) return parseFloat(found[1].replace(/,/g, "").replace("−", "-")) * (PREFIX[found[2] || found[3]] || 1);
  return text.toLowerCase();
}

function order(a, b) {
  if (a === "" || b === "") return (a === "") - (b === "");
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return typeof a === "number" ? a - b : a.localeCompare(b, "en", {numeric: true});
}

function sortable(table, heads) {
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...head.childNodes);
    if (button.querySelector("a")) { head.append(...button.childNodes); return; }
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows].map(row => [value(row.cells[column]), row]);
      rows.sort(([a], [b]) => (a === "" || b === "" || !down ? order(a, b) : order(b, a)));
      table.tBodies[0].append(...rows.map(([, row]) => row));
    });
  });
}

function filterable(table) {
  const field = document.createElement("input");
  field.type = "search";
  field.placeholder = "filter rows";
  field.setAttribute("aria-label", "filter rows");
  field.addEventListener("input", () => {
    const asked = field.value.trim().toLowerCase();
    for (const row of table.tBodies[0].rows) row.hidden = !row.textContent.toLowerCase().includes(asked);
  });
  table.parentElement.before(field);
}

for (const table of document.querySelectorAll("table")) {
  const heads = table.tHead ? [...table.tHead.rows[0].cells] : [];
  if (heads.length && table.tBodies[0].rows.length > 1) sortable(table, heads);
  if (heads.length && table.tBodies[0].rows.length > 12) filterable(table);
}

document.addEventListener("pointerover", event => {
  const cell = event.target.closest && event.target.closest("td, tbody th");
  if (!cell || cell.title) return;
  const table = cell.closest("table"), head = table.tHead && table.tHead.rows[0].cells[cell.cellIndex];
  const said = [cell.parentElement.cells[0], head, cell].filter((part, i, all) => part && all.indexOf(part) === i);
  cell.title = said.map(part => part.textContent.trim().replace(/\s+/g, " ")).filter(Boolean).join(": ");
});

function save(content, type, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], {type}));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// a chart as a file of its own: colours of the light theme, white ground
function standalone(drawn) {
  const copy = drawn.cloneNode(true), [, , width, height] = drawn.getAttribute("viewBox").split(/\s+/);
  copy.setAttribute("width", width);
  copy.setAttribute("height", height);
  const ground = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [key, value] of Object.entries({width, height, fill: "#ffffff"})) ground.setAttribute(key, value);
  copy.prepend(ground);
  const text = new XMLSerializer().serializeToString(copy);
  return {text: text.replace(/var\(--[\w-]+, (#\w+)\)/g, "$1"), width: Number(width), height: Number(height)};
}

function savePng(drawn, name) {
  const {text, width, height} = standalone(drawn), picture = new Image(), scale = 3;
  const url = URL.createObjectURL(new Blob([text], {type: "image/svg+xml"}));
  picture.addEventListener("load", () => {
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
    URL.revokeObjectURL(url);
    canvas.toBlob(made => save(made, "image/png", `${name}.png`), "image/png");
  });
  picture.src = url;
}

for (const figure of document.querySelectorAll("figure")) {
  const drawn = figure.querySelector("svg"), files = figure.querySelector(".files");
  const ways = {SVG: () => save(standalone(drawn).text, "image/svg+xml", `${figure.id}.svg`), PNG: () => savePng(drawn, figure.id)};
  for (const [kind, act] of Object.entries(ways)) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = kind;
    button.setAttribute("aria-label", `save ${figure.id} as ${kind}`);
    button.addEventListener("click", act);
    files.append(" ", button);
  }
}

// a link into something folded opens it
function unfold() {
  const folded = document.getElementById(location.hash.slice(1))?.closest("details");
  if (folded && !folded.open) { folded.open = true; folded.scrollIntoView(); }
}
window.addEventListener("hashchange", unfold);
unfold();
