// What the layers make of one test example, and the kernels of the first convolution, as they change in training.

class WatchedLayers {
  constructor(section, layers) {
    this.visible = new Set();
    this.results = {};
    this.cards = layers.map((layer, number) => {
      const maps = mapsElement({ name: layer.name, numbers: [], dims: [0] }, null);
      const card = make("section", { class: "card", "data-number": number }, make("h3", {}, layer.name), make("p", { class: "note" }, layer.line), maps.element);
      section.append(card);
      return { layer, maps, card };
    });
    const watch = new IntersectionObserver((entries) => entries.forEach((entry) => this.seen(Number(entry.target.dataset.number), entry.isIntersecting)), { rootMargin: "100px" });
    for (const { card } of this.cards) watch.observe(card);
  }

  seen(number, isVisible) {
    this.visible[isVisible ? "add" : "delete"](number);
    if (isVisible) this.draw(number);
  }

  update(results) {
    this.results = results;
    for (const number of this.visible) this.draw(number);
  }

  draw(number) {
    const { layer, maps } = this.cards[number];
    if (this.results[layer.name]) maps.update(this.results[layer.name]);
  }
}

// Kernels (O, C, h, w) as tiles: in colour where the input has three channels, else one tile for each kernel of each channel.
class Kernels {
  constructor(section, { name, shape, line }) {
    Object.assign(this, { name, shape });
    section.hidden = false;
    section.append(make("p", { class: "note" }, `${line} · ${shapeText(shape)}`));
    this.isColour = shape.length === 4 && shape[1] === 3;
    if (this.isColour) {
      this.canvases = Array.from({ length: shape[0] }, (_, i) => make("canvas", { class: "kernel", role: "img", "aria-label": `kernel ${i}` }));
      section.append(make("div", { class: "row kernels" }, ...this.canvases), make("p", { class: "note" }, "Each kernel in the colours of its three channels, from its least weight (black) to its largest."));
    } else {
      this.maps = mapsElement({ name, numbers: [], dims: [0] }, null);
      section.append(this.maps.element);
    }
  }

  update(numbers) {
    if (!this.isColour) {
      const [, , ...sizes] = this.shape;
      this.maps.update({ numbers, dims: sizes.length === 2 ? [this.shape[0] * this.shape[1], ...sizes] : [this.shape[0], volume(this.shape.slice(1))] });
      return;
    }
    const size = volume(this.shape.slice(1));
    this.canvases.forEach((canvas, i) => {
      const kernel = numbers.subarray(i * size, (i + 1) * size);
      const [low, high] = rangeOf(kernel);
      drawPlanes(canvas, kernel, 3, this.shape[2], this.shape[3], low, high);
    });
  }
}
