// The model on onnxruntime-web: a session that runs it as exported, and one that has every layer's tensor as an output.

class Model {
  constructor(bytes, tail, names) {
    this.bytes = bytes;
    this.tail = tail;
    this.observedNames = names;
    this.last = Promise.resolve();
  }

  // Loads the runtime. Single-threaded: a page from a file has no shared memory.
  static async load(page, tail, observed) {
    const [module, wasm, bytes] = await Promise.all([blob("ort-module"), blob("ort-wasm"), blob("model")]);
    ort.env.logLevel = "fatal";
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.proxy = false;
    ort.env.wasm.wasmBinary = wasm;
    ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(new Blob([module], { type: "text/javascript" })) };
    return new Model(bytes, tail, observed);
  }

  async open(provider) {
    await this.close();
    this.session = await ort.InferenceSession.create(this.bytes, { executionProviders: [provider] });
    this.provider = provider;
  }

  async close() {
    const sessions = [this.session, this.observer];
    this.session = this.observer = null;
    for (const session of sessions) await session?.release();
  }

  // One at a time: a runtime computes one model after the other.
  exclusive(work) {
    const done = this.last.then(work, work);
    this.last = done.catch(() => {});
    return done;
  }

  // The outputs for feeds { name: { type, data, dims } }, by name: { type, numbers, dims }.
  run(feeds) {
    return this.exclusive(() => runSession(this.session, feeds));
  }

  // The tensors of these names for the same feeds, computed node by node, without optimizations.
  observe(feeds, names) {
    return this.exclusive(async () => {
      if (!this.observer) {
        const options = { executionProviders: ["wasm"], graphOptimizationLevel: "disabled" };
        this.observer = await ort.InferenceSession.create(joined(this.bytes, this.tail), options);
      }
      const known = new Set(this.observer.outputNames);
      return runSession(this.observer, feeds, names.filter((name) => known.has(name)));
    });
  }
}

async function runSession(session, feeds, names) {
  const tensors = {};
  for (const name of session.inputNames) {
    if (!feeds[name]) throw new Error(`no value given for input ${name}`);
    tensors[name] = new ort.Tensor(feeds[name].type, feeds[name].data, feeds[name].dims);
  }
  const results = names ? await session.run(tensors, names) : await session.run(tensors);
  const read = {};
  for (const [name, tensor] of Object.entries(results)) {
    if (tensor.type === "string") throw new Error(`the output ${name} is text, not numbers`);
    const data = tensor.location === "cpu" ? tensor.data : await tensor.getData();
    read[name] = { type: tensor.type, numbers: tensorNumbers({ type: tensor.type, data }), dims: [...tensor.dims] };
  }
  return read;
}

// The first example of a tensor (N, ...): { numbers, dims } without the batch.
function firstExample({ numbers, dims }, batch) {
  if (dims.length < 1 || dims[0] !== batch) return { numbers, dims };
  return { numbers: numbers.slice(0, numbers.length / batch), dims: dims.slice(1) };
}

// A feed of one example: repeated, where the model takes a batch of a fixed size.
function feedOf(values, shape, isPixels, input) {
  const one = inputData(values, isPixels, input.dtype);
  const data = new one.constructor(one.length * input.batch);
  for (let i = 0; i < input.batch; i++) data.set(one, i * one.length);
  return { type: input.dtype, data, dims: [input.batch, ...shape] };
}
