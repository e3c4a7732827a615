// An input of a few numbers: a slider and a number box for each; or of many: a box to paste them into, or a file.

function slidersInput(input, changed) {
  const count = input.shape.reduce((a, b) => a * b, 1);
  const values = new Array(count).fill(0).map((_, i) => input.middle?.[i] ?? 0);
  const whole = input.dtype.includes("int");
  const rows = values.map((value, i) => {
    const [low, high] = input.bounds?.[i] ?? input.range ?? [-1, 1];
    const step = whole ? 1 : (high - low) / 200 || 0.01;
    const label = input.columns?.[i] ?? (count === 1 ? input.name : `value ${i}`);
    const slider = make("input", { type: "range", min: low, max: high, step, value });
    const box = make("input", { type: "number", step: whole ? 1 : "any", value: Number(value.toPrecision(6)), "aria-label": `${label}, as a number` });
    const set = (text, other) => {
      if (text === "" || !Number.isFinite(Number(text))) return;
      values[i] = Number(text);
      other.value = other === box ? Number(values[i].toPrecision(6)) : values[i];
      changed();
    };
    slider.addEventListener("input", () => set(slider.value, box));
    box.addEventListener("input", () => set(box.value, slider));
    return { slider, box, element: make("div", { class: "slider" }, field(label, slider), box) };
  });
  const show = () => rows.forEach(({ slider, box }, i) => {
    slider.value = values[i];
    box.value = Number(values[i].toPrecision(6));
  });
  return {
    element: make("div", {}, ...rows.map((row) => row.element)),
    read: () => ({ values: [...values], shape: [...input.shape], isPixels: false }),
    load(loaded) {
      [...loaded].forEach((value, i) => (values[i] = Number(value)));
      show();
      changed();
    },
    start: changed,
  };
}

// A box and a file button for numbers of any shape. `onfound` receives { values, shape, isPixels }.
function numbersBox(input, onfound, onerror) {
  const box = make("textarea", { rows: 3, spellcheck: "false", placeholder: "0.1, 0.2, …" });
  const take = async (read) => {
    try {
      onfound(fitted(await read(), input.shape, input.legal));
    } catch (error) {
      onerror(error.message);
    }
  };
  box.addEventListener("input", () => box.value.trim() && take(() => numbersOfText(box.value)));
  const element = make(
    "div",
    {},
    field("Paste numbers", box, { class: "field wide" }),
    make("div", { class: "tools" }, fileButton("Choose a file (.csv, .npy) …", ".csv,.tsv,.txt,.npy", (file) => take(() => numbersOfFile(file)))),
  );
  return { element, take };
}

function numbersInput(input, changed) {
  const message = make("p", { class: "note", role: "status" });
  const shape = input.shape.map((side) => (typeof side === "number" ? side : input.start[side]));
  const size = shape.reduce((a, b) => a * b, 1);
  let current = { values: new Array(size).fill(0), shape, isPixels: false };

  function set(found, note = "") {
    current = found;
    const [low, high] = rangeOf(found.values);
    message.textContent = note || `${shapeText(found.shape)}, ${numberText(low)} to ${numberText(high)}`;
    changed();
  }

  function random() {
    const [low, high] = input.range ?? [-1, 1];
    const whole = input.dtype.includes("int");
    const one = () => (whole ? Math.floor(low + Math.random() * (high - low + 1)) : low + Math.random() * (high - low));
    set({ values: Array.from({ length: size }, one), shape, isPixels: false });
  }

  const numbers = numbersBox(input, (found) => set(found), (text) => (message.textContent = text));
  const buttons = make("div", { class: "tools" }, button("Random numbers", random), button("Zeros", () => set({ values: new Array(size).fill(0), shape, isPixels: false })));
  return {
    element: make("div", {}, make("p", { class: "note" }, `${shapeText(input.shape)} numbers`), numbers.element, buttons, message),
    read: () => current,
    load: (values, loadedShape, isPixels) => set({ values, shape: loadedShape, isPixels }),
    start: () => set(current),
  };
}
