"use strict";
// Shows moments of a training: those that the server sends, or those that a replay holds. A moment is the HTML of each
// element by its id, made by cnnc with every text escaped.
const shownParts = {};

function show(parts) {
  for (const [id, html] of Object.entries(parts)) {
    const element = document.getElementById(id);
    if (element === null || shownParts[id] === html) continue;
    element.innerHTML = html;
    shownParts[id] = html;
  }
}

function watch() {
  const connection = document.getElementById("connection");
  const source = new EventSource("events");
  const usual = connection.textContent;
  let failures = 0;
  const say = (text, lost) => {
    if (connection.textContent !== text) connection.textContent = text;
    connection.classList.toggle("lost", lost);
  };
  source.addEventListener("moment", (event) => {
    failures = 0;
    say(usual, false);
    show(JSON.parse(event.data));
  });
  source.addEventListener("end", (event) => {
    source.close();
    say(JSON.parse(event.data), true);
  });
  source.addEventListener("error", () => {
    failures += 1;
    if (failures >= 20 || source.readyState === EventSource.CLOSED) {
      source.close();
      say("The training process no longer answers. Reload the page to try again.", true);
    } else {
      say("The connection is lost; trying again.", true);
    }
  });
}

function replay(data) {
  const slider = document.getElementById("slider");
  const last = data.moments.length - 1;
  let now = last;
  let timer = null;

  function go(number) {
    now = Math.max(0, Math.min(last, number));
    const moment = data.moments[now];
    const parts = {};
    for (const [id, string] of Object.entries(moment.parts)) parts[id] = data.strings[string];
    show(parts);
    slider.value = now;
    slider.setAttribute("aria-valuetext", moment.title);
    document.getElementById("moment").textContent = `${moment.title} (${now + 1} of ${last + 1})`;
    for (const button of document.querySelectorAll("button[data-go]")) {
      button.disabled = ["first", "back"].includes(button.dataset.go) ? now === 0 : now === last;
    }
  }

  function play(on) {
    clearInterval(timer);
    timer = on ? setInterval(() => (now < last ? go(now + 1) : play(false)), 400) : null;
    const button = document.getElementById("play");
    button.textContent = on ? "Pause" : "Play";
    button.setAttribute("aria-pressed", String(on));
  }

  function stop(number) {
    play(false);
    go(number);
  }

  const where = { first: () => 0, back: () => now - 1, on: () => now + 1, last: () => last };
  const keys = { ArrowLeft: where.back, ArrowRight: where.on, Home: where.first, End: where.last };
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || !(event.key in keys)) return;
    event.preventDefault();
    stop(keys[event.key]());
  });
  for (const button of document.querySelectorAll("button[data-go]")) {
    button.addEventListener("click", () => stop(where[button.dataset.go]()));
  }
  slider.addEventListener("input", () => stop(Number(slider.value)));
  document.getElementById("play").addEventListener("click", () => {
    if (timer === null && now === last) go(0);
    play(timer === null);
  });
  document.getElementById("replay").hidden = false;
  go(now);
}

const stored = document.getElementById("moments");
if (stored === null) watch();
else replay(JSON.parse(stored.textContent));
