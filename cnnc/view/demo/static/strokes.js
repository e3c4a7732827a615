// Strokes of a pen as a grey image, framed as the images of the data set are.
//
// A stroke is a list of points { x, y } from 0 to 1. The drawing is scaled as lines, so that the pen keeps its width:
// box      the longer side of the drawing becomes this share of the image (0: it stays as drawn)
// centre   "mass": the centre of mass lies in the middle, as in MNIST; "box": the middle of the drawing does

const DETAIL = 8; // drawn at this many times the size of the image, then made smaller

function strokeImage(strokes, width, height, frame, brush) {
  const canvas = make("canvas", { width: width * DETAIL, height: height * DETAIL });
  const draw = (map) => paintStrokes(canvas, strokes, map, brush * DETAIL);
  if (!frame.box || !strokes.length) return small(draw(({ x, y }) => [x * canvas.width, y * canvas.height]), width, height);
  const points = strokes.flat();
  const side = Math.min(canvas.width, canvas.height);
  const [left, right] = extent(points.map((point) => point.x * canvas.width));
  const [top, bottom] = extent(points.map((point) => point.y * canvas.height));
  const room = side * frame.box - brush * DETAIL;
  const scale = room / Math.max(right - left, bottom - top, side * 0.02);
  const capped = right - left + bottom - top < side * 0.04 ? 1 : scale; // a dot stays a dot
  const place = (dx, dy) => ({ x, y }) => [
    (x * canvas.width - (left + right) / 2) * capped + canvas.width / 2 + dx,
    (y * canvas.height - (top + bottom) / 2) * capped + canvas.height / 2 + dy,
  ];
  let image = draw(place(0, 0));
  if (frame.centre === "mass") {
    const [x, y] = centreOfMass(image);
    // whole pixels of the image, as the shift of MNIST is
    const whole = (distance) => Math.round(distance / DETAIL) * DETAIL;
    image = draw(place(whole(canvas.width / 2 - x), whole(canvas.height / 2 - y)));
  }
  return small(image, width, height);
}

const extent = (numbers) => numbers.reduce(([low, high], n) => [Math.min(low, n), Math.max(high, n)], [Infinity, -Infinity]);

function paintStrokes(canvas, strokes, map, width, ink = "#fff", paper = "#000") {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = paper;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.strokeStyle = context.fillStyle = ink;
  context.lineWidth = width;
  context.lineCap = context.lineJoin = "round";
  for (const stroke of strokes) {
    context.beginPath();
    stroke.forEach((point, i) => context[i ? "lineTo" : "moveTo"](...map(point)));
    if (stroke.length === 1) context.lineTo(...map(stroke[0]));
    context.stroke();
  }
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

function centreOfMass({ width, data }) {
  let mass = 0;
  let across = 0;
  let down = 0;
  for (let i = 0; i < data.length; i += 4) {
    mass += data[i];
    across += data[i] * ((i / 4) % width);
    down += data[i] * Math.floor(i / 4 / width);
  }
  return mass ? [across / mass, down / mass] : [width / 2, data.length / 8 / width];
}

// The red of RGBA pixels, made smaller, as values of one channel.
function small({ width, height, data }, toWidth, toHeight) {
  const pixels = new Uint8Array(width * height);
  for (let i = 0; i < pixels.length; i++) pixels[i] = data[4 * i];
  return resized({ width, height, channels: 1, pixels }, toWidth, toHeight).pixels;
}
