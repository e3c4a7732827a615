// The model on onnxruntime-web: one session runs it as exported, another has every layer's tensor as an output.

class Model {
  constructor(call) {
    this.call = call;
    this.queue = new Queue();
  }

  static async load() {
    const content = { bytes: await blob("model"), tail: await blob("tail") };
    const [call, started] = await startTasks(content, () => new ModelTasks());
    return Object.assign(new Model(call), started);
  }

  // Opens the model on the first provider that starts and on which `check(provider)` returns "", else what is wrong.
  // Returns { provider, problem } of those before it.
  async open(check) {
    const refused = [];
    for (const provider of this.providers) {
      let problem;
      try {
        await this.ask("open", { provider });
        this.provider = provider;
        problem = await check(provider);
      } catch (error) {
        problem = error.message ?? String(error);
      }
      if (!problem) return refused;
      refused.push({ provider, problem });
    }
    throw new Error(refused.map(({ problem }) => problem).join("; "));
  }

  // One task at a time, in their order.
  ask(task, content) {
    return this.queue.add(() => this.call(task, content));
  }

  // The outputs for feeds { name: { type, data, dims } }, by name: { numbers, dims }; `took` are the milliseconds.
  async run(feeds) {
    const { tensors, took } = await this.ask("run", { feeds });
    this.took = took;
    return withNumbers(tensors);
  }

  // The tensors of these names for the same feeds.
  async observe(feeds, names) {
    return withNumbers((await this.ask("observe", { feeds, names })).tensors);
  }
}

const withNumbers = (tensors) => Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, { numbers: tensorNumbers(tensor), dims: tensor.dims }]));

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
