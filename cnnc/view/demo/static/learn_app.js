// The page that trains: controls, curves, kernels, feature maps and test examples around the tasks that compute.

const page = JSON.parse(byId("data").textContent);
const status = byId("status");
const EVERY = 1000; // milliseconds between two looks at kernels and feature maps while training runs

async function begin() {
  choosePalette(page.colours);
  darkMode.addEventListener("change", () => choosePalette(page.colours));
  const began = performance.now();
  const columns = { train: await columnsOf("train"), test: await columnsOf("test") };
  const [step, score, observe, arrays, rates] = await Promise.all(["step", "score", "observe", "arrays", "rates"].map(blob));
  const learn = new Learn(columns.test);
  const content = { models: { step, score, observe }, facts: { ...page.training, fed: page.fed, outputs: page.outputs }, columns, initial: initialArrays(arrays), rates: new Float32Array(rates.buffer), check: page.check, shown: learn.shown };
  status.textContent = "Starting the runtime …";
  const [call, started] = await startTasks(content, (tell) => new TrainingTasks(tell), (event) => learn[event.kind](event));
  learn.call = call;
  await learn.opened(started, performance.now() - began);
}

async function columnsOf(split) {
  const decoded = await Promise.all(page.columns[split].map(async (entry, i) => [entry.name, await decodeColumn(entry, await blob(`${split}-${i}`))]));
  return Object.fromEntries(decoded);
}

// The arrays to begin with, by name; slots of which the page holds none are zeros.
function initialArrays(bytes) {
  const arrays = {};
  for (const { name, shape } of [...page.training.weights, ...page.training.slots]) {
    const entry = page.arrays[name];
    arrays[name] = entry === undefined ? new Float32Array(volume(shape)) : arrayIn(bytes, { dtype: "float32", shape, offset: entry });
  }
  return arrays;
}

class Learn {
  constructor(test) {
    this.test = test;
    this.shown = page.counts.shown;
    this.isRunning = false;
    this.example = 0;
    this.metric = page.metric;
    this.speeds = [];
  }

  opened({ provider, refused, version, deviation }, took) {
    this.provider = provider;
    const name = provider === "webgpu" ? "WebGPU" : "wasm";
    const notes = refused.map((entry) => ` Not on WebGPU: ${entry.problem}.`).join("");
    this.loaded = `onnxruntime-web ${version} on ${name}; the loss of the first batch agrees with onnxruntime (deviation ${deviation.toExponential(0)}); loaded in ${(took / 1000).toFixed(1)} s.${notes}`;
    status.dataset.deviation = deviation;
    status.dataset.provider = provider;
    if (!(deviation <= 1e-3 * Math.max(1, Math.abs(page.check.loss)))) {
      status.classList.add("bad");
      this.loaded = `onnxruntime-web ${version} on ${name}: the loss of the first batch is not that of onnxruntime (deviation ${deviation.toExponential(1)}); what this page shows may be wrong.${notes}`;
    }
    for (const id of ["training", "curves", "answers", "maps", "weights"]) byId(id).hidden = false;
    this.controls(byId("training"));
    this.charts(byId("curves"));
    this.answers = new Answers(byId("answers"), page, this.test, this.shown, (n) => this.choose(n));
    if (page.kernel) this.kernels = new Kernels(byId("kernels"), page.kernel);
    byId("maps").append(make("p", { class: "note" }, "Each layer’s output for the chosen test example: orange is positive, blue negative, the background 0."));
    this.layers = new WatchedLayers(byId("maps"), page.layers);
    this.files(byId("weights"));
    this.say("Ready.");
    this.answers.choose(0);
    return this.call("score").then(() => this.look());
  }

  // Says what happened; only here, so that a screen reader is not interrupted at each step.
  say(what) {
    status.textContent = `${what} ${this.loaded}`;
  }

  controls(section) {
    const { recipe } = page.training;
    this.run = button("Start", () => this.toggle(), { class: "main" });
    this.one = button("Step", () => this.ask("step"));
    this.again = button("Reset", () => this.restart());
    this.rateBox = make("input", { type: "number", min: 0, step: "any", value: recipe.learning_rate });
    this.batchBox = make("input", { type: "number", min: 1, max: page.counts.train, step: 1, value: recipe.batch });
    this.epochsBox = make("input", { type: "number", min: 1, step: 1, value: recipe.epochs });
    const schedule = checkbox(page.schedule ? `schedule ${page.schedule}` : "", true, () => this.set());
    this.schedule = schedule.control;
    for (const box of [this.rateBox, this.batchBox, this.epochsBox]) box.addEventListener("change", () => this.set());
    this.warning = make("p", { class: "warning", role: "alert" });
    this.place = make("p", { class: "place" });
    section.append(
      make("div", { class: "tools", role: "group", "aria-label": "training" }, this.run, this.one, this.again),
      make("div", { class: "tools" }, field("Learning rate", this.rateBox), page.schedule ? schedule.element : null, field("Batch size", this.batchBox), field("Epochs", this.epochsBox)),
      this.warning,
      this.place,
      make("p", { class: "note" }, page.recipeText),
    );
    this.showPlace({ epoch: 0, at: 0, steps: page.training.start });
  }

  charts(section) {
    this.loss = new Curve("Loss", (value) => numberText(Number(value.toPrecision(3))), numberText);
    this.quality = new Curve(metricTitle(this.metric), (value) => metricText(this.metric, value), (value) => metricTick(this.metric, value), isShare(this.metric) ? 0 : null, isShare(this.metric) ? 1 : null);
    this.rows = make("tbody");
    const head = make("tr", {}, ...["step", "epoch", "test loss", ...Object.keys(page.training.metrics).map((name) => `test ${name}`)].map((text) => make("th", { scope: "col", class: "right" }, text)));
    section.append(make("div", { class: "charts" }, this.loss.element, this.quality.element), make("details", {}, make("summary", {}, "Measured on the test examples"), make("div", { class: "table", tabindex: 0, role: "group", "aria-label": "measurements" }, make("table", {}, make("thead", {}, head), this.rows))));
  }

  files(section) {
    this.message = make("p", { role: "status" });
    const upload = fileButton("Load weights …", ".safetensors", (file) => this.load(file));
    section.append(make("div", { class: "tools" }, button("Save weights", () => this.save()), upload), make("p", { class: "note" }, `${page.file}: a checkpoint that \`cnnc export\`, \`cnnc eval\` and \`cnnc demo\` read. A checkpoint of this network, also one of \`cnnc train\`, can be loaded.`), this.message);
  }

  // Does a task, and shows its error.
  async ask(action, value) {
    this.warning.textContent = "";
    try {
      const result = await this.call(action, value);
      if (!this.isRunning) await this.look();
      return result;
    } catch (error) {
      this.warning.textContent = error.message;
      return null;
    }
  }

  async toggle() {
    if (this.isRunning) {
      await this.call("pause");
      return;
    }
    this.isRunning = true;
    this.speeds = [];
    this.showRunning();
    this.say("Training.");
    await this.ask("train");
    this.follow();
  }

  showRunning() {
    this.run.textContent = this.isRunning ? "Pause" : "Start";
    this.one.disabled = this.isRunning;
    document.body.dataset.running = String(this.isRunning);
  }

  // Ends the training, and clears what was measured.
  async halt() {
    this.isRunning = false;
    this.showRunning();
    await this.call("pause");
    for (const curve of [this.loss, this.quality]) curve.clear();
    this.rows.replaceChildren();
    this.speeds = [];
  }

  async restart() {
    await this.halt();
    await this.ask("reset");
    this.showPlace({ epoch: 0, at: 0, steps: page.training.start });
    this.say("Back at the first step.");
  }

  set() {
    const { recipe } = page.training;
    const legal = (box, usual, isWhole, most) => {
      const value = Number(box.value);
      const isLegal = box.value.trim() && Number.isFinite(value) && (isWhole ? value >= 1 : value >= 0);
      box.value = isLegal ? Math.min(isWhole ? Math.round(value) : value, most) : usual;
      return Number(box.value);
    };
    const rate = legal(this.rateBox, recipe.learning_rate, false, Infinity);
    const batch = legal(this.batchBox, recipe.batch, true, page.counts.train);
    const epochs = legal(this.epochsBox, recipe.epochs, true, 1e6);
    return this.ask("set", { rate, batch, epochs, scheduled: this.schedule.checked });
  }

  // --- what the tasks tell

  steps({ done, examples, took, epoch, at, steps, position }) {
    done.forEach(({ loss, metrics }, i) => {
      const x = position - ((done.length - 1 - i) * (examples / done.length)) / page.counts.train;
      this.loss.addTrain(x, loss);
      this.quality.addTrain(x, metrics[this.metric] ?? NaN);
    });
    this.speeds = [...this.speeds, { examples, took }].slice(-30);
    const last = done[done.length - 1];
    this.showPlace({ epoch, at, steps, rate: last.rate, loss: last.loss });
    if (steps - page.training.start === done.length) status.dataset.first = done[0].loss;
  }

  showPlace({ epoch, at, steps, rate, loss }) {
    const sum = (key) => this.speeds.reduce((total, entry) => total + entry[key], 0);
    const speed = this.speeds.length ? (1000 * sum("examples")) / sum("took") : 0;
    const parts = [`epoch ${epoch + (at ? 1 : 0)} of ${this.epochsBox.value}`, plural(steps, "step")];
    if (at) parts.push(`${countText(at)} of ${countText(page.counts.train)} examples`);
    if (loss !== undefined) parts.push(`loss of the batch ${numberText(loss)}`, `learning rate ${numberText(rate)}`, `${countText(Math.round(speed))} examples per second`);
    this.place.textContent = parts.join(" · ");
    Object.assign(this.place.dataset, { steps, epoch, speed: Math.round(speed) });
  }

  score({ result }) {
    const { loss, metrics, outputs, epoch, steps } = result;
    this.loss.addTest(epoch, loss);
    this.quality.addTest(epoch, metrics[this.metric] ?? NaN);
    const cells = [countText(steps), epoch.toFixed(2), numberText(loss), ...Object.keys(page.training.metrics).map((name) => metricText(name, metrics[name]))];
    this.rows.prepend(make("tr", {}, ...cells.map((text) => make("td", { class: "right" }, text))));
    while (this.rows.children.length > 500) this.rows.lastChild.remove();
    this.answers.update(outputs);
    this.tested = `${this.metric} ${metricText(this.metric, metrics[this.metric] ?? NaN)} on ${plural(page.counts.test, "test example")}.`;
    Object.assign(byId("curves").dataset, { loss, metric: metrics[this.metric] ?? "", steps });
  }

  async paused({ reason }) {
    if (!this.isRunning) return; // another action ended it, and says so
    this.isRunning = false;
    this.showRunning();
    this.say(reason === "over" ? `All ${this.epochsBox.value} epochs are done: ${this.tested} Start trains on, at the last learning rate.` : `Paused: ${this.tested}`);
    if (reason && reason !== "over") this.warning.textContent = reason;
    await this.look();
  }

  // --- kernels and feature maps

  async follow() {
    while (this.isRunning) {
      await new Promise((resolve) => setTimeout(resolve, EVERY));
      if (this.isRunning && !document.hidden) await this.look();
    }
  }

  async look() {
    if (this.isLooking) return;
    this.isLooking = true;
    try {
      const { layers, kernel } = await this.call("observe", { example: this.example, kernel: page.kernel?.name });
      this.layers.update(layers);
      if (kernel) this.kernels.update(kernel);
    } catch (error) {
      this.warning.textContent = error.message;
    }
    this.isLooking = false;
    document.body.dataset.looks = String(Number(document.body.dataset.looks ?? 0) + 1);
  }

  async choose(number) {
    this.example = number;
    this.answers.choose(number);
    await this.look();
  }

  // --- files

  async save() {
    saveFile(page.file, checkpointOf(page, this.provider, await this.call("arrays")));
    this.message.textContent = `Saved as ${page.file}: ${this.tested}`;
  }

  async load(file) {
    try {
      const found = arraysOf(page, new Uint8Array(await file.arrayBuffer()));
      await this.halt();
      await this.ask("load", found);
      this.showPlace(found);
      this.message.textContent = `Loaded ${file.name}: ${this.tested}${found.withSlots || !page.training.slots.length ? "" : " It does not hold the state of the optimizer, which starts anew."}`;
    } catch (error) {
      this.message.textContent = `${file.name} was not loaded: ${error.message}.`;
    }
  }
}

begin().catch((error) => {
  status.classList.add("bad");
  status.textContent = `The network does not train in this browser: ${error.message ?? error}`;
});
