// Elements of the page. Texts are set as text, never parsed, so that names from a model stay names.

const byId = (id) => document.getElementById(id);

// make("button", { type: "button", class: "small", onclick: f }, "Clear", otherElement)
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const button = (text, onclick, properties = {}) => make("button", { type: "button", onclick, ...properties }, text);

let labelled = 0;
// A label and its control: field("Brush", make("input", { type: "range" }))
function field(text, control, properties = {}) {
  control.id = control.id || `field-${++labelled}`;
  return make("span", { class: "field", ...properties }, make("label", { for: control.id }, text), control);
}

function checkbox(text, checked, onchange) {
  const control = make("input", { type: "checkbox", checked, onchange: () => onchange(control.checked) });
  const element = make("label", { class: "check" }, control, " ", text);
  return { element, control };
}

// A button that opens the file dialogue.
function fileButton(text, accept, onfile) {
  const control = make("input", { type: "file", accept, class: "hidden-file", tabindex: "-1", "aria-label": text });
  control.addEventListener("change", () => {
    if (control.files.length) onfile(control.files[0]);
    control.value = "";
  });
  return make("span", {}, button(text, () => control.click()), control);
}

function numberText(value) {
  if (typeof value === "bigint") return String(value);
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "not a number" : value > 0 ? "∞" : "−∞";
  if (Number.isInteger(value) && Math.abs(value) < 1e7) return String(value).replace("-", "−");
  const size = Math.abs(value);
  const text = size >= 1e5 || size < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(4)));
  return text.replace("-", "−");
}

const countText = (count) => count.toLocaleString("en");
const shapeText = (shape) => shape.join("×") || "one number";
const plural = (count, word) => `${countText(count)} ${word}${count === 1 ? "" : "s"}`;
