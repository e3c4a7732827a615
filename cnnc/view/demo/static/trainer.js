// The training: arrays that the step graph replaces at each step, the order of the examples, and what is measured.
//
// `facts` are those of the property cnnc.training of the step graph: names of inputs, outputs and arrays, and the recipe.

const SCORED = 256; // examples of a batch when the network is scored, at most

class Trainer {
  // `sessions` are { step, score, observe }; `columns` are { train, test }, each { name of an input: column };
  // `initial` are the arrays by name, `rates` the learning rate of each step of the recipe.
  constructor(sessions, facts, columns, initial, rates) {
    this.sessions = sessions;
    this.facts = facts;
    this.columns = columns;
    this.initial = initial;
    this.rates = rates;
    this.entries = [...facts.weights, ...facts.slots];
    this.count = countOf(columns.train);
    this.recipe = { rate: facts.recipe.learning_rate, batch: facts.recipe.batch, epochs: facts.recipe.epochs, scheduled: true };
    this.settings = { ...this.recipe };
    this.reset();
  }

  reset() {
    this.state = {};
    for (const { name, shape } of this.entries) this.state[name] = new ort.Tensor("float32", this.initial[name].slice(), shape);
    this.move(0, 0, this.facts.start);
  }

  // Goes to an example of an epoch, with so many steps done.
  move(epoch, at, steps) {
    Object.assign(this, { epoch, at, steps, seen: 0, sums: { loss: 0, examples: 0 } });
    this.order = orderOf(this.count, this.facts.recipe.seed, epoch);
  }

  get position() {
    return this.epoch + this.at / this.count;
  }

  // The learning rate of the next step; behind the end of the recipe that of its last.
  get rate() {
    const { rate, scheduled } = this.settings;
    if (!scheduled) return rate;
    const perEpoch = this.rates.length / this.recipe.epochs;
    const index = this.epoch * perEpoch + Math.floor((this.at * perEpoch) / this.count);
    const planned = this.rates[Math.min(index, this.rates.length - 1)];
    return rate === this.recipe.rate ? planned : (planned / this.recipe.rate) * rate;
  }

  feeds(session, columns, rows, others = {}) {
    const feeds = {};
    for (const name of session.inputNames) {
      if (name in others) feeds[name] = others[name];
      else if (name in this.state) feeds[name] = this.state[name];
      else {
        const input = this.facts.fed.find((entry) => entry.name === name);
        feeds[name] = new ort.Tensor(input.dtype, rowsOf(columns[name], rows, input.dtype), [rows.length, ...input.shape]);
      }
    }
    return feeds;
  }

  // One step, with random numbers from a seed: { loss, metrics: { name: value }, rate, examples }. Where the loss is not finite, nothing changes.
  async step(seed = mixed(this.facts.recipe.seed, this.steps)) {
    const { facts, rate } = this;
    const rows = [...this.order.subarray(this.at, this.at + this.settings.batch)];
    const others = { [facts.learning_rate]: new ort.Tensor("float32", Float32Array.of(rate), []) };
    if (facts.counter) others[facts.counter] = new ort.Tensor("int64", BigInt64Array.of(BigInt(this.steps + 1)), []);
    if (facts.seed) others[facts.seed] = new ort.Tensor("int32", Int32Array.of(seed), []);
    const results = await this.sessions.step.run(this.feeds(this.sessions.step, this.columns.train, rows, others));
    const loss = (await dataOf(results[facts.loss]))[0];
    if (!Number.isFinite(loss)) throw new Error(`the loss of step ${this.steps + 1} is not a finite number: choose a smaller learning rate, and start again`);
    for (const { name, new: result } of this.entries) if (result) this.state[name] = results[result];
    const metrics = {};
    for (const [name, { sum, count }] of Object.entries(facts.metrics)) metrics[name] = metricValue(name, numbersOf(await dataOf(results[sum])), Number((await dataOf(results[count]))[0]));
    this.steps += 1;
    this.seen += rows.length;
    this.sums.loss += loss * rows.length;
    this.sums.examples += rows.length;
    this.at += rows.length;
    if (this.at >= this.count) this.move(this.epoch + 1, 0, this.steps);
    return { loss, metrics, rate, examples: rows.length };
  }

  // Loss and metrics on the test examples, and the outputs for the first `shown` of them.
  async score(shown) {
    const { facts } = this;
    const total = countOf(this.columns.test);
    const sums = {};
    const outputs = Object.fromEntries(facts.outputs.map(({ name }) => [name, []]));
    let loss = 0;
    for (let start = 0; start < total; start += SCORED) {
      const rows = Array.from({ length: Math.min(SCORED, total - start) }, (_, i) => start + i);
      const results = await this.sessions.score.run(this.feeds(this.sessions.score, this.columns.test, rows));
      loss += (await dataOf(results[facts.loss]))[0] * rows.length;
      for (const [name, { sum, count }] of Object.entries(facts.metrics)) {
        const numbers = numbersOf(await dataOf(results[sum]));
        const old = sums[name] ?? { sum: numbers.map(() => 0), count: 0 };
        sums[name] = { sum: old.sum.map((n, i) => n + numbers[i]), count: old.count + Number((await dataOf(results[count]))[0]) };
      }
      for (const { name } of facts.outputs) {
        const tensor = results[name];
        const size = tensor.dims.slice(1).reduce((a, b) => a * b, 1);
        const data = await dataOf(tensor);
        for (let i = 0; i < rows.length && start + i < shown; i++) outputs[name].push({ numbers: data.slice(i * size, (i + 1) * size), dims: tensor.dims.slice(1) });
      }
    }
    const metrics = Object.fromEntries(Object.entries(sums).map(([name, { sum, count }]) => [name, metricValue(name, sum, count)]));
    return { loss: loss / total, metrics, outputs, total, epoch: this.position, steps: this.steps };
  }

  // Every layer's output for one test example, by name: { numbers, dims }.
  async observe(example) {
    const results = await this.sessions.observe.run(this.feeds(this.sessions.observe, this.columns.test, [example]));
    const layers = {};
    for (const [name, tensor] of Object.entries(results)) layers[name] = { numbers: (await dataOf(tensor)).slice(), dims: tensor.dims.slice(1) };
    return layers;
  }

  // A copy of an array.
  async array(name) {
    return (await dataOf(this.state[name])).slice();
  }

  // Copies of all arrays, by name.
  async arrays() {
    const copies = {};
    for (const { name } of this.entries) copies[name] = await this.array(name);
    return copies;
  }

  load(arrays, { epoch, at, steps }) {
    for (const { name, shape } of this.entries) this.state[name] = new ort.Tensor("float32", arrays[name] ?? new Float32Array(this.initial[name].length), shape);
    this.move(epoch, at, steps);
  }
}

const countOf = (columns) => Object.values(columns)[0].shape[0];
const dataOf = (tensor) => (tensor.location === "cpu" ? tensor.data : tensor.getData());
const numbersOf = (data) => Array.from(data, Number);

// The order of the examples in an epoch. In the first they come as they are stored, which is the order of cnnc train.
function orderOf(count, seed, epoch) {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  if (!epoch) return order;
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(((mixed(seed ^ Math.imul(epoch, 0x9e3779b1), i) >>> 0) / 2 ** 32) * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

// A number of 32 bits that is different for each pair of integers: the finalizer of MurmurHash3.
function mixed(seed, number) {
  let h = Math.imul(seed ^ 0x5bd1e995, 0x85ebca6b) + Math.imul(number + 1, 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
