// The page of the drawing: shows the SVG, marks the box of the cursor's line, and tells which line a clicked box has.

function previewPage(source) {
  const policy = `default-src 'none'; style-src ${source} 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:`;
  return `<!DOCTYPE html>
<html><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${policy}">
<style>
body { margin: 0; padding: 8px; }
#drawing { position: relative; }
#drawing svg { display: block; }
.stale svg { opacity: 0.5; }
.box { position: absolute; cursor: pointer; border-radius: 6px; }
.box:hover { outline: 1px solid #888; }
.box.here { outline: 3px solid #d97706; outline-offset: 1px; }
#state { position: sticky; top: 0; font: 12px sans-serif; color: #d97706; min-height: 16px; }
</style></head>
<body><div id="state"></div><div id="drawing"></div>
<script>(${page.toString()})(typeof acquireVsCodeApi === "function" ? acquireVsCodeApi() : window.host);</script>
</body></html>`;
}

// Runs in the page. "host" takes messages: {ready} and {line}.
function page(host) {
  const place = document.getElementById("drawing");
  const state = document.getElementById("state");
  let line = 0;

  function show(drawing) {
    state.textContent = drawing.isCurrent ? "" : drawing.svg ? "The text has errors: this is the last drawing without." : "The text has errors.";
    place.className = drawing.isCurrent ? "" : "stale";
    if (place.dataset.version === String(drawing.drawnVersion)) return;
    place.dataset.version = String(drawing.drawnVersion);
    place.innerHTML = drawing.svg;
    for (const box of drawing.boxes) {
      const element = document.createElement("div");
      element.className = "box";
      element.title = box.name;
      element.dataset.lines = JSON.stringify(box.lines);
      Object.assign(element.style, { left: box.x + "px", top: box.y + "px", width: box.width + "px", height: box.height + "px" });
      if (box.lines.length) element.onclick = () => host.postMessage({ line: box.lines[0] });
      place.append(element);
    }
  }

  // The box whose own line it is comes before a block that the line is in.
  function mark() {
    const boxes = [...place.querySelectorAll(".box")];
    const ranks = boxes.map((box) => JSON.parse(box.dataset.lines).indexOf(line)).map((rank) => (rank < 0 ? Infinity : rank));
    const best = Math.min(Infinity, ...ranks);
    boxes.forEach((box, index) => box.classList.toggle("here", best < Infinity && ranks[index] === best));
    place.querySelector(".here")?.scrollIntoView({ block: "nearest" });
  }

  window.addEventListener("message", (event) => {
    if (event.data.drawing) show(event.data.drawing);
    if (event.data.line) line = event.data.line;
    mark();
  });
  host.postMessage({ ready: true });
}

module.exports = { previewPage };
