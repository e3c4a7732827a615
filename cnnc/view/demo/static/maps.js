// Feature maps: how a tensor is laid out in tiles, and a canvas that shows it.

const MOST_TILES = 64;
const GAP = 4;

// How a tensor is laid out in a width: tiles of rows and columns, so many in a row, at a scale.
function mapLayout(dims, width, limit) {
  const count = volume(dims);
  if (dims.length < 2) {
    const scale = count <= 128 ? 14 : count <= 2048 ? 8 : 4;
    const columns = Math.max(1, Math.min(count, Math.floor(width / scale)));
    return { tiles: 1, shown: 1, rows: Math.ceil(count / columns), columns, scale, perRow: 1, width: columns * scale, height: Math.ceil(count / columns) * scale };
  }
  const flat = dims.length === 2;
  const [rows, columns] = dims.slice(-2);
  const tiles = flat ? 1 : count / (rows * columns);
  const side = flat ? width : tiles === 1 ? 200 : tiles <= 8 ? 112 : tiles <= 32 ? 84 : 64;
  let scale = Math.min(side, width) / Math.max(columns, flat ? 1 : rows);
  if (scale > 1) scale = Math.min(Math.floor(scale), flat ? 14 : 28);
  if (flat) scale = Math.min(Math.max(scale, Math.min(1, width / columns)), Math.max(1, Math.floor(360 / rows)));
  const across = Math.max(1, Math.round(columns * scale));
  const down = Math.max(1, Math.round(rows * scale));
  const perRow = Math.max(1, Math.floor((width + GAP) / (across + GAP)));
  const shown = Math.min(tiles, limit);
  const lines = Math.ceil(shown / perRow);
  return { tiles, shown, rows, columns, scale, perRow, across, down, width: Math.min(shown, perRow) * (across + GAP) - GAP, height: lines * (down + GAP) - GAP };
}

// A canvas that shows a tensor; `onpick` receives the index of a unit that is chosen.
function mapsElement(result, onpick) {
  const canvas = make("canvas", { class: "maps", width: 1, height: 40, role: "img", tabindex: onpick ? 0 : null });
  const note = make("p", { class: "note" });
  const all = button("", () => { limit = Infinity; draw(); }, { class: "small", hidden: true });
  const element = make("div", {}, canvas, note, all);
  let limit = MOST_TILES;
  let plan = null;
  let current = result; // empty until the first update
  let picked = null;
  let frame = null; // { index, sizes }: what a unit reads

  function draw() {
    const width = Math.floor(Math.min(element.clientWidth || 320, 1200));
    if (!current.numbers.length || width < 10) return;
    const { numbers, dims } = current;
    plan = mapLayout(dims, width, limit);
    canvas.width = plan.width;
    canvas.height = plan.height;
    canvas.style.width = `${plan.width}px`;
    const context = canvas.getContext("2d");
    const image = context.createImageData(plan.width, plan.height);
    const largest = largestOf(numbers);
    const size = plan.rows * plan.columns;
    for (let tile = 0; tile < plan.shown; tile++) {
      const [left, top] = corner(tile);
      paintHeat(image, left, top, plan.rows, plan.columns, plan.scale, (y, x) => numbers[tile * size + y * plan.columns + x] ?? 0, largest);
    }
    context.putImageData(image, 0, 0);
    frameTiles(context);
    outline(context);
    const [low, high] = rangeOf(numbers);
    note.textContent = `${numberText(low)} to ${numberText(high)}${plan.shown < plan.tiles ? `; ${plan.shown} of ${plan.tiles} channels` : ""}`;
    all.hidden = plan.shown === plan.tiles;
    all.textContent = `Show all ${plan.tiles} channels`;
    canvas.setAttribute("aria-label", `${result.name}: ${shapeText(dims)}, ${note.textContent}${onpick ? ". Arrow keys choose a unit." : ""}`);
  }

  // A thin frame: the background of a map is that of the page.
  function frameTiles(context) {
    context.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue("--line");
    context.lineWidth = 1;
    for (let tile = 0; tile < plan.shown; tile++) {
      const [left, top] = corner(tile);
      context.strokeRect(left + 0.5, top + 0.5, (plan.across ?? plan.width) - 1, (plan.down ?? plan.height) - 1);
    }
  }

  const corner = (tile) => (plan.tiles === 1 ? [0, 0] : [(tile % plan.perRow) * (plan.across + GAP), Math.floor(tile / plan.perRow) * (plan.down + GAP)]);

  // The box in pixels of a range of units: an index, and how many rows and columns.
  function boxOf(index, rows = 1, columns = 1) {
    const { dims } = current;
    const offset = offsetOf(index.map((n, i) => Math.max(0, Math.min(dims[i] - 1, n))), dims);
    const size = plan.rows * plan.columns;
    const tile = Math.floor(offset / size);
    if (tile >= plan.shown) return null;
    const [left, top] = corner(tile);
    const y = index.length < 2 ? Math.floor((offset % size) / plan.columns) : index[index.length - 2];
    const x = index.length < 2 ? offset % plan.columns : index[index.length - 1];
    return [left + x * plan.scale, top + y * plan.scale, columns * plan.scale, rows * plan.scale];
  }

  function outline(context) {
    context.strokeStyle = `rgb(${rgbOf(palette.mark)})`;
    const box = picked && boxOf(picked);
    context.lineWidth = 2;
    if (box) context.strokeRect(box[0] - 1, box[1] - 1, Math.max(4, box[2] + 2), Math.max(4, box[3] + 2));
    if (!frame) return;
    context.setLineDash([4, 2]);
    for (const read of frame.corners) {
      const window = boxOf(read, frame.rows, frame.columns);
      if (window) context.strokeRect(...window);
    }
    context.setLineDash([]);
  }

  function indexAt(event) {
    if (!plan) return null;
    const box = canvas.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * plan.width;
    const y = ((event.clientY - box.top) / box.height) * plan.height;
    const tile = plan.tiles === 1 ? 0 : Math.floor(y / (plan.down + GAP)) * plan.perRow + Math.floor(x / (plan.across + GAP));
    const [left, top] = corner(tile);
    const row = Math.min(plan.rows - 1, Math.floor((y - top) / plan.scale));
    const column = Math.min(plan.columns - 1, Math.floor((x - left) / plan.scale));
    const offset = tile * plan.rows * plan.columns + row * plan.columns + column;
    return tile < plan.shown && offset < current.numbers.length ? indexOf(offset, current.dims) : null;
  }

  if (onpick) {
    canvas.addEventListener("click", (event) => {
      const index = indexAt(event);
      if (index) onpick(index);
    });
    canvas.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: [1, -1], ArrowRight: [1, 1], ArrowUp: [2, -1], ArrowDown: [2, 1], PageUp: [3, -1], PageDown: [3, 1], Enter: [1, 0] };
      if (!moves[event.key] || event.altKey || event.ctrlKey || event.metaKey || !current) return;
      event.preventDefault();
      const { dims } = current;
      const index = picked ? [...picked] : dims.map(() => 0);
      const [back, step] = moves[event.key];
      const axis = dims.length - back;
      if (picked && axis >= 0) index[axis] = Math.max(0, Math.min(dims[axis] - 1, index[axis] + step));
      onpick(index);
    });
  }
  let last = 0;
  new ResizeObserver(() => {
    if (element.clientWidth === last) return;
    last = element.clientWidth;
    draw();
  }).observe(element);
  darkMode.addEventListener("change", () => requestAnimationFrame(draw));
  return {
    element,
    canvas,
    update(next) {
      current = { ...result, ...next };
      draw();
    },
    mark(index, window) {
      picked = index;
      frame = window;
      draw();
    },
    draw,
  };
}
