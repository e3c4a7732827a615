// The outputs: classes as bars, images and label maps as pictures, other values as bars or a heat map.

const MOST_BARS = 20;

// Scores as probabilities: those that are not go through softmax, as `cnnc predict` does.
function probabilities(scores) {
  const numbers = [...scores];
  const total = numbers.reduce((a, b) => a + b, 0);
  if (numbers.every((n) => n >= 0) && Math.abs(total - 1) <= 1e-3) return numbers;
  const largest = Math.max(...numbers);
  const powers = numbers.map((n) => Math.exp(n - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((n) => n / sum);
}

const classNames = (output, count) => (output.classes.length === count ? output.classes : Array.from({ length: count }, (_, i) => String(i)));

// The most probable class of an output of scores, -1 where they are not finite.
function bestClass(numbers) {
  if (![...numbers].every(Number.isFinite)) return -1;
  return numbers.reduce((best, n, i) => (n > numbers[best] ? i : best), 0);
}

const isScores = (output, { numbers, dims }) => output.kind === "classes" && numbers.length > 1 && numbers.length === Math.max(...dims);

// What an output says in one line, for all who listen rather than look.
function outputSummary(output, result) {
  const { numbers, dims } = result;
  if (isScores(output, result)) {
    const best = bestClass(numbers);
    return best < 0 ? "no class: the scores are not finite" : `${classNames(output, numbers.length)[best]}, ${(100 * probabilities(numbers)[best]).toFixed(1)} %`;
  }
  if (output.kind === "label map") return sharesOf(output, labelsOf(result)).slice(0, 3).map(([name, share]) => `${name} ${(100 * share).toFixed(1)} %`).join(", ");
  if (numbers.length === 1) return numberText(numbers[0]);
  const [low, high] = rangeOf(numbers);
  return `${shapeText(dims)}, ${numberText(low)} to ${numberText(high)}`;
}

function outputElement(output, result) {
  if (isScores(output, result)) return classBars(output, result.numbers);
  if (output.kind === "label map" && result.dims.length === 3) return labelMap(output, result);
  const { numbers, dims } = result;
  if (dims.length === 3 && numbers.length > dims[0]) return pictures(output, result);
  if (numbers.length <= 64) return valueBars(numbers);
  return mapsElement({ name: output.name, ...result }).element;
}

function bar(name, share, text, isBest, isNegative = false) {
  const fill = make("span", { class: `fill${isNegative ? " negative" : ""}` });
  fill.style.width = `${Math.max(0, Math.min(100, 100 * share)).toFixed(2)}%`;
  return make("tr", { class: isBest ? "best" : null }, make("th", { scope: "row" }, name), make("td", { class: "bar" }, fill), make("td", { class: "right" }, text));
}

const bars = (rows) => make("table", { class: "bars" }, make("tbody", {}, ...rows));

function classBars(output, numbers) {
  const names = classNames(output, numbers.length);
  const shares = probabilities(numbers);
  const best = bestClass(numbers);
  if (best < 0) return make("p", {}, "no class: the scores are not finite");
  let order = names.map((_, i) => i);
  if (order.length > MOST_BARS) order = order.sort((a, b) => shares[b] - shares[a]).slice(0, 10);
  const table = bars(order.map((i) => bar(names[i], shares[i], `${(100 * shares[i]).toFixed(1)} %`, i === best)));
  return names.length > order.length ? make("div", {}, table, make("p", { class: "note" }, `the 10 most probable of ${countText(names.length)} classes`)) : table;
}

function valueBars(numbers) {
  const largest = largestOf(numbers) || 1;
  return bars([...numbers].map((value, i) => bar(String(i), Math.abs(value) / largest, numberText(value), false, value < 0)));
}

// --- images

function pictures(output, { numbers, dims }) {
  const [channels, height, width] = dims;
  const one = channels === 1 || channels === 3;
  const [least, most] = rangeOf(numbers);
  const largest = Math.max(most, -least);
  const [low, high] = output.isImage ? [0, 1] : least < 0 ? [-largest, largest] : [0, Math.max(1, most)];
  const parts = one ? [[numbers, channels, output.name]] : Array.from({ length: Math.min(channels, 16) }, (_, c) => [numbers.slice(c * height * width, (c + 1) * height * width), 1, `channel ${c}`]);
  const figures = parts.map(([values, depth, name]) => {
    const canvas = make("canvas", { class: "picture-out", role: "img", "aria-label": `${name}, ${height} by ${width}` });
    drawPlanes(canvas, values, depth, height, width, low, high);
    sized(canvas, width, height, one ? 280 : 96);
    return one ? canvas : make("figure", {}, canvas, make("figcaption", {}, name));
  });
  const note = output.isImage ? "" : `black is ${numberText(low)}, white ${numberText(high)}`;
  const more = !one && channels > 16 ? `; 16 of ${channels} channels` : "";
  return make("div", {}, make("div", { class: "row" }, ...figures), note || more ? make("p", { class: "note" }, note + more) : null);
}

function sized(canvas, width, height, side) {
  const scale = side / Math.max(width, height);
  canvas.style.width = `${Math.round(width * scale)}px`;
  canvas.style.aspectRatio = `${width} / ${height}`;
}

function labelsOf({ numbers, dims }) {
  const [channels, ...rest] = dims;
  const size = rest.reduce((a, b) => a * b, 1);
  return Array.from({ length: size }, (_, i) => {
    let best = 0;
    for (let c = 1; c < channels; c++) if (numbers[c * size + i] > numbers[best * size + i]) best = c;
    return best;
  });
}

function sharesOf(output, labels) {
  const counts = new Map();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  const name = (label) => output.classes[label] ?? String(label);
  return [...counts].sort((a, b) => b[1] - a[1]).map(([label, count]) => [name(label), count / labels.length, label]);
}

// Black, then hues that differ by the golden ratio, as in the files of `cnnc predict`.
function labelColour(label) {
  if (!label) return [0, 0, 0];
  const hue = ((label * 0.618034) % 1) * 6;
  const value = 1 - 0.4 * (Math.floor(label / 16) % 2);
  const part = (n) => {
    const k = (n + hue) % 6;
    return Math.round(255 * (value - value * 0.85 * Math.max(0, Math.min(k, 4 - k, 1))));
  };
  return [part(5), part(3), part(1)];
}

function labelMap(output, result) {
  const [, height, width] = result.dims;
  const labels = labelsOf(result);
  const canvas = make("canvas", { width, height, class: "picture-out", role: "img", "aria-label": `${output.name}: the class of each of ${height} by ${width} pixels` });
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  labels.forEach((label, i) => image.data.set([...labelColour(label), 255], 4 * i));
  context.putImageData(image, 0, 0);
  sized(canvas, width, height, 280);
  const legend = sharesOf(output, labels).slice(0, MOST_BARS).map(([name, share, label]) => {
    const box = make("span", { class: "swatch" });
    box.style.background = `rgb(${labelColour(label)})`;
    return make("li", {}, box, ` ${name} ${(100 * share).toFixed(1)} %`);
  });
  return make("div", { class: "row" }, canvas, make("ul", { class: "legend" }, ...legend));
}
