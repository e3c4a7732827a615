// Weights as files: a checkpoint of cnnc is saved, or chosen and checked.

// The parts of a checkpoint of what `arrays` holds, at a place in training: { epoch, at, steps, sums }.
function checkpointOf(page, provider, { arrays, epoch, steps, at, sums }) {
  const { training } = page;
  const entries = [
    ...training.weights.map(({ name, shape }) => ({ name: `weights/${name}`, shape, data: arrays[name] })),
    ...training.slots.map(({ name, shape }) => ({ name: `slots/${name}`, shape, data: arrays[name] })),
  ];
  if (training.counter) entries.push({ name: "slots/steps", shape: [], data: BigInt64Array.of(BigInt(steps)) });
  const progress = { epoch, step: Math.floor(at / training.recipe.batch), loss_sum: sums.loss, seen: sums.examples };
  const facts = { ...page.checkpoint, progress, engine: "onnxruntime", provider };
  return writeCheckpoint(facts, entries);
}

function saveFile(name, parts) {
  const url = URL.createObjectURL(new Blob(parts, { type: "application/octet-stream" }));
  const link = make("a", { href: url, download: name, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}

// The arrays of a checkpoint by name, and its place in training. Throws an Error that says what does not fit.
function arraysOf(page, bytes) {
  const { facts, arrays } = readCheckpoint(bytes);
  const { training } = page;
  const given = new Map(arrays.map((array) => [array.name, array]));
  const found = {};
  const take = (kind, { name, shape }) => {
    const array = given.get(`${kind}/${name}`);
    if (!array) return `${name} is missing`;
    if (String(array.shape) !== String(shape)) return `${name} is ${shapeText(array.shape)}, not ${shapeText(shape)}`;
    if (!(array.data instanceof Float32Array)) return `${name} does not hold float32 numbers`;
    found[name] = array.data;
    return "";
  };
  const known = new Set(training.weights.map(({ name }) => `weights/${name}`));
  const others = arrays.filter(({ name }) => name.startsWith("weights/") && !known.has(name)).map(({ name }) => `${name.slice(8)} is not in this network`);
  const problem = [...training.weights.map((entry) => take("weights", entry)), ...others].find(Boolean);
  if (problem) throw new Error(`it does not fit this network: ${problem}`);
  const withSlots = training.slots.every((entry) => !take("slots", entry));
  const whole = (n) => (Number.isSafeInteger(n) && n >= 0 ? n : 0);
  const { epoch, step } = facts.progress ?? {};
  const perEpoch = Math.ceil(page.counts.train / training.recipe.batch);
  const steps = given.get("slots/steps")?.data?.[0] ?? whole(epoch) * perEpoch + whole(step);
  const at = whole(step) * training.recipe.batch;
  return { arrays: found, withSlots, epoch: whole(epoch), at: at < page.counts.train ? at : 0, steps: withSlots ? whole(Number(steps)) : 0 };
}
