// Examples of the test set: buttons that show them, and the check of this page against what onnxruntime gave for them.

const AGREES = 1e-3; // of the largest number of an output, at least 1

class Examples {
  constructor(data, bytes, page) {
    this.page = page;
    this.count = data.count;
    this.names = data.names;
    this.inputs = data.inputs.map((entry) => this.column(entry, bytes));
    this.outputs = Object.fromEntries(data.outputs.map((entry) => [entry.name, this.column(entry, bytes)]));
    this.reset();
  }

  // The rows of an array (N, ...).
  column(entry, bytes) {
    const values = arrayIn(bytes, entry);
    const shape = entry.shape.slice(1);
    const size = volume(shape);
    const numbers = entry.dtype === "float16" ? Float32Array.from(values, halfToNumber) : entry.dtype.endsWith("int64") ? Float64Array.from(values, Number) : values;
    return Array.from({ length: this.count }, (_, n) => ({ dtype: entry.dtype, shape, values: numbers.slice(n * size, (n + 1) * size) }));
  }

  arrays(number) {
    return this.inputs.map((column) => column[number]);
  }

  // Starts the check anew: what is known after `checked` examples.
  reset() {
    this.found = { checked: 0, deviation: 0, relative: 0, wrong: 0 };
  }

  // Runs the examples that are not checked yet, until all are or `isOver()` is true.
  async check(model, outputs, isOver) {
    while (this.found.checked < this.count && !isOver()) {
      await this.checkOne(model, outputs, this.found.checked);
      this.found.checked += 1;
    }
  }

  async checkOne(model, outputs, number) {
    const feeds = this.page.inputs.map((input, i) => {
      const { values, shape, dtype } = this.inputs[i][number];
      return [input.name, feedOf(values, shape, dtype === "uint8", input)];
    });
    const results = await model.run(Object.fromEntries(feeds));
    for (const output of outputs) {
      const stored = this.outputs[output.name]?.[number];
      if (!stored) continue;
      const { numbers } = firstExample(results[output.name], this.page.batch);
      if (numbers.length !== stored.values.length) throw new Error(`the output ${output.name} has another shape than in onnxruntime`);
      const scale = Math.max(1, largestOf(stored.values));
      stored.values.forEach((value, i) => {
        const distance = Object.is(numbers[i], value) ? 0 : Math.abs(numbers[i] - value);
        if (!(distance <= this.found.deviation)) this.found.deviation = distance; // NaN too
        if (!(distance / scale <= this.found.relative)) this.found.relative = distance / scale;
      });
      if (output.kind === "classes" && bestClass(numbers) !== bestClass(stored.values)) this.found.wrong += 1;
    }
  }

  // Whether the outputs agree with those of onnxruntime, as far as they are checked.
  get agrees() {
    return this.found.relative <= AGREES && !this.found.wrong;
  }

  get said() {
    const { checked, deviation, wrong } = this.found;
    const all = plural(this.count, this.page.examples.random ? "random input" : "example");
    const some = checked < this.count ? `${checked} of ${all}` : all;
    if (Number.isNaN(deviation)) return `${some}, some outputs are not finite as in onnxruntime`;
    const size = deviation === 0 ? "no deviation" : `largest deviation ${deviation.toExponential(0)}`;
    return wrong ? `${some}, ${size}, another class for ${wrong}` : `${some}, ${size}`;
  }

  // The buttons; `onchoose` receives the number of an example.
  show(section, onchoose) {
    const image = this.page.inputs.findIndex((input) => input.control === "image");
    const words = this.page.inputs.findIndex((input) => input.control === "text");
    this.buttons = this.inputs[0].map((_, number) => {
      const label = this.names[number] || String(number + 1);
      const parts = [];
      if (image >= 0) {
        const { values, shape, dtype } = this.inputs[image][number];
        const canvas = make("canvas", { "aria-hidden": "true" });
        drawPlanes(canvas, values, ...shape, ...(dtype === "uint8" ? [0, 255] : this.page.inputs[image].range ?? rangeOf(values)));
        parts.push(canvas);
      }
      const sentence = words >= 0 ? [...this.inputs[words][number].values].filter((n) => n > 1).map((n) => this.page.inputs[words].vocabulary[n - FIRST_WORD] ?? "").join(" ") : "";
      if (sentence) parts.push(make("span", { class: "sentence" }, sentence));
      parts.push(make("span", {}, this.names[number] || String(number + 1)));
      return make("button", { type: "button", class: sentence ? "example text" : "example", "aria-label": `example ${number + 1}${this.names[number] ? `, ${label}` : ""}`, onclick: () => onchoose(number) }, ...parts);
    });
    section.append(make("p", { class: "note" }, this.page.examples.note), make("div", { class: "examples" }, ...this.buttons));
  }

  choose(number) {
    this.buttons?.forEach((one, i) => one.setAttribute("aria-pressed", String(i === number)));
  }
}
