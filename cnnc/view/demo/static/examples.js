// Examples of the test set: buttons that show them, and the check of this page against what onnxruntime gave for them.

class Examples {
  constructor(data, bytes, page) {
    this.page = page;
    this.count = data.count;
    this.names = data.names;
    this.inputs = data.inputs.map((entry) => this.column(entry, bytes));
    this.outputs = Object.fromEntries(data.outputs.map((entry) => [entry.name, this.column(entry, bytes)]));
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

  // Runs all examples: { deviation, relative, wrong }: the largest deviation of any output, and classes that differ.
  async check(model, outputs, onprogress) {
    let deviation = 0;
    let relative = 0;
    let wrong = 0;
    for (let number = 0; number < this.count; number++) {
      onprogress(number);
      const feeds = Object.fromEntries(this.page.inputs.map((input, i) => {
        const { values, shape, dtype } = this.inputs[i][number];
        return [input.name, feedOf(values, shape, dtype === "uint8", input)];
      }));
      const results = await model.run(feeds);
      for (const output of outputs) {
        const stored = this.outputs[output.name]?.[number];
        const result = results[output.name] && firstExample(results[output.name], this.page.batch);
        if (!stored) continue;
        if (!result || result.numbers.length !== stored.values.length) throw new Error(`the output ${output.name} has another shape than in onnxruntime`);
        const scale = Math.max(1, largestOf(stored.values));
        stored.values.forEach((value, i) => {
          const distance = Number.isFinite(value) ? Math.abs(result.numbers[i] - value) : Object.is(result.numbers[i], value) ? 0 : NaN;
          if (!(distance <= deviation)) deviation = distance;
          if (!(distance / scale <= relative)) relative = distance / scale;
        });
        if (output.kind === "classes" && bestClass(result.numbers) !== bestClass(stored.values)) wrong += 1;
      }
    }
    return { deviation, relative, wrong };
  }

  // The buttons; `onchoose` receives the number of an example.
  show(section, onchoose) {
    const image = this.page.inputs.findIndex((input) => input.control === "image");
    const words = this.page.inputs.findIndex((input) => input.control === "text");
    this.buttons = this.inputs[0].map((_, number) => {
      const label = this.names[number] || `example ${number + 1}`;
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
    this.buttons.forEach((one, i) => one.setAttribute("aria-pressed", String(i === number)));
  }
}

function checkText(count, { deviation, wrong }) {
  const examples = plural(count, "example");
  if (Number.isNaN(deviation)) return `${examples}, some outputs are not finite`;
  const size = deviation === 0 ? "no deviation" : `largest deviation ${deviation.toExponential(0)}`;
  return wrong ? `${examples}, ${size}, another class for ${wrong}` : `${examples}, ${size}`;
}
