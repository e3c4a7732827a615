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

const FUNCTIONS = {
  Relu: [(x) => Math.max(0, x), () => "max(0, x)"],
  LeakyRelu: [(x, a) => (x < 0 ? (a.alpha ?? 0.01) * x : x), (a) => `x, or ${numberText(a.alpha ?? 0.01)}·x below 0`],
  Sigmoid: [(x) => 1 / (1 + Math.exp(-x)), () => "1 / (1 + exp(−x))"],
  Tanh: [Math.tanh, () => "tanh(x)"],
  Elu: [(x, a) => (x < 0 ? (a.alpha ?? 1) * Math.expm1(x) : x), (a) => `x, or ${numberText(a.alpha ?? 1)}·(exp(x) − 1) below 0`],
  Softplus: [(x) => Math.log1p(Math.exp(-Math.abs(x))) + Math.max(x, 0), () => "log(1 + exp(x))"],
  HardSigmoid: [(x, a) => Math.max(0, Math.min(1, (a.alpha ?? 0.2) * x + (a.beta ?? 0.5))), (a) => `${numberText(a.alpha ?? 0.2)}·x + ${numberText(a.beta ?? 0.5)}, from 0 to 1`],
  HardSwish: [(x) => x * Math.max(0, Math.min(1, x / 6 + 0.5)), () => "x · (x/6 + 0.5 from 0 to 1)"],
  Exp: [Math.exp, () => "exp(x)"],
  Log: [Math.log, () => "log(x)"],
  Sqrt: [Math.sqrt, () => "√x"],
  Abs: [Math.abs, () => "|x|"],
  Neg: [(x) => -x, () => "−x"],
  Identity: [(x) => x, () => "x"],
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
  Max: [Math.max, ", "],
  Min: [Math.min, ", "],
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
  const read = indexOf(offsetOf(index, layer.dims), x.dims);
  return { kind: "other", says: `copied from ${layer.inputs[0]}, ${placeText(read, x.dims)}`, result: at(x, read), terms: [{ at: read, value: at(x, read), factor: 1 }] };
}

function explainGather(layer, index, [table, words]) {
  if (!layer.constants.includes(layer.inputs[0]) || layer.attributes.axis) return null;
  const row = words.numbers[offsetOf(index.slice(0, words.dims.length), words.dims)];
  const read = [row, ...index.slice(words.dims.length)];
  return { kind: "other", says: `row ${row} of ${layer.inputs[0]}, the row of the number that is read`, result: at(table, read), terms: [], input: layer.inputs[1] };
}

const EXPLAINED = {
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
  const inputs = layer.inputs.filter((name) => name).map((name) => tensors[name]);
  const explain = inputs.every((tensor) => tensor) ? EXPLAINED[layer.operator] : null;
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
