// What is done with the model: in a worker, beside the page, or in the page where a browser gives it no worker.

class ModelTasks {
  // { version, providers } of the runtime. `bytes` is the model, `tail` what makes every layer's tensor an output behind it.
  async start({ bytes, tail }) {
    Object.assign(this, { bytes, tail });
    this.runtime = await startRuntime();
    return { version: this.runtime.version, providers: this.runtime.providers };
  }

  async open({ provider }) {
    await this.session?.release().catch(() => {}); // a lost device cannot release it
    this.session = null;
    this.session = (await this.runtime.open(this.bytes, undefined, [provider])).session;
  }

  // The outputs for feeds { name: { type, data, dims } }, by name: { type, data, dims }; and the milliseconds that it took.
  async run({ feeds }) {
    const began = performance.now();
    const tensors = await runSession(this.session, feeds);
    return { tensors, took: performance.now() - began };
  }

  // As `run`: the tensors of these names, computed node by node, without optimizations.
  async observe({ feeds, names }) {
    if (!this.observer) {
      const content = new Uint8Array(this.bytes.length + this.tail.length);
      content.set(this.bytes);
      content.set(this.tail, this.bytes.length);
      const options = { executionProviders: ["wasm"], graphOptimizationLevel: "disabled", logSeverityLevel: 3 };
      this.observer = await this.runtime.ort.InferenceSession.create(content, options);
    }
    const known = new Set(this.observer.outputNames);
    return { tensors: await runSession(this.observer, feeds, names.filter((name) => known.has(name))) };
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
    read[name] = { type: tensor.type, data, dims: [...tensor.dims] };
  }
  return read;
}
