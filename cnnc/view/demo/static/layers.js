// The layers: a table, and the feature maps of each, drawn when they come into view.

// The multiply-adds of a node, by the size of what it computes; 0 where they are not known.
function multiplyAdds(layer, results) {
  const over = results[layer.perInput ? layer.inputs[0] : layer.name];
  return layer.products && over ? layer.products * over.numbers.length : 0;
}

class Layers {
  constructor(section, layers, inputs, facts, onpick) {
    this.layers = [...inputs, ...layers.filter((layer) => layer.shown)];
    // The nodes that a layer consists of: itself, and those that are not shown.
    this.parts = new Map(this.layers.map((layer) => [layer.name, [layer]]));
    for (const layer of layers) if (!layer.shown) this.parts.get(layer.owner)?.push(layer);
    this.cards = new Map();
    this.cells = new Map();
    this.results = {};
    this.visible = new Set();
    this.onpick = onpick;
    const watch = new IntersectionObserver((entries) => entries.forEach((entry) => this.seen(entry.target.dataset.number, entry.isIntersecting)), { rootMargin: "200px" });
    section.append(this.table(), make("p", { class: "note" }, facts.note));
    section.append(make("p", {}, "Below, each layer’s output for this input: orange is positive, blue negative, the background 0. Choose a unit to see how its number comes about."));
    this.layers.forEach((layer, number) => {
      const maps = mapsElement({ name: layer.name, numbers: [], dims: [0] }, (index) => this.onpick(layer, index));
      const panel = make("div", { class: "unit" });
      const card = make("section", { class: "card", id: `layer-${number}`, "data-number": number }, make("h3", {}, layer.name), make("p", { class: "note" }, [layer.line, layer.operator].filter((word) => word && word !== "input").join(" · ") || "input"), maps.element, panel);
      this.cards.set(layer.name, { maps, panel, drawn: false });
      section.append(card);
      watch.observe(card);
    });
  }

  table() {
    const count = (layer) => this.parts.get(layer.name).reduce((sum, part) => sum + part.parameters, 0);
    const rows = this.layers.map((layer, number) => {
      const shape = make("td", { class: "right" });
      const macs = make("td", { class: "right" }, "");
      this.cells.set(layer.name, { shape, macs });
      return make("tr", {}, make("th", { scope: "row" }, make("a", { href: `#layer-${number}` }, layer.name)), make("td", {}, layer.line), make("td", {}, layer.operator), shape, make("td", { class: "right" }, count(layer) ? countText(count(layer)) : ""), macs);
    });
    this.total = make("td", { class: "right" });
    const parameters = this.layers.reduce((sum, layer) => sum + count(layer), 0);
    const head = make("tr", {}, ...["layer", "source", "operator", "shape", "parameters", "multiply-adds"].map((text, i) => make("th", { scope: "col", class: i > 2 ? "right" : null }, text)));
    const foot = make("tr", {}, make("th", { scope: "row" }, "all"), make("td"), make("td"), make("td"), make("td", { class: "right" }, countText(parameters)), this.total);
    return make("div", { class: "table", tabindex: 0, role: "group", "aria-label": "layers" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows), make("tfoot", {}, foot)));
  }

  // Whether what is shown belongs to an earlier input.
  fade(isOld) {
    for (const { maps } of this.cards.values()) maps.element.classList.toggle("old", isOld);
  }

  // Shows new tensors, by name.
  update(results) {
    this.results = results;
    let total = 0;
    for (const layer of this.layers) {
      const result = results[layer.name];
      if (!result) continue;
      const { shape, macs } = this.cells.get(layer.name);
      shape.textContent = shapeText(result.dims);
      layer.dims = result.dims;
      const count = this.parts.get(layer.name).reduce((sum, part) => sum + multiplyAdds(part, results), 0);
      macs.textContent = count ? countText(count) : "";
      total += count;
      this.cards.get(layer.name).drawn = false;
    }
    this.total.textContent = countText(total);
    for (const number of this.visible) this.draw(this.layers[number]);
  }

  seen(number, isVisible) {
    if (isVisible) this.visible.add(number);
    else this.visible.delete(number);
    if (isVisible) this.draw(this.layers[number]);
  }

  draw(layer) {
    const card = this.cards.get(layer.name);
    const result = this.results[layer.name];
    if (!result || card.drawn) return;
    card.drawn = true;
    card.maps.update(result);
  }
}
