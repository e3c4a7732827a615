// The page: loads the model, checks it on the examples, and runs it whenever the input changes.

const page = JSON.parse(byId("data").textContent);
const status = byId("status");
const PATIENCE = 2000; // milliseconds of checking before the page can be used
const SLOW = 1500; // milliseconds of a run, from which on nothing runs that was not asked for

async function start() {
  choosePalette(page.colours);
  darkMode.addEventListener("change", () => choosePalette(page.colours));
  const began = performance.now();
  const model = await Model.load();
  const examples = page.examples ? new Examples(page.examples, await blob("examples"), page) : null;
  const notes = await openModelAndCheck(model, examples);
  const demo = new Demo(model, examples, notes);
  demo.loaded = `Loaded in ${((performance.now() - began) / 1000).toFixed(1)} s`;
  await demo.begin();
}

// WebGPU where the browser has it and it agrees with the first examples, else wasm. Returns why a provider was not taken.
async function openModelAndCheck(model, examples) {
  const refused = await model.open(async (provider) => {
    if (!examples) return "";
    examples.reset();
    const end = performance.now() + PATIENCE;
    status.textContent = "Checking the examples …";
    await examples.check(model, page.outputs, () => performance.now() > end);
    return examples.agrees || provider === "wasm" ? "" : `its results deviate by ${examples.found.deviation.toExponential(0)}`;
  });
  return refused.map(({ provider, problem }) => `Not on ${provider === "webgpu" ? "WebGPU" : provider}: ${problem}.`);
}

class Demo {
  constructor(model, examples, notes) {
    this.model = model;
    this.examples = examples;
    this.notes = notes;
    for (const name of ["inputs", "outputs", "layers"]) byId(name).hidden = false;
    this.live = make("p", { class: "answer", "aria-live": "polite" });
    this.shown = make("div");
    this.truth = make("p", { class: "note" });
    byId("outputs").append(this.live, this.shown, this.truth);
    this.inputs = new Inputs(byId("inputs"), page.inputs, () => this.changed());
    const inputs = page.inputs.map((input) => ({ name: input.name, operator: "input", line: input.line, inputs: [], constants: [], attributes: {}, parameters: 0, products: 0 }));
    this.offer = button("Compute the layers for this input", () => this.observe(), { hidden: true });
    this.problem = make("p", { role: "status" });
    byId("layers").append(this.offer, this.problem);
    this.layers = new Layers(byId("layers"), page.layers, inputs, { note: page.layersNote }, (layer, index) => this.pick(layer, index));
    this.unit = new Unit(this.layers);
    this.names = page.layers.filter((layer) => layer.shown || layer.products).map((layer) => layer.name);
    this.picked = null;
    this.chosen = null; // the example that is being loaded
  }

  async begin() {
    if (this.examples) {
      byId("examples").hidden = false;
      this.examples.show(byId("examples"), (number) => this.load(number));
      await this.load(0);
      while (this.examples.found.checked < this.examples.count && this.took < SLOW) {
        const { checked } = this.examples.found;
        await this.examples.check(this.model, page.outputs, () => this.busy || this.examples.found.checked > checked);
        this.showStatus();
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    } else await this.changed();
  }

  async load(number) {
    this.loading = true;
    this.inputs.load(this.examples.arrays(number));
    this.chosen = number;
    this.loading = false;
    await this.changed();
  }

  // Runs the model, once more if the input changed meanwhile.
  async changed() {
    if (this.loading) return;
    this.examples?.choose(this.chosen ?? -1);
    const name = this.examples?.names[this.chosen ?? -1];
    this.truth.textContent = name ? `The true class of this example is ${name}.` : "";
    this.chosen = null;
    this.dirty = true;
    if (this.busy) return;
    this.busy = true;
    document.body.setAttribute("aria-busy", "true");
    while (this.dirty) {
      this.dirty = false;
      try {
        await this.run();
      } catch (error) {
        this.live.textContent = error.message ?? String(error);
        this.shown.replaceChildren();
      }
      await new Promise((resolve) => setTimeout(resolve));
    }
    this.busy = false;
    document.body.removeAttribute("aria-busy");
    document.body.dataset.runs = String(Number(document.body.dataset.runs ?? 0) + 1);
  }

  async run() {
    const feeds = this.inputs.feeds();
    const results = await this.model.run(feeds);
    const { took } = this.model;
    this.results = {};
    for (const [name, result] of Object.entries(results)) this.results[name] = firstExample(result, page.batch);
    this.show(took);
    this.feeds = feeds;
    this.offer.hidden = took < SLOW;
    this.layers.fade(took >= SLOW);
    if (!this.dirty && took < SLOW) await this.observe();
  }

  // Shows the tensors of the layers, or why they cannot be shown; the outputs stand in any case.
  async observe() {
    try {
      await this.showLayers();
      this.offer.hidden = true;
      this.problem.textContent = "";
    } catch (error) {
      this.problem.textContent = `The layers cannot be shown: ${error.message ?? error}`;
    }
  }

  show(took) {
    const said = page.outputs.map((output) => [output, this.results[output.name]]);
    this.live.textContent = said.map(([output, result]) => `${said.length > 1 ? `${output.name}: ` : ""}${outputSummary(output, result)}`).join("; ");
    this.live.classList.toggle("minor", said.length > 1 || !said.some(([output, result]) => isScores(output, result)));
    this.shown.replaceChildren(...said.map(([output, result]) => make("div", { class: "output", "data-output": output.name }, said.length > 1 ? make("h3", {}, output.name) : null, outputElement(output, result))));
    this.took = took;
    this.showStatus();
  }

  // Which runtime computes, what the check says, and how long things took.
  showStatus() {
    const provider = this.model.provider === "webgpu" ? "WebGPU" : "wasm";
    const check = this.examples ? this.examples.said : "nothing to check against";
    const time = this.took === undefined ? "" : `, ${this.took < 1 ? "less than 1" : Math.round(this.took)} ms for this input`;
    status.textContent = [`onnxruntime-web ${this.model.version} on ${provider}: ${check}.`, ...this.notes, `${this.loaded}${time}.`].join(" ");
    status.classList.toggle("bad", Boolean(this.examples) && !this.examples.agrees);
    if (this.examples) Object.assign(status.dataset, this.examples.found);
  }

  // The tensors of the layers, from the second session.
  async showLayers() {
    const { feeds } = this;
    const tensors = await this.model.observe(feeds, this.names);
    const results = { ...this.results };
    for (const [name, tensor] of Object.entries(tensors)) results[name] = firstExample(tensor, page.batch);
    for (const [name, feed] of Object.entries(feeds)) results[name] = firstExample({ numbers: tensorNumbers(feed), dims: feed.dims }, page.batch);
    this.layers.update(results);
    this.layers.fade(false);
    if (this.picked) await this.showUnit();
  }

  async pick(layer, index) {
    this.picked = { layer, index };
    await this.showUnit();
  }

  async showUnit() {
    const { picked } = this;
    const { layer } = picked;
    const stored = this.layers.results[layer.name];
    if (!stored) return;
    const index = picked.index.length === stored.dims.length ? picked.index.map((n, i) => Math.min(n, stored.dims[i] - 1)) : stored.dims.map(() => 0);
    const wanted = layer.inputs.filter((name) => name && !this.feeds[name]);
    const tensors = wanted.length ? await this.model.observe(this.feeds, wanted) : {};
    if (this.picked !== picked) return; // another one was chosen meanwhile
    for (const [name, tensor] of Object.entries(tensors)) if (!layer.constants.includes(name)) tensors[name] = firstExample(tensor, page.batch);
    for (const name of layer.inputs) if (this.feeds[name]) tensors[name] = this.layers.results[name];
    layer.dims = stored.dims;
    this.unit.show(layer, index, tensors, stored);
  }
}

start().catch((error) => {
  status.classList.add("bad");
  status.textContent = `The model does not run in this browser: ${error.message ?? error}`;
});
