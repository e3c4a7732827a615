// Feature maps: how a tensor is laid out in tiles, and a canvas that shows it.

const MOST_TILES = 64;
const GAP = 4;

// How a tensor is laid out in a width: tiles of rows and columns, so many in a row, each number `across` by `down` pixels.
// A vector is one tile of several lines, a series (channels, positions) one tile that fills the width.
function mapLayout(dims, width, limit) {
  if (dims.length < 2) return vectorLayout(volume(dims), width);
  const [rows, columns] = dims.slice(-2);
  const tiles = dims.length === 2 ? 1 : volume(dims) / (rows * columns);
  const pixels = (room, count) => (room > count ? Math.min(28, Math.floor(room / count)) : room / count);
  let across = Math.min(14, pixels(width, columns));
  let down = Math.min(14, Math.max(1, Math.floor(240 / rows)));
  if (dims.length > 2) {
    const side = tiles === 1 ? 200 : tiles <= 8 ? 112 : tiles <= 32 ? 84 : 64;
    across = down = pixels(Math.min(side, width), Math.max(rows, columns));
  }
  const tileWidth = Math.max(1, Math.round(columns * across));
  const tileHeight = Math.max(1, Math.round(rows * down));
  const perRow = Math.max(1, Math.floor((width + GAP) / (tileWidth + GAP)));
  const shown = Math.min(tiles, limit);
  const size = [Math.min(shown, perRow) * (tileWidth + GAP) - GAP, Math.ceil(shown / perRow) * (tileHeight + GAP) - GAP];
  return { tiles, shown, rows, columns, across, down, tileWidth, tileHeight, perRow, size };
}

function vectorLayout(count, width) {
  const side = count <= 128 ? 14 : count <= 2048 ? 8 : 4;
  const columns = Math.max(1, Math.min(count, Math.floor(width / side)));
  const rows = Math.ceil(count / columns);
  const [tileWidth, tileHeight] = [columns * side, rows * side];
  return { tiles: 1, shown: 1, rows, columns, across: side, down: side, tileWidth, tileHeight, perRow: 1, size: [tileWidth, tileHeight] };
}

// A canvas that shows a tensor; `onpick` receives the index of a unit that is chosen.
function mapsElement(result, onpick) {
  const canvas = make("canvas", { class: "maps", width: 1, height: 40, role: "img", tabindex: onpick ? 0 : null, "aria-label": result.name });
  const note = make("p", { class: "note" });
  const all = button("Show all channels", () => { limit = Infinity; draw(); }, { class: "small", hidden: true });
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
    [canvas.width, canvas.height] = plan.size;
    canvas.style.width = `${canvas.width}px`;
    const context = canvas.getContext("2d");
    const image = context.createImageData(canvas.width, canvas.height);
    const largest = largestOf(numbers);
    const size = plan.rows * plan.columns;
    for (let tile = 0; tile < plan.shown; tile++) {
      const [left, top] = corner(tile);
      paintHeat(image, left, top, plan, (y, x) => numbers[tile * size + y * plan.columns + x] ?? 0, largest);
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
      context.strokeRect(left + 0.5, top + 0.5, plan.tileWidth - 1, plan.tileHeight - 1);
    }
  }

  const corner = (tile) => (plan.tiles === 1 ? [0, 0] : [(tile % plan.perRow) * (plan.tileWidth + GAP), Math.floor(tile / plan.perRow) * (plan.tileHeight + GAP)]);

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
    return [left + x * plan.across, top + y * plan.down, columns * plan.across, rows * plan.down];
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
    const x = ((event.clientX - box.left) / box.width) * canvas.width;
    const y = ((event.clientY - box.top) / box.height) * canvas.height;
    const tile = plan.tiles === 1 ? 0 : Math.floor(y / (plan.tileHeight + GAP)) * plan.perRow + Math.floor(x / (plan.tileWidth + GAP));
    const [left, top] = corner(tile);
    const row = Math.min(plan.rows - 1, Math.floor((y - top) / plan.down));
    const column = Math.min(plan.columns - 1, Math.floor((x - left) / plan.across));
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
      picked = index; // at once: the next key may come before the unit is computed
      draw();
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
