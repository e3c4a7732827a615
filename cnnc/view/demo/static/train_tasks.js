// What is done in training: in a worker, beside the page, or in the page where a browser gives it no worker. Work is done one
// after the other, in slices, between which requests are answered. `tell` receives each slice and score:
// { kind: "steps", ... }, { kind: "score", result }, { kind: "paused", reason }.

const SLICE = 60; // milliseconds of steps before the next request
const LEAST_PAUSE = 2000; // milliseconds between two scores
const SHARE = 8; // training takes at least this many times as long as scoring

class TrainingTasks {
  constructor(tell) {
    this.tell = tell;
    this.queue = new Queue();
    this.isRunning = false;
    this.scored = { ended: 0, took: 0, steps: -1 };
  }

  // Opens the graphs; { provider, refused, version, deviation } of the loss of the first batch.
  async start({ models, facts, columns, initial, rates, check, shown }) {
    const runtime = await startRuntime();
    let deviation = 0;
    const step = await runtime.open(models.step, async (session, provider) => {
      const candidate = new Trainer({ step: session }, facts, columns, initial, rates);
      deviation = Math.abs((await candidate.step(check.seed)).loss - check.loss);
      return deviation <= 1e-3 * Math.max(1, Math.abs(check.loss)) || provider === "wasm" ? "" : `its first loss deviates by ${deviation.toExponential(0)}`;
    });
    const score = await runtime.open(models.score, undefined, [...new Set([step.provider, "wasm"])]);
    const observe = await runtime.open(models.observe, undefined, ["wasm"]);
    this.trainer = new Trainer({ step: step.session, score: score.session, observe: observe.session }, facts, columns, initial, rates);
    this.shown = shown;
    return { provider: step.provider, refused: step.refused, version: runtime.version, deviation };
  }

  train() {
    if (this.isRunning) return;
    this.isRunning = true;
    this.loop();
  }

  // Ends the training at once; the answer comes when the steps under way are done.
  pause() {
    this.isRunning = false;
    return this.queue.add(() => null);
  }

  step() {
    return this.queue.add(async () => {
      await this.slice(0);
      await this.scoreNow();
    });
  }

  reset() {
    return this.queue.add(() => {
      this.trainer.reset();
      return this.scoreAnew();
    });
  }

  set(settings) {
    return this.queue.add(() => void Object.assign(this.trainer.settings, settings));
  }

  score() {
    return this.queue.add(() => this.scoreNow());
  }

  // { layers, kernel }: every layer's output for a test example, and an array.
  observe({ example, kernel }) {
    return this.queue.add(async () => ({ layers: await this.trainer.observe(example), kernel: kernel && (await this.trainer.array(kernel)) }));
  }

  // All arrays, and the place in training.
  arrays() {
    return this.queue.add(async () => ({ arrays: await this.trainer.arrays(), ...this.place }));
  }

  load({ arrays, epoch, at, steps }) {
    return this.queue.add(() => {
      this.trainer.load(arrays, { epoch, at, steps });
      return this.scoreAnew();
    });
  }

  get place() {
    const { epoch, at, steps, sums } = this.trainer;
    return { epoch, at, steps, sums: { ...sums } };
  }

  // Steps for some milliseconds, at least one; returns whether an epoch ended, which ends a slice.
  async slice(milliseconds) {
    const began = performance.now();
    const before = this.trainer.epoch;
    const done = [];
    let examples = 0;
    do {
      const { loss, metrics, rate, examples: count } = await this.trainer.step();
      done.push({ loss, metrics, rate });
      examples += count;
    } while (performance.now() - began < milliseconds && this.trainer.epoch === before);
    this.tell({ kind: "steps", done, examples, took: performance.now() - began, position: this.trainer.position, ...this.place });
    return this.trainer.epoch > before;
  }

  scoreAnew() {
    this.scored.steps = -1;
    return this.scoreNow();
  }

  async scoreNow() {
    if (this.scored.steps === this.trainer.steps) return;
    const began = performance.now();
    const result = await this.trainer.score(this.shown);
    this.scored = { ended: performance.now(), took: performance.now() - began, steps: this.trainer.steps };
    this.tell({ kind: "score", result });
  }

  async loop() {
    let reason = "";
    try {
      while (this.isRunning) {
        await this.queue.add(async () => {
          if (!this.isRunning) return;
          const hasEnded = await this.slice(SLICE);
          const isOver = hasEnded && this.trainer.epoch === this.trainer.settings.epochs;
          const since = performance.now() - this.scored.ended;
          if (isOver || since > Math.max(hasEnded ? 0 : LEAST_PAUSE, SHARE * this.scored.took)) await this.scoreNow();
          if (isOver) this.isRunning = false;
          if (isOver) reason = "over";
        });
        await nextTask();
      }
      await this.queue.add(() => this.scoreNow());
    } catch (error) {
      this.isRunning = false;
      reason = String(error?.message ?? error);
    }
    this.tell({ kind: "paused", reason });
  }
}

// Lets messages and clicks in.
const channel = new MessageChannel();
const nextTask = () => new Promise((resolve) => {
  channel.port1.onmessage = resolve;
  channel.port2.postMessage(null);
});
