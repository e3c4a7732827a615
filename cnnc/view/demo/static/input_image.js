// An input that is an image: drawn with a pen (grey images), chosen, dropped, pasted, or from the camera.

function imageInput(input, changed) {
  const [channels] = input.shape;
  const sizes = () => input.shape.slice(1).map((side) => (typeof side === "number" ? side : current[side]));
  const current = { ...input.start };
  let [height, width] = sizes();
  const framing = { ...input.frame };
  let strokes = [];
  let state = null; // { values, isPixels, shape } of what is not drawn
  let inverted = input.inverted;
  let invertsImages = false;
  let brush = input.brush;
  const canDraw = channels === 1;

  const pad = make("canvas", { class: "pad", width: 280, height: Math.round((280 * height) / width), tabindex: canDraw ? 0 : null });
  pad.setAttribute("role", "img");
  pad.setAttribute("aria-label", canDraw ? `${input.name}: draw here with a pen, a finger or the mouse. Arrow keys move the pen, space puts it down and lifts it.` : `${input.name}: the image`);
  const seen = make("canvas", { class: "seen", role: "img", "aria-label": `${input.name}: what the network sees, ${height} by ${width}` });
  const message = make("p", { class: "note", role: "status" });

  function drawn() {
    const values = strokeImage(strokes, width, height, framing, brush);
    return inverted ? values.map((value) => 255 - value) : values;
  }

  function show() {
    const { values, isPixels } = current.value;
    const [low, high] = isPixels || !input.range ? (isPixels ? [0, 255] : rangeOf(values)) : input.range;
    drawPlanes(seen, values, channels, height, width, low, high);
    const context = pad.getContext("2d");
    if (strokes.length || !state) {
      const [ink, paper] = inverted ? ["#000", "#fff"] : ["#fff", "#000"];
      paintStrokes(pad, strokes, ({ x, y }) => [x * pad.width, y * pad.height], (brush * pad.width) / width, ink, paper);
    } else {
      context.imageSmoothingEnabled = false;
      context.drawImage(seen, 0, 0, pad.width, pad.height);
    }
    if (pen.shown) showPen(context);
  }

  function update(note = "") {
    [height, width] = sizes();
    current.value = state && !strokes.length ? state : { values: drawn(), isPixels: true, shape: [1, height, width] };
    if (!canDraw && !state) current.value = { values: new Uint8Array(channels * height * width), isPixels: true, shape: [channels, height, width] };
    message.textContent = note;
    show();
    changed();
  }

  function clear() {
    strokes = [];
    state = null;
    update();
  }

  // --- drawing
  const pen = { x: 0.5, y: 0.5, down: false, shown: false };

  function showPen(context) {
    context.strokeStyle = pen.down ? "#e97b0e" : "#2f81f7";
    context.lineWidth = 2;
    context.strokeRect(pen.x * pad.width - 6, pen.y * pad.height - 6, 12, 12);
  }

  function addPoint(point, begin) {
    if (state) state = null;
    if (begin || !strokes.length) strokes.push([point]);
    else strokes[strokes.length - 1].push(point);
    update();
  }

  function pointOf(event) {
    const box = pad.getBoundingClientRect();
    return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
  }

  if (canDraw) {
    let active = null;
    pad.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      active = event.pointerId;
      try {
        pad.setPointerCapture(active);
      } catch {
        // a pointer that a script made
      }
      pen.shown = false;
      addPoint(pointOf(event), true);
      event.preventDefault();
    });
    pad.addEventListener("pointermove", (event) => {
      if (event.pointerId === active) addPoint(pointOf(event), false);
    });
    for (const kind of ["pointerup", "pointercancel"]) pad.addEventListener(kind, () => (active = null));
    const keys = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    pad.addEventListener("keydown", (event) => {
      if (event.key === " ") pen.down = !pen.down;
      else if (!keys[event.key] || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      pen.shown = true;
      const [dx, dy] = keys[event.key] || [0, 0];
      pen.x = Math.max(0, Math.min(1, pen.x + dx / 28));
      pen.y = Math.max(0, Math.min(1, pen.y + dy / 28));
      if (pen.down) addPoint({ x: pen.x, y: pen.y }, event.key === " ");
      else show();
    });
  }

  // --- files
  async function take(file) {
    try {
      if (/\.(npy|csv|tsv|txt)$/i.test(file.name || "")) {
        const found = fitted(await numbersOfFile(file), input.shape, input.legal);
        input.shape.forEach((side, axis) => typeof side === "string" && (current[side] = found.shape[axis]));
        strokes = [];
        state = found;
        update(file.name);
        return;
      }
      takePixels(await readImage(file, input.background), file.name);
    } catch (error) {
      message.textContent = error.message;
    }
  }

  function takePixels(image, name = "") {
    const found = channels === 1 ? grey(image) : image;
    for (const [axis, side] of [[1, found.height], [2, found.width]]) {
      const symbol = input.shape[axis];
      if (typeof symbol === "string" && !(symbol === input.shape[1] && axis === 2)) current[symbol] = closestSize(input.legal[symbol], side);
    }
    [height, width] = sizes();
    strokes = [];
    const values = planes(resized(found, width, height));
    state = { values: invertsImages ? values.map((value) => 255 - value) : values, isPixels: true, isFile: true, shape: [channels, height, width] };
    pad.height = Math.round((pad.width * height) / width);
    const same = found.width === width && found.height === height;
    update(name && (same ? name : `${name}: resized from ${found.width}×${found.height} to ${width}×${height}`));
  }

  const drop = make("div", { class: "drop" }, pad, make("figure", {}, seen, make("figcaption", {}, `the network’s input, ${shapeText(input.shape)}`)));
  drop.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });

  // --- the buttons
  const tools = make("div", { class: "tools" });
  if (canDraw) {
    tools.append(button("Clear", clear), button("Undo", () => { strokes.pop(); update(); }));
    const width_ = make("input", { type: "range", min: 0.5, max: Math.max(4, Math.round(width / 5)), step: 0.1, value: brush });
    width_.addEventListener("input", () => { brush = Number(width_.value); update(); });
    tools.append(field("Brush", width_));
  }
  tools.append(fileButton("Choose an image …", "image/*,.npy", take));
  const camera = cameraButton((image) => takePixels(image), (text) => (message.textContent = text));
  if (camera) tools.append(camera);
  const switches = make("div", { class: "tools" });
  if (canDraw) {
    const box = input.frame.box || 20 / 28;
    const invert = (on) => {
      invertsImages = on;
      if (state?.isFile && !strokes.length) state = { ...state, values: state.values.map((value) => 255 - value) };
      update();
    };
    switches.append(checkbox(input.frame.says || "Centre and scale the drawing", Boolean(framing.box), (on) => { framing.box = on ? box : 0; update(); }).element);
    switches.append(checkbox("Draw dark on light", inverted, (on) => { inverted = on; update(); }).element);
    switches.append(checkbox("Invert images", false, invert).element);
  }
  const hint = make("p", { class: "note" }, `${canDraw ? "Draw, or drop" : "Drop"}, paste or choose an image; it is resized to the network’s input.`);

  return {
    element: make("div", {}, drop, tools, switches, hint, message),
    read: () => current.value,
    load(values, shape, isPixels) {
      input.shape.forEach((side, axis) => typeof side === "string" && (current[side] = shape[axis]));
      [height, width] = sizes();
      pad.height = Math.round((pad.width * height) / width);
      strokes = [];
      state = { values, isPixels, shape };
      update();
    },
    paste: (file) => take(file),
    start: () => update(),
  };
}

// A button for the camera, null where the browser has none. It gives images until it is pressed again.
function cameraButton(onimage, onerror) {
  if (!navigator.mediaDevices?.getUserMedia) return null;
  let stream = null;
  const video = make("video", { playsinline: true, muted: true });
  const control = button("Camera", toggle, { "aria-pressed": "false" });

  async function toggle() {
    if (stream) return stop();
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch (error) {
      onerror(`the camera cannot be used: ${error.message}`);
      return;
    }
    control.setAttribute("aria-pressed", "true");
    control.textContent = "Stop the camera";
    video.srcObject = stream;
    await video.play();
    frame();
  }

  function stop() {
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    control.setAttribute("aria-pressed", "false");
    control.textContent = "Camera";
  }

  // The middle of the picture as a square, a few times a second.
  function frame() {
    if (!stream) return;
    const side = Math.min(video.videoWidth, video.videoHeight);
    if (side) {
      const canvas = make("canvas", { width: side, height: side });
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(video, (side - video.videoWidth) / 2, (side - video.videoHeight) / 2);
      onimage(opaque({ width: side, height: side, pixels: context.getImageData(0, 0, side, side).data }));
    }
    setTimeout(frame, 150);
  }
  return control;
}
