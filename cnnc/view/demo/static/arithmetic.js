// How one number of a layer comes about: the elements that it reads, their factors, and what is done with them.
//
// explainUnit(layer, index, tensors) gives
//   kind      "sum", "max", "mean", "norm": what is done with the terms; "other": `says` alone says it
//   terms     { at, value, factor }: the element (null: padding), its value, and its factor (1 where there is none)
//   bias      or null;  result: the number computed here
//   input     the tensor that is read;  grid: the sizes of the window, in the order of the terms, after the channel
//   says      a sentence

// The window of a layer on each axis: kernel k, stride s, dilation d, padding begin and end.
function windowOf(layer, k, sizes, outputs) {
  const { strides = [], dilations = [], pads = [], auto_pad: word = "NOTSET" } = layer.attributes;
  return k.map((size, i) => {
    const s = strides[i] ?? 1;
    const d = dilations[i] ?? 1;
    let begin = pads[i] ?? 0;
    let end = pads[i + k.length] ?? 0;
    if (word.startsWith("SAME")) {
      const total = Math.max(0, (outputs[i] - 1) * s + d * (size - 1) + 1 - sizes[i]);
      begin = word === "SAME_LOWER" ? Math.ceil(total / 2) : Math.floor(total / 2);
      end = total - begin;
    }
    return { k: size, s, d, begin, end, m: sizes[i] };
  });
}

// The terms of the window of a channel at a position.
function* windowElements(axes, position) {
  for (const tap of indices(axes.map((axis) => axis.k))) {
    const element = axes.map(({ s, d, begin }, i) => position[i] * s + tap[i] * d - begin);
    const inside = element.every((n, i) => n >= 0 && n < axes[i].m);
    yield { tap, element, inside };
  }
}

function explainConv(layer, index, [x, weight, bias]) {
  const [o, ...position] = index;
  const k = weight.dims.slice(2);
  const axes = windowOf(layer, k, x.dims.slice(1), layer.dims.slice(1));
  const channels = weight.dims[1];
  const groups = layer.attributes.group ?? 1;
  const first = Math.floor(o / (weight.dims[0] / groups)) * channels;
  const terms = [];
  for (let c = 0; c < channels; c++) {
    for (const { tap, element, inside } of windowElements(axes, position)) {
      const read = [first + c, ...element];
      terms.push({ at: inside ? read : null, value: inside ? at(x, read) : 0, factor: at(weight, [o, c, ...tap]) });
    }
  }
  return { kind: "sum", terms, bias: bias ? bias.numbers[o] : null, grid: k, first };
}

function explainConvTranspose(layer, index, [x, weight, bias]) {
  const [o, ...position] = index;
  const k = weight.dims.slice(2);
  const groups = layer.attributes.group ?? 1;
  const outputs = weight.dims[1];
  const channels = weight.dims[0] / groups;
  const first = Math.floor(o / outputs) * channels;
  const axes = windowOf(layer, k, x.dims.slice(1), layer.dims.slice(1));
  if (layer.attributes.output_shape || (layer.attributes.auto_pad ?? "NOTSET") !== "NOTSET") return null;
  const terms = [];
  for (let c = 0; c < channels; c++) {
    for (const tap of indices(k)) {
      const element = axes.map(({ s, d, begin }, i) => (position[i] + begin - tap[i] * d) / s);
      if (!element.every((n, i) => Number.isInteger(n) && n >= 0 && n < axes[i].m)) continue;
      const read = [first + c, ...element];
      terms.push({ at: read, value: at(x, read), factor: at(weight, [first + c, o % outputs, ...tap]) });
    }
  }
  const says = "The input elements whose kernels reach this position, each times the weight of the kernel that lies here.";
  return { kind: "sum", terms, bias: bias ? bias.numbers[o] : null, says };
}

function explainPool(layer, index, [x]) {
  const [c, ...position] = index;
  const isGlobal = layer.operator.startsWith("Global");
  const k = isGlobal ? x.dims.slice(1) : layer.attributes.kernel_shape;
  const axes = isGlobal ? k.map((size) => ({ k: size, s: 1, d: 1, begin: 0, end: 0, m: size })) : windowOf(layer, k, x.dims.slice(1), layer.dims.slice(1));
  const terms = [];
  let counted = 0;
  for (const { element, inside } of windowElements(axes, position)) {
    const inPadding = element.every((n, i) => n >= -axes[i].begin && n < axes[i].m + axes[i].end);
    if (layer.attributes.count_include_pad ? inPadding : inside) counted += 1;
    terms.push({ at: inside ? [c, ...element] : null, value: inside ? at(x, [c, ...element]) : 0, factor: 1 });
  }
  const kind = layer.operator.includes("Max") ? "max" : layer.operator.includes("Lp") ? "norm" : "mean";
  return { kind, terms, bias: null, number: kind === "norm" ? layer.attributes.p ?? 2 : counted, grid: k, first: c };
}

function explainGemm(layer, index, [x, weight, bias]) {
  const { alpha = 1, beta = 1, transA = 0, transB = 0 } = layer.attributes;
  if (transA || weight.dims.length !== 2 || x.dims.length !== 1) return null;
  const o = index[index.length - 1];
  const terms = Array.from(x.numbers, (value, n) => ({ at: [n], value, factor: alpha * at(weight, transB ? [o, n] : [n, o]) }));
  return { kind: "sum", terms, bias: bias ? beta * (bias.numbers.length > 1 ? bias.numbers[o] : bias.numbers[0]) : null };
}

function explainMatMul(layer, index, [x, weight]) {
  if (!layer.constants.includes(layer.inputs[1]) || weight.dims.length !== 2) return null;
  const lead = index.slice(0, -1);
  const o = index[index.length - 1];
  const count = x.dims[x.dims.length - 1];
  const terms = Array.from({ length: count }, (_, n) => ({ at: [...lead, n], value: at(x, [...lead, n]), factor: at(weight, [n, o]) }));
  return { kind: "sum", terms, bias: null };
}

function explainBatchNormalization(layer, index, [x, scale, shift, mean, variance]) {
  const [c] = index;
  const epsilon = layer.attributes.epsilon ?? 1e-5;
  const value = at(x, index);
  const result = ((value - mean.numbers[c]) / Math.sqrt(variance.numbers[c] + epsilon)) * scale.numbers[c] + shift.numbers[c];
  const n = numberText;
  const says = `(${n(value)} − mean ${n(mean.numbers[c])}) / √(variance ${n(variance.numbers[c])} + ${n(epsilon)}) · ${n(scale.numbers[c])} + ${n(shift.numbers[c])}`;
  return { kind: "other", says, result, terms: [{ at: index, value, factor: 1 }] };
}

function explainSoftmax(layer, index, [x]) {
  const rank = layer.dims.length + 1;
  const axis = (((layer.attributes.axis ?? -1) + rank) % rank) - 1;
  if (axis < 0) return null;
  const line = Array.from({ length: x.dims[axis] }, (_, i) => at(x, index.map((n, d) => (d === axis ? i : n))));
  const largest = Math.max(...line);
  const total = line.reduce((sum, value) => sum + Math.exp(value - largest), 0);
  const value = at(x, index);
  const share = Math.exp(value - largest) / total;
  const isLog = layer.operator === "LogSoftmax";
  const says = `${isLog ? "log of " : ""}exp(${numberText(value)}) / the sum of exp of the ${line.length} values from ${numberText(Math.min(...line))} to ${numberText(largest)}`;
  return { kind: "other", says, result: isLog ? Math.log(share) : share, terms: [{ at: index, value, factor: 1 }] };
}

function explainLRN(layer, index, [x]) {
  const { size, alpha = 1e-4, beta = 0.75, bias = 1 } = layer.attributes;
  const [c, ...rest] = index;
  const low = Math.max(0, c - Math.floor((size - 1) / 2));
  const high = Math.min(x.dims[0] - 1, c + Math.ceil((size - 1) / 2));
  let squares = 0;
  for (let n = low; n <= high; n++) squares += at(x, [n, ...rest]) ** 2;
  const value = at(x, index);
  const says = `${numberText(value)} / (${numberText(bias)} + ${numberText(alpha)} / ${size} · ${numberText(squares)})^${numberText(beta)}, with the squares of channels ${low} to ${high}`;
  return { kind: "other", says, result: value / (bias + (alpha / size) * squares) ** beta, terms: [{ at: index, value, factor: 1 }] };
}

const FLOATS = [1, 10, 11, 16]; // the element types of ONNX that are floats

const FUNCTIONS = {
  Relu: [(x) => Math.max(0, x), () => "max(0, x)"],
  LeakyRelu: [(x, a) => (x < 0 ? (a.alpha ?? 0.01) * x : x), (a) => `x, or ${numberText(a.alpha ?? 0.01)}·x below 0`],
  Sigmoid: [(x) => 1 / (1 + Math.exp(-x)), () => "1 / (1 + exp(−x))"],
  Tanh: [Math.tanh, () => "tanh(x)"],
  Elu: [(x, a) => (x < 0 ? (a.alpha ?? 1) * Math.expm1(x) : x), (a) => `x, or ${numberText(a.alpha ?? 1)}·(exp(x) − 1) below 0`],
  Selu: [
    (x, a) => (a.gamma ?? 1.0507009873554805) * (x > 0 ? x : (a.alpha ?? 1.6732632423543772) * Math.expm1(x)),
    (a) => `${numberText(a.gamma ?? 1.0507009873554805)}·x, below 0 times ${numberText(a.alpha ?? 1.6732632423543772)}·(exp(x) − 1) / x`,
  ],
  Softplus: [(x) => Math.log1p(Math.exp(-Math.abs(x))) + Math.max(x, 0), () => "log(1 + exp(x))"],
  HardSigmoid: [(x, a) => Math.max(0, Math.min(1, (a.alpha ?? 0.2) * x + (a.beta ?? 0.5))), (a) => `${numberText(a.alpha ?? 0.2)}·x + ${numberText(a.beta ?? 0.5)}, from 0 to 1`],
  HardSwish: [(x) => x * Math.max(0, Math.min(1, x / 6 + 0.5)), () => "x · (x/6 + 0.5 from 0 to 1)"],
  Exp: [Math.exp, () => "exp(x)"],
  Log: [Math.log, () => "log(x)"],
  Sqrt: [Math.sqrt, () => "√x"],
  Abs: [Math.abs, () => "|x|"],
  Neg: [(x) => -x, () => "−x"],
  Identity: [(x) => x, () => "x"],
  Cast: [(x, a) => (FLOATS.includes(a.to) ? x : Math.trunc(x)), (a) => (FLOATS.includes(a.to) ? "x in another precision" : "x as a whole number")],
  Dropout: [(x) => x, () => "x"],
};

function explainFunction(layer, index, [x]) {
  const [compute, formula] = FUNCTIONS[layer.operator];
  const value = at(x, index);
  return { kind: "other", says: `${formula(layer.attributes)} at x = ${numberText(value)}`, result: compute(value, layer.attributes), terms: [{ at: index, value, factor: 1 }] };
}

const COMBINED = {
  Add: [(a, b) => a + b, " + "],
  Sum: [(a, b) => a + b, " + "],
  Sub: [(a, b) => a - b, " − "],
  Mul: [(a, b) => a * b, " · "],
  Div: [(a, b) => a / b, " / "],
  Pow: [(a, b) => a ** b, " to the power of "],
  Max: [(a, b) => Math.max(a, b), ", "],
  Min: [(a, b) => Math.min(a, b), ", "],
};

// The index of the element of an input that is broadcast to the output.
function broadcastIndex(index, dims) {
  const read = index.slice(index.length - dims.length);
  return dims.map((size, i) => (size === 1 ? 0 : read[i]));
}

function explainCombined(layer, index, inputs) {
  const [compute, sign] = COMBINED[layer.operator];
  const isConstant = layer.inputs.map((name) => layer.constants.includes(name));
  const values = inputs.map((tensor, i) => {
    const dims = isConstant[i] && tensor.dims.length > index.length ? tensor.dims.slice(tensor.dims.length - index.length) : tensor.dims;
    return at({ numbers: tensor.numbers, dims }, broadcastIndex(index, dims));
  });
  const listed = values.map((value, i) => `${numberText(value)} (${layer.inputs[i]})`).join(sign);
  const word = layer.operator === "Max" ? "the largest of " : layer.operator === "Min" ? "the least of " : "";
  return { kind: "other", says: word + listed, result: values.reduce(compute), terms: [{ at: index, value: values[0], factor: 1 }] };
}

function explainConcat(layer, index, inputs) {
  const rank = layer.dims.length + 1;
  const axis = (((layer.attributes.axis ?? 1) + rank) % rank) - 1;
  let rest = index[axis];
  for (const [i, tensor] of inputs.entries()) {
    if (rest < tensor.dims[axis]) {
      const read = index.map((n, d) => (d === axis ? rest : n));
      return { kind: "other", says: `copied from ${layer.inputs[i]}, ${placeText(read, tensor.dims)}`, result: at(tensor, read), terms: [], input: layer.inputs[i] };
    }
    rest -= tensor.dims[axis];
  }
  return null;
}

function explainReshape(layer, index, [x]) {
  return explainCopy(layer, indexOf(offsetOf(index, layer.dims), x.dims), x);
}

// Rows of a table of constants by the numbers that are read, or elements of an axis by constant numbers.
function explainGather(layer, index, [data, numbers]) {
  const { axis = 0 } = layer.attributes;
  const isTable = layer.constants.includes(layer.inputs[0]);
  const first = isTable ? axis : axis - 1; // without the batch
  if (first < 0 || (isTable && axis)) return null;
  const count = numbers.dims.length;
  const chosen = at(numbers, index.slice(first, first + count));
  const size = data.dims[first];
  const read = [...index.slice(0, first), chosen < 0 ? chosen + size : chosen, ...index.slice(first + count)];
  if (!isTable) return explainCopy(layer, read, data);
  return { kind: "other", says: `row ${chosen} of ${layer.inputs[0]}, the row of the number that is read`, result: at(data, read), terms: [], input: layer.inputs[1] };
}

// Copied from an element of the first input.
function explainCopy(layer, read, x) {
  const value = at(x, read);
  return { kind: "other", says: `copied from ${layer.inputs[0]}, ${placeText(read, x.dims)}`, result: value, terms: [{ at: read, value, factor: 1 }] };
}

function explainTranspose(layer, index, [x]) {
  const { perm } = layer.attributes;
  if (!perm || perm[0] !== 0 || perm.length !== index.length + 1) return null;
  const read = new Array(index.length);
  perm.slice(1).forEach((axis, i) => (read[axis - 1] = index[i]));
  return explainCopy(layer, read, x);
}

function explainSlice(layer, index, [x, starts, , axes, steps]) {
  if (!starts) return null;
  const read = [...index];
  starts.numbers.forEach((start, i) => {
    const axis = (axes ? (axes.numbers[i] + x.dims.length + 1) % (x.dims.length + 1) : i) - 1;
    const step = steps ? steps.numbers[i] : 1;
    if (axis < 0) return;
    const size = x.dims[axis];
    const first = Math.max(0, Math.min(step < 0 ? size - 1 : size, start < 0 ? start + size : start));
    read[axis] = first + index[axis] * step;
  });
  return explainCopy(layer, read, x);
}

function explainPad(layer, index, [x, pads, value]) {
  if (!pads || pads.numbers.length !== 2 * (index.length + 1)) return null;
  const { mode = "constant" } = layer.attributes;
  const place = index.map((n, i) => n - pads.numbers[i + 1]);
  const mirrored = (n, size) => (n < 0 ? -n : n >= size ? 2 * (size - 1) - n : n);
  const read = place.map((n, i) => (mode === "reflect" ? mirrored(n, x.dims[i]) : mode === "edge" ? Math.max(0, Math.min(x.dims[i] - 1, n)) : n));
  if (read.every((n, i) => n >= 0 && n < x.dims[i])) return explainCopy(layer, read, x);
  return mode === "constant" ? { kind: "other", says: "in the padding", result: value?.numbers[0] ?? 0, terms: [] } : null;
}

function explainResize(layer, index, [x]) {
  const { mode = "nearest", coordinate_transformation_mode: coordinates = "half_pixel", nearest_mode: rounding = "round_prefer_floor" } = layer.attributes;
  if (mode !== "nearest") return null;
  const read = index.map((n, i) => {
    const scale = x.dims[i] / layer.dims[i];
    const place = coordinates === "asymmetric" ? n * scale : (n + 0.5) * scale - 0.5;
    return Math.max(0, Math.min(x.dims[i] - 1, rounding === "floor" ? Math.floor(place) : Math.ceil(place - 0.5)));
  });
  return explainCopy(layer, read, x);
}

function explainDepthToSpace(layer, [c, row, column], [x]) {
  const { blocksize: b, mode = "DCR" } = layer.attributes;
  const block = (row % b) * b + (column % b);
  const channel = mode === "CRD" ? c * b * b + block : block * layer.dims[0] + c;
  return explainCopy(layer, [channel, Math.floor(row / b), Math.floor(column / b)], x);
}

function explainSpaceToDepth(layer, [c, row, column], [x]) {
  const b = layer.attributes.blocksize;
  const block = Math.floor(c / x.dims[0]);
  return explainCopy(layer, [c % x.dims[0], row * b + Math.floor(block / b), column * b + (block % b)], x);
}

const REDUCED = { ReduceSum: "sum", ReduceMean: "mean", ReduceMax: "max", ReduceL2: "norm" };

function explainReduce(layer, index, [x, given]) {
  const list = layer.attributes.axes ?? (given ? [...given.numbers] : null);
  const rank = x.dims.length + 1;
  const axes = list?.map((axis) => ((axis + rank) % rank) - 1);
  if (!axes || axes.includes(-1)) return null;
  const kept = layer.attributes.keepdims ?? 1;
  let next = 0;
  const fixed = x.dims.map((_, axis) => (axes.includes(axis) ? null : kept ? index[axis] : index[next++]));
  const sizes = x.dims.map((size, axis) => (axes.includes(axis) ? size : 1));
  const terms = [...indices(sizes)].map((place) => {
    const read = place.map((n, axis) => fixed[axis] ?? n);
    return { at: read, value: at(x, read), factor: 1 };
  });
  return { kind: REDUCED[layer.operator], terms, bias: null, number: layer.operator === "ReduceL2" ? 2 : terms.length };
}

// (x - mean) / sqrt(variance + epsilon) · scale + shift, with the mean and variance of these elements.
function normalized(value, elements, epsilon, scale, shift) {
  const mean = elements.reduce((sum, x) => sum + x, 0) / elements.length;
  const variance = elements.reduce((sum, x) => sum + (x - mean) ** 2, 0) / elements.length;
  const n = numberText;
  const says = `(${n(value)} − mean ${n(mean)}) / √(variance ${n(variance)} + ${n(epsilon)}) · ${n(scale)} + ${n(shift)}, of ${elements.length} elements`;
  return { says, result: ((value - mean) / Math.sqrt(variance + epsilon)) * scale + shift };
}

function explainInstanceNormalization(layer, index, [x, scale, shift]) {
  const [c] = index;
  const size = volume(x.dims.slice(1));
  const elements = [...x.numbers.slice(c * size, (c + 1) * size)];
  const value = at(x, index);
  const found = normalized(value, elements, layer.attributes.epsilon ?? 1e-5, scale.numbers[c], shift.numbers[c]);
  return { kind: "other", ...found, terms: [{ at: index, value, factor: 1 }] };
}

function explainLayerNormalization(layer, index, [x, scale, shift]) {
  const rank = x.dims.length + 1;
  const axis = (((layer.attributes.axis ?? -1) + rank) % rank) - 1;
  if (axis < 0) return null;
  const size = volume(x.dims.slice(axis));
  const first = Math.floor(offsetOf(index, x.dims) / size) * size;
  const value = at(x, index);
  const inner = index.slice(axis);
  const factor = at(scale, broadcastIndex(inner, scale.dims));
  const added = shift ? at(shift, broadcastIndex(inner, shift.dims)) : 0;
  const found = normalized(value, [...x.numbers.slice(first, first + size)], layer.attributes.epsilon ?? 1e-5, factor, added);
  return { kind: "other", ...found, terms: [{ at: index, value, factor: 1 }] };
}

function explainClip(layer, index, [x, low, high]) {
  const value = at(x, index);
  const [least, most] = [low ? low.numbers[0] : -Infinity, high ? high.numbers[0] : Infinity];
  const says = `${numberText(value)}, limited to ${numberText(least)} to ${numberText(most)}`;
  return { kind: "other", says, result: Math.max(least, Math.min(most, value)), terms: [{ at: index, value, factor: 1 }] };
}

function explainPRelu(layer, index, [x, slope]) {
  const value = at(x, index);
  const factor = at(slope, broadcastIndex(index, slope.dims.slice(-index.length)));
  return { kind: "other", says: `x, or ${numberText(factor)}·x below 0, at x = ${numberText(value)}`, result: value < 0 ? factor * value : value, terms: [{ at: index, value, factor: 1 }] };
}

const EXPLAINED = {
  Clip: explainClip,
  PRelu: explainPRelu,
  Transpose: explainTranspose,
  Slice: explainSlice,
  Pad: explainPad,
  Resize: explainResize,
  DepthToSpace: explainDepthToSpace,
  SpaceToDepth: explainSpaceToDepth,
  InstanceNormalization: explainInstanceNormalization,
  LayerNormalization: explainLayerNormalization,
  Conv: explainConv,
  ConvTranspose: explainConvTranspose,
  Gemm: explainGemm,
  MatMul: explainMatMul,
  BatchNormalization: explainBatchNormalization,
  Softmax: explainSoftmax,
  LogSoftmax: explainSoftmax,
  LRN: explainLRN,
  Concat: explainConcat,
  Gather: explainGather,
};
for (const name of ["MaxPool", "AveragePool", "LpPool", "GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool"]) EXPLAINED[name] = explainPool;
for (const name of ["Flatten", "Reshape", "Squeeze", "Unsqueeze"]) EXPLAINED[name] = explainReshape;
for (const name of Object.keys(REDUCED)) EXPLAINED[name] = explainReduce;
for (const name of Object.keys(FUNCTIONS)) EXPLAINED[name] = explainFunction;
for (const name of Object.keys(COMBINED)) EXPLAINED[name] = explainCombined;

// The number of a sum, maximum, mean or norm.
function combineTerms({ kind, terms, bias, number, result }) {
  if (kind === "other") return result;
  if (kind === "max") return terms.reduce((most, term) => (term.at ? Math.max(most, term.value) : most), -Infinity);
  if (kind === "norm") return terms.reduce((sum, term) => sum + Math.abs(term.value) ** number, 0) ** (1 / number);
  const sum = terms.reduce((total, term) => total + term.value * term.factor, 0);
  return kind === "mean" ? sum / number : sum + (bias ?? 0);
}

function explainUnit(layer, index, tensors) {
  const inputs = layer.inputs.map((name) => tensors[name]); // undefined for one that is left out
  const explain = layer.inputs.every((name) => !name || tensors[name]) ? EXPLAINED[layer.operator] : null;
  const found = explain ? explain(layer, index, inputs) : null;
  const data = layer.inputs.filter((name) => name && !layer.constants.includes(name));
  if (!found) {
    return { kind: "other", terms: [], bias: null, result: null, input: data[0], says: `${layer.operator} of ${data.join(", ") || "constants"}; this page does not take it apart.` };
  }
  return { input: data[0], bias: null, ...found, result: combineTerms(found) };
}

const AXES = [["channel"], ["channel", "position"], ["channel", "row", "column"], ["channel", "slice", "row", "column"]];

const axisNames = (dims) => AXES[dims.length - 1] ?? dims.map((_, i) => `axis ${i}`);

// "channel 3, row 5, column 7"; a vector has units.
function placeText(index, dims) {
  if (index.length === 1) return `unit ${index[0]}`;
  return axisNames(dims).map((name, i) => `${name} ${index[i]}`).join(", ");
}
