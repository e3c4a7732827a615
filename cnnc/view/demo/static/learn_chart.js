// A curve over training: the batches smoothed, the test examples as points, on a canvas.

const SMOOTHING = 0.95; // the weight of what came before

// Round numbers of an axis from `low` to `high`, both included: the ends lie on round numbers too.
function ticksOf(low, high) {
  const rough = (high - low || 1) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough * (1 - 1e-9));
  const first = Math.floor(low / step + 1e-9);
  const last = Math.max(first + 1, Math.ceil(high / step - 1e-9));
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

class Curve {
  // `text(value)` writes a value, `tick(value)` one of the axis; `low` and `high` are the ends of the axis, where they are known.
  constructor(title, text, tick, low = null, high = null) {
    Object.assign(this, { title, text, tick, low, high });
    this.canvas = make("canvas", { class: "curve", role: "img" });
    this.legend = make("p", { class: "note legend-line" });
    this.element = make("figure", { class: "chart" }, make("h3", {}, title), this.canvas, this.legend);
    new ResizeObserver(() => this.draw()).observe(this.element);
    darkMode.addEventListener("change", () => requestAnimationFrame(() => this.draw()));
    this.clear();
  }

  clear() {
    this.train = [];
    this.test = [];
    this.mean = null;
    this.weight = 0;
    this.later();
  }

  addTrain(position, value) {
    if (!Number.isFinite(value)) return;
    this.mean = SMOOTHING * (this.mean ?? 0) + (1 - SMOOTHING) * value;
    this.weight = SMOOTHING * this.weight + (1 - SMOOTHING);
    this.train.push([position, this.mean / this.weight]);
    if (this.train.length > 4000) this.train = this.train.filter((_, i) => i % 2 || i === this.train.length - 1);
    this.later();
  }

  addTest(position, value) {
    if (Number.isFinite(value)) this.test.push([position, value]);
    this.later();
  }

  // Draws at most once per frame.
  later() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  draw() {
    const width = this.element.clientWidth;
    if (!width) return;
    const height = Math.round(Math.min(240, Math.max(150, width * 0.5)));
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = width * ratio;
    this.canvas.height = height * ratio;
    this.canvas.style.height = `${height}px`;
    const context = this.canvas.getContext("2d");
    context.scale(ratio, ratio);
    const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const box = { left: 48, top: 8, right: width - 8, bottom: height - 22 };
    const values = [...this.train, ...this.test].map(([, value]) => value);
    const last = Math.max(0.1, ...this.train.slice(-1).map(([x]) => x), ...this.test.slice(-1).map(([x]) => x));
    const ticks = ticksOf(this.low ?? values.reduce((a, b) => Math.min(a, b), 0), this.high ?? values.reduce((a, b) => Math.max(a, b), 1e-6));
    const [low, high] = [ticks[0], ticks[ticks.length - 1]];
    const x = (position) => box.left + ((box.right - box.left) * position) / last;
    const y = (value) => box.bottom - ((box.bottom - box.top) * (Math.min(Math.max(value, low), high) - low)) / (high - low);
    context.font = "12px Arial, Helvetica, sans-serif";
    context.fillStyle = colour("--soft");
    context.strokeStyle = colour("--line");
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const value of ticks) {
      context.beginPath();
      context.moveTo(box.left, y(value));
      context.lineTo(box.right, y(value));
      context.stroke();
      context.fillText(this.tick(value), box.left - 4, y(value));
    }
    context.textBaseline = "alphabetic";
    context.fillText(`epoch ${last < 10 ? last.toFixed(1) : Math.round(last)}`, box.right, height - 5);
    context.textAlign = "left";
    context.fillText("0", box.left, height - 5);
    const line = (points, ink, dash, wide) => {
      context.strokeStyle = ink;
      context.lineWidth = wide;
      context.setLineDash(dash);
      context.beginPath();
      points.forEach(([at, value], i) => context[i ? "lineTo" : "moveTo"](x(at), y(value)));
      context.stroke();
    };
    line(this.train, colour("--bar"), [], 1.5);
    line(this.test, colour("--negative"), [5, 3], 2);
    context.setLineDash([]);
    context.fillStyle = colour("--negative");
    for (const [at, value] of this.test.length > 60 ? this.test.slice(-1) : this.test) {
      context.beginPath();
      context.arc(x(at), y(value), 3, 0, 7);
      context.fill();
    }
    this.say();
  }

  say() {
    const end = (points) => (points.length ? this.text(points[points.length - 1][1]) : "–");
    const words = `training ${end(this.train)} (mean of the last batches), test ${end(this.test)}`;
    this.canvas.setAttribute("aria-label", `${this.title}: ${words}`);
    const entry = (kind, text) => make("span", {}, make("span", { class: `line-sample ${kind}` }), text);
    this.legend.replaceChildren(entry("", ` training ${end(this.train)}, mean of the last batches`), " ", entry("test", ` test ${end(this.test)}`));
  }
}
