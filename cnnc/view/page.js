"use strict";
// Steps through one page; in a document with several, their ids begin with a prefix, and keys work where the focus is.
function stepper(root) {
  const prefix = root.dataset.steps;
  const byId = (id) => document.getElementById(prefix + id);
  const data = JSON.parse(byId("steps").textContent);
  const last = data.steps.length - 1;
  const panels = [...root.querySelectorAll(".picture g.panel")];
  const shapes = panels.flatMap((panel) => [...panel.children]);
  const rows = new Map(data.steps.map((step, number) => [String(step.at), number]));
  let now = data.current;
  let undo = [];
  let timer = null;

  // An edge with a halo is two paths: both have its points, the second its class.
  const paths = (element) => (element.tagName === "g" ? [...element.querySelectorAll("path")] : [element]);

  function set(element, name, value) {
    const before = element.getAttribute(name);
    element.setAttribute(name, value);
    undo.push(() => (before === null ? element.removeAttribute(name) : element.setAttribute(name, before)));
  }

  function write(element, text) {
    const before = element.textContent;
    element.textContent = text;
    undo.push(() => (element.textContent = before));
  }

  function show(number) {
    now = Math.max(0, Math.min(last, number));
    const step = data.steps[now];
    undo.reverse().forEach((back) => back());
    undo = [];
    for (const [look, ...elements] of step.looks || []) {
      for (const element of elements) set(paths(shapes[element]).pop(), "class", data.looks[look]);
    }
    for (const [number, text] of step.texts || []) write(shapes[number], text);
    for (const [number, text] of step.hints || []) write(shapes[number].querySelector("title"), text);
    for (const [number, attributes] of step.attributes || []) {
      for (const [name, value] of Object.entries(attributes)) {
        paths(shapes[number]).forEach((element) => set(element, name, value));
      }
    }
    for (const [number, elements] of step.panels || []) {
      const group = panels[number].cloneNode(false);
      group.innerHTML = elements;
      panels[number].replaceWith(group);
      undo.push(() => group.replaceWith(panels[number]));
    }
    byId("title").textContent = step.title;
    byId("lines").textContent = step.lines;
    byId("slider").value = now + 1;
    byId("slider").setAttribute("aria-valuetext", step.title);
    byId("count").textContent = `${now + 1} of ${last + 1}`;
    for (const button of root.querySelectorAll("button[data-go]")) {
      button.disabled = ["first", "back"].includes(button.dataset.go) ? now === 0 : now === last;
    }
  }

  // The step one row further down (or up), at the same column.
  function row(down) {
    const at = data.steps[now].at;
    if (!at || at.length < 2) return undefined;
    return rows.get(String(at.map((index, axis) => (axis === at.length - 2 ? index + down : index))));
  }

  function play(on) {
    clearInterval(timer);
    timer = on ? setInterval(() => (now < last ? show(now + 1) : play(false)), 800) : null;
    byId("play").textContent = on ? "Pause" : "Play";
    byId("play").setAttribute("aria-pressed", String(on));
  }

  const go = { first: () => 0, back: () => now - 1, on: () => now + 1, last: () => last };
  const keys = { ArrowLeft: go.back, ArrowRight: go.on, Home: go.first, End: go.last, ArrowUp: () => row(-1), ArrowDown: () => row(1) };

  function stop(number) {
    play(false);
    show(number);
  }

  (prefix ? root : document).addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || !(event.key in keys)) return;
    const number = keys[event.key]();
    if (number === undefined) return;
    event.preventDefault();
    stop(number);
  });
  for (const button of root.querySelectorAll("button[data-go]")) {
    button.addEventListener("click", () => stop(go[button.dataset.go]()));
  }
  // A click on a cell shows the step whose result it is.
  const steps = new Map(panels.flatMap((panel) => [...panel.querySelectorAll(".result")]).map((shape) => [shape, now]));
  data.steps.forEach((step, number) => {
    for (const [look, ...elements] of step.looks || []) {
      if (!data.looks[look].split(" ").includes("result")) continue;
      for (const element of elements) if (!steps.has(shapes[element])) steps.set(shapes[element], number);
    }
  });
  for (const [shape, number] of steps) {
    shape.style.cursor = "pointer";
    shape.addEventListener("click", () => stop(number));
  }
  byId("slider").addEventListener("input", (event) => stop(Number(event.target.value) - 1));
  byId("play").addEventListener("click", () => {
    if (timer === null && now === last) show(0);
    play(timer === null);
  });
  byId("controls").hidden = false;
  show(now);
}
document.querySelectorAll("[data-steps]").forEach(stepper);
