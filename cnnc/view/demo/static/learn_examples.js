// Test examples with the answers of the network: right and wrong classes, or the output beside the example.

class Answers {
  constructor(section, page, columns, count, onchoose) {
    Object.assign(this, { page, columns, count });
    this.output = page.outputs.find((output) => output.kind === "classes") ?? page.outputs[0];
    this.target = page.fed.find((entry) => entry.output === this.output.name && entry.labels);
    const said = this.isClassifier ? "A green frame with ✓ is right; a red one with ✗ is wrong, with the true class in brackets." : "Choose an example to see the network’s output for it.";
    this.note = make("p", { class: "note" }, `${count} of the ${plural(page.counts.test, "test example")}. ${said}`);
    this.buttons = Array.from({ length: count }, (_, n) => {
      const words = make("span", {}, this.truth(n) ?? String(n + 1));
      const button = make("button", { type: "button", class: this.sentence(n) ? "example text" : "example", onclick: () => onchoose(n) }, ...this.pictureOf(n), words);
      button.words = words;
      return button;
    });
    this.detail = make("div", { class: "detail" });
    section.append(this.note, make("div", { class: "examples" }, ...this.buttons), this.detail);
  }

  get isClassifier() {
    return Boolean(this.target) && !this.target.shape.length;
  }

  row(name, n) {
    const { values, size, shape } = this.columns[name];
    return { values: values.subarray(n * size, (n + 1) * size), shape: shape.slice(1) };
  }

  sentence(n) {
    const input = this.page.inputs.find((entry) => entry.vocabulary.length);
    if (!input) return "";
    return [...this.row(input.name, n).values].map(Number).filter((word) => word > 1).map((word) => input.vocabulary[word - FIRST_WORD] ?? "").join(" ");
  }

  pictureOf(n) {
    const sentence = this.sentence(n);
    if (sentence) return [make("span", { class: "sentence" }, sentence)];
    const input = this.page.inputs.find((entry) => entry.isImage);
    if (!input) return [];
    const canvas = make("canvas", { "aria-hidden": "true" });
    const { values, shape } = this.row(input.name, n);
    drawPlanes(canvas, values, ...shape, ...(values instanceof Uint8Array ? [0, 255] : input.range));
    return [canvas];
  }

  className(index) {
    return this.output.classes[index] ?? String(index);
  }

  truth(n) {
    return this.isClassifier ? this.className(Number(this.row(this.target.name, n).values[0])) : null;
  }

  // Shows the outputs of the network for the examples.
  update(outputs) {
    this.outputs = outputs;
    if (this.isClassifier) this.buttons.forEach((button, n) => this.mark(button, n));
    this.showDetail();
  }

  mark(button, n) {
    const best = bestClass(this.outputs[this.output.name][n].numbers);
    const answer = best < 0 ? "no class" : this.className(best);
    const isRight = answer === this.truth(n);
    button.classList.toggle("right", isRight);
    button.classList.toggle("wrong", !isRight);
    button.words.textContent = isRight ? `✓ ${answer}` : `✗ ${answer} (${this.truth(n)})`;
    button.setAttribute("aria-label", `example ${n + 1}: ${isRight ? "right" : "wrong"}, ${answer}${isRight ? "" : `, is ${this.truth(n)}`}`);
  }

  choose(number) {
    this.chosen = number;
    this.buttons.forEach((one, i) => one.setAttribute("aria-pressed", String(i === number)));
    this.showDetail();
  }

  showDetail() {
    if (!this.outputs || this.chosen === undefined) return;
    const titled = (title, element, name = null) => make("div", { class: "output", "data-output": name }, make("h3", {}, title), element);
    const input = this.page.inputs.find((entry) => entry.isImage);
    const parts = input && this.chosenOutputs.some(([, { dims }]) => dims.length > 1) ? [titled(`Input ${input.name}`, this.imageOf(input))] : [];
    for (const [output, result] of this.chosenOutputs) {
      const target = this.page.fed.find((entry) => entry.output === output.name);
      parts.push(titled(`Output ${output.name}`, outputElement(output, result), output.name));
      if (target && !(target.labels && !target.shape.length)) parts.push(titled("Target", this.targetElement(output, result, target)));
    }
    this.detail.replaceChildren(make("p", { class: "note" }, `Example ${this.chosen + 1}`), make("div", { class: "row top" }, ...parts));
  }

  get chosenOutputs() {
    return this.page.outputs.map((output) => [output, this.outputs[output.name][this.chosen]]);
  }

  imageOf(input) {
    const { values, shape } = this.row(input.name, this.chosen);
    const isPixels = values instanceof Uint8Array;
    const unit = isPixels || (input.range[0] >= 0 && input.range[1] <= 1);
    return outputElement({ name: input.name, kind: "values", classes: [], isImage: unit }, { numbers: isPixels ? Float32Array.from(values, (value) => value / 255) : values, dims: shape });
  }

  // What the output is compared with, drawn as the output is: labels as a score of 1 for their class.
  targetElement(output, result, { name, labels }) {
    const { values } = this.row(name, this.chosen);
    const { size } = this.columns[name];
    if (!labels) return outputElement(output, { numbers: values instanceof Uint8Array ? Float32Array.from(values, (value) => value / 255) : values, dims: result.dims });
    const numbers = new Float32Array(result.numbers.length);
    values.forEach((label, i) => {
      if (label >= 0 && label < result.dims[0]) numbers[Number(label) * size + i] = 1;
    });
    return outputElement(output, { numbers, dims: result.dims });
  }
}
