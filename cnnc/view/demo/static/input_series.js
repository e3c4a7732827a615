// An input that is a series: drawn with a pen, one channel at a time, pasted, or from a file.

function seriesInput(input, changed) {
  const isVector = input.shape.length === 1;
  const channels = isVector ? 1 : input.shape[0];
  const symbol = input.shape[input.shape.length - 1];
  let length = typeof symbol === "number" ? symbol : input.start[symbol];
  let [low, high] = input.range ?? [-1, 1];
  let series = Array.from({ length: channels }, () => new Array(length).fill(0));
  let channel = 0;
  const message = make("p", { class: "note", role: "status" });
  const plot = make("canvas", { class: "plot", width: 640, height: 200, tabindex: 0, role: "img" });
  plot.setAttribute("aria-label", `${input.name}: draw a curve here with a pen, a finger or the mouse. Left and right choose a value, up and down change it.`);
  let chosen = null;

  const yOf = (value) => plot.height - 8 - ((value - low) / (high - low || 1)) * (plot.height - 16);
  const xOf = (i) => 4 + (i / Math.max(1, length - 1)) * (plot.width - 8);

  function show() {
    const style = getComputedStyle(document.documentElement);
    const context = plot.getContext("2d");
    context.clearRect(0, 0, plot.width, plot.height);
    context.strokeStyle = style.getPropertyValue("--line");
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(0, yOf(0));
    context.lineTo(plot.width, yOf(0));
    context.stroke();
    series.forEach((values, c) => {
      context.strokeStyle = style.getPropertyValue(c === channel ? "--focus" : "--soft");
      context.lineWidth = c === channel ? 2 : 1;
      context.beginPath();
      values.forEach((value, i) => context[i ? "lineTo" : "moveTo"](xOf(i), yOf(value)));
      context.stroke();
    });
    if (chosen !== null) {
      context.fillStyle = style.getPropertyValue("--focus");
      context.fillRect(xOf(chosen) - 3, yOf(series[channel][chosen]) - 3, 7, 7);
    }
  }

  function update(note = "") {
    message.textContent = note;
    show();
    changed();
  }

  function set({ values, shape }, note = "") {
    length = shape[shape.length - 1];
    const numbers = [...values].map(Number);
    series = Array.from({ length: channels }, (_, c) => numbers.slice(c * length, (c + 1) * length));
    const [least, most] = rangeOf(numbers);
    [low, high] = [Math.min(low, least), Math.max(high, most)];
    chosen = null;
    update(note);
  }

  let before = null;
  function drawAt(event) {
    const box = plot.getBoundingClientRect();
    const at = Math.round((((event.clientX - box.left) / box.width) * plot.width - 4) / (plot.width - 8) * (length - 1));
    const i = Math.max(0, Math.min(length - 1, at));
    const share = 1 - (((event.clientY - box.top) / box.height) * plot.height - 8) / (plot.height - 16);
    const value = low + Math.max(0, Math.min(1, share)) * (high - low);
    const [from, start] = before ?? [i, value];
    for (let n = Math.min(from, i); n <= Math.max(from, i); n++) {
      series[channel][n] = from === i ? value : start + ((value - start) * (n - from)) / (i - from);
    }
    before = [i, value];
    update();
  }
  let active = null;
  plot.addEventListener("pointerdown", (event) => {
    active = event.pointerId;
    before = chosen = null;
    try {
      plot.setPointerCapture(active);
    } catch {
      // a pointer that a script made
    }
    drawAt(event);
    event.preventDefault();
  });
  plot.addEventListener("pointermove", (event) => event.pointerId === active && drawAt(event));
  for (const kind of ["pointerup", "pointercancel"]) plot.addEventListener(kind, () => (active = null));
  plot.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: 0.02, ArrowDown: -0.02 };
    const step = steps[event.key];
    if (step === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (chosen === null) chosen = 0;
    else if (Number.isInteger(step)) chosen = Math.max(0, Math.min(length - 1, chosen + step));
    else series[channel][chosen] += step * (high - low);
    update(`value ${chosen}: ${numberText(series[channel][chosen])}`);
  });

  const numbers = numbersBox(input, (found) => set(found), (text) => (message.textContent = text));
  const tools = make("div", { class: "tools" }, button("Flat", () => set({ values: new Array(channels * length).fill(0), shape: [length] })));
  if (channels > 1) {
    const choice = make("select", {}, ...series.map((_, c) => make("option", { value: c }, `channel ${c}`)));
    choice.addEventListener("change", () => { channel = Number(choice.value); show(); });
    tools.prepend(field("Draw", choice));
  }
  darkMode.addEventListener("change", show);
  return {
    element: make("div", {}, plot, tools, make("p", { class: "note" }, `Draw the ${shapeText(input.shape)} values, paste them, or choose a file.`), numbers.element, message),
    read: () => ({ values: series.flat(), shape: isVector ? [length] : [channels, length], isPixels: false }),
    load: (values, shape) => set({ values, shape }),
    start: () => update(),
  };
}
