// The model on onnxruntime-web: a session that runs it as exported, and one that has every layer's tensor as an output.

class Model {
  constructor(runtime, bytes, tail) {
    this.runtime = runtime;
    this.bytes = bytes;
    this.tail = tail;
    this.queue = new Queue();
  }

  static async load() {
    const runtime = await startRuntime();
    return new Model(runtime, await blob("model"), await blob("tail"));
  }

  // Opens the model on the first provider on which `check(provider)` returns "", see startRuntime.
  async open(check) {
    const opened = await this.runtime.open(this.bytes, (session, provider) => {
      this.session = session;
      return check(provider);
    });
    this.session = opened.session;
    this.provider = opened.provider;
    return opened.refused;
  }

  // The outputs for feeds { name: { type, data, dims } }, by name: { type, numbers, dims }.
  run(feeds) {
    return this.queue.add(() => runSession(this.session, feeds));
  }

  // The tensors of these names for the same feeds, computed node by node, without optimizations.
  observe(feeds, names) {
    return this.queue.add(async () => {
      if (!this.observer) {
        const options = { executionProviders: ["wasm"], graphOptimizationLevel: "disabled" };
        this.observer = await this.runtime.ort.InferenceSession.create(joined(this.bytes, this.tail), options);
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
