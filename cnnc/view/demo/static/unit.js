// One unit: where it is, the window that it reads, the kernel, and the sum.

const MOST_GRIDS = 6;
const MOST_TERMS = 12;

function grid(values, columns, largest, title, marked) {
  const rows = [];
  for (let i = 0; i < values.length; i += columns) {
    rows.push(make("tr", {}, ...values.slice(i, i + columns).map((value, j) => make("td", { style: value === null ? "" : cellStyle(value, largest), class: value === null ? "padding" : marked === i + j ? "marked" : null }, value === null ? "0" : shortText(value)))));
  }
  return make("figure", { class: "grid" }, make("table", {}, make("tbody", {}, ...rows)), make("figcaption", {}, title));
}

// A number in a cell: 3, 0.25, 1234; small ones are 0.00.
function shortText(value) {
  if (Number.isInteger(value) && Math.abs(value) < 1000) return numberText(value);
  const text = value.toFixed(Math.abs(value) >= 100 ? 0 : 2);
  return (Number(text) === 0 ? "0.00" : text).replace("-", "−");
}

class Unit {
  constructor(layers) {
    this.layers = layers;
    this.layer = null;
    this.said = make("p", { class: "only-heard", role: "status" }); // what changes, without the tables
    document.body.append(this.said);
  }

  // Shows the unit of a layer; `tensors` are those that it reads, without the batch, by name.
  show(layer, index, tensors, stored) {
    const old = this.layer && this.layers.cards.get(this.layer.name);
    if (old && this.layer !== layer) old.panel.replaceChildren();
    this.clearMarks();
    this.layer = layer;
    this.index = index;
    const { panel } = this.layers.cards.get(layer.name);
    const focused = panel.contains(document.activeElement) ? document.activeElement.dataset.axis : null;
    const value = at(stored, index);
    const title = `${layer.name}, ${placeText(index, stored.dims)}: ${numberText(value)}`;
    const heading = make("h4", {}, title);
    const parts = layer.operator === "input" ? [make("p", {}, "An element of the input.")] : this.explanation(layer, index, tensors, value);
    panel.replaceChildren(heading, this.position(layer, index, stored.dims), ...parts);
    if (focused !== null) panel.querySelector(`[data-axis="${focused}"]`)?.focus();
    this.said.textContent = [title, panel.querySelector(".sum")?.textContent].filter(Boolean).join(": ");
    this.layers.cards.get(layer.name).maps.mark(index, null);
    this.marked = [layer.name];
    if (this.window) {
      const source = this.layers.cards.get(this.window.input);
      source?.maps.mark(null, this.window);
      this.marked.push(this.window.input);
    }
  }

  clearMarks() {
    for (const name of this.marked ?? []) this.layers.cards.get(name)?.maps.mark(null, null);
    this.marked = [];
    this.window = null;
  }

  // A number box for each axis.
  position(layer, index, dims) {
    const names = index.length === 1 ? ["unit"] : axisNames(dims);
    return make("div", { class: "tools" }, ...index.map((n, axis) => {
      const box = make("input", { type: "number", min: 0, max: dims[axis] - 1, value: n, "data-axis": axis });
      box.addEventListener("change", () => {
        const next = [...index];
        next[axis] = Math.max(0, Math.min(dims[axis] - 1, Math.round(Number(box.value)) || 0));
        this.layers.onpick(layer, next);
      });
      return field(names[axis], box);
    }));
  }

  explanation(layer, index, tensors, value) {
    const found = explainUnit(layer, index, tensors);
    const parts = [];
    if (found.kind !== "other" && found.grid) parts.push(...this.windows(layer, found, tensors));
    else if (found.kind !== "other") parts.push(this.terms(found, tensors));
    if (found.says) parts.push(make("p", {}, found.says));
    if (found.kind !== "other") parts.push(make("p", { class: "sum" }, sumText(found)));
    if (found.result !== null && found.result !== undefined) {
      parts.push(make("p", { class: "note" }, `computed here ${precise(found.result)}, by onnxruntime ${precise(value)}`));
    }
    return parts;
  }

  // The window on each channel with the kernel, those that contribute most first.
  windows(layer, found, tensors) {
    const size = volume(found.grid);
    const columns = found.grid[found.grid.length - 1];
    const channels = Array.from({ length: found.terms.length / size }, (_, c) => {
      const terms = found.terms.slice(c * size, (c + 1) * size);
      return { channel: found.first + c, terms, total: terms.reduce((sum, term) => sum + term.value * term.factor, 0) };
    });
    const sorted = found.kind === "sum" ? [...channels].sort((a, b) => Math.abs(b.total) - Math.abs(a.total)) : channels;
    const largest = largestOf(tensors[found.input].numbers);
    const strongest = largestOf(found.terms.map((term) => term.factor));
    this.window = windowFrame(found, sorted);
    if (size > 400) return [this.terms(found, tensors)];
    const element = ({ channel, terms, total }) => {
      const best = found.kind === "max" ? terms.findIndex((term) => term.at && term.value === found.result) : -1;
      const grids = [grid(terms.map((term) => (term.at ? term.value : null)), columns, largest, `window on ${found.input}, channel ${channel}`, best)];
      if (found.kind === "sum") grids.push(make("span", { class: "sign" }, "·"), grid(terms.map((term) => term.factor), columns, strongest, "kernel"), make("span", { class: "sign" }, `= ${numberText(total)}`));
      return make("div", { class: "row" }, ...grids);
    };
    const box = make("div", { class: "windows", tabindex: 0, role: "group", "aria-label": "windows and kernels" }, ...sorted.slice(0, MOST_GRIDS).map(element));
    if (sorted.length <= MOST_GRIDS) return [box];
    const more = button(`Show all ${sorted.length} channels`, () => {
      box.replaceChildren(...channels.map(element));
      more.remove();
    }, { class: "small" });
    return [make("p", { class: "note" }, `the ${MOST_GRIDS} channels of ${sorted.length} that contribute most`), box, more];
  }

  // The largest products as a table.
  terms(found, tensors) {
    const { dims } = tensors[found.input];
    const sorted = [...found.terms].sort((a, b) => Math.abs(b.value * b.factor) - Math.abs(a.value * a.factor));
    const rows = sorted.slice(0, MOST_TERMS).map(({ at: read, value, factor }) => make("tr", {}, make("th", { scope: "row" }, read ? placeText(read, dims) : "padding"), ...[value, factor, value * factor].map((n) => make("td", { class: "right" }, numberText(n)))));
    const rest = sorted.slice(MOST_TERMS).reduce((sum, term) => sum + term.value * term.factor, 0);
    if (sorted.length > MOST_TERMS) rows.push(make("tr", {}, make("th", { scope: "row" }, `${countText(sorted.length - MOST_TERMS)} other products`), make("td"), make("td"), make("td", { class: "right" }, numberText(rest))));
    const heads = [`element of ${found.input}`, "value", "weight", "product"];
    const head = make("tr", {}, ...heads.map((text, i) => make("th", { scope: "col", class: i ? "right" : null }, text)));
    return make("div", { class: "table", tabindex: 0, role: "group", "aria-label": "products" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
  }
}

const precise = (value) => String(Number(value.toPrecision(7))).replace("-", "−");

// The sizes of the window for the map of the input, at the channels that are shown.
function windowFrame(found, sorted) {
  const corners = sorted.slice(0, MOST_GRIDS).flatMap(({ terms }) => {
    const inside = terms.filter((term) => term.at);
    return inside.length ? [inside[0].at] : [];
  });
  if (!corners.length) return null;
  const inside = sorted[0].terms.filter((term) => term.at).map((term) => term.at);
  const span = (axis) => {
    if (axis < 1) return 1;
    const [low, high] = extent(inside.map((read) => read[axis]));
    return high - low + 1;
  };
  const rank = corners[0].length;
  return { input: found.input, corners, rows: span(rank - 2), columns: span(rank - 1) };
}

function sumText({ kind, terms, bias, number, result }) {
  const read = terms.filter((term) => term.at);
  if (kind === "max") return `the largest of ${read.length} elements is ${numberText(result)}`;
  if (kind === "mean") return `the sum of ${read.length} elements, ${numberText(read.reduce((sum, term) => sum + term.value, 0))}, divided by ${number} is ${numberText(result)}`;
  if (kind === "norm") return `the norm of order ${number} of ${read.length} elements is ${numberText(result)}`;
  const sum = terms.reduce((total, term) => total + term.value * term.factor, 0);
  const products = plural(read.length, "product");
  return bias === null ? `the sum of ${products} is ${numberText(result)}` : `the sum of ${products}, ${numberText(sum)}, plus the bias ${numberText(bias)} is ${numberText(result)}`;
}
