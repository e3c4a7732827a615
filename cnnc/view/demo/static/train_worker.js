// The worker that trains: it answers requests { id, action, value } by { id, result } or { id, error }, and tells the page of
// each slice of training: { event: "steps", ... }, { event: "score", ... }, { event: "paused", reason }.

const SLICE = 60; // milliseconds of steps before the next request is read
const LEAST_PAUSE = 2000; // milliseconds between two scores
const SHARE = 8; // training takes at least this many times as long as scoring

const queue = new Queue();
let trainer = null;
let running = false;
let shown = 0;
let lastScore = { ended: 0, took: 0, steps: -1 };

const actions = {
  async open({ files, models, facts, columns, initial, rates, check, examples }) {
    shown = examples;
    const runtime = await startRuntime(files);
    const open = (bytes, checked, providers) => runtime.open(bytes, checked, providers);
    let found = 0;
    const step = await open(models.step, async (session, provider) => {
      const candidate = new Trainer({ step: session }, facts, columns, initial, rates);
      found = Math.abs((await candidate.step(check.seed)).loss - check.loss);
      return found <= 1e-3 * Math.max(1, Math.abs(check.loss)) || provider === "wasm" ? "" : `its first loss deviates by ${found.toExponential(0)}`;
    });
    const score = await open(models.score, undefined, [step.provider, "wasm"]);
    const observe = await open(models.observe, undefined, ["wasm"]);
    trainer = new Trainer({ step: step.session, score: score.session, observe: observe.session }, facts, columns, initial, rates);
    return { provider: step.provider, refused: step.refused, version: runtime.version, deviation: found };
  },
  start: () => {
    if (!running) {
      running = true;
      loop();
    }
  },
  pause: () => null,
  async step() {
    await oneSlice(0);
    await scoreNow();
  },
  async reset() {
    trainer.reset();
    lastScore.steps = -1;
    await scoreNow();
  },
  set: (settings) => {
    Object.assign(trainer.settings, settings);
    return trainer.rate;
  },
  score: () => scoreNow(),
  async observe({ example, kernel }) {
    return { layers: await trainer.observe(example), kernel: kernel && (await trainer.array(kernel)) };
  },
  async arrays() {
    return { arrays: await trainer.arrays(), ...place() };
  },
  async load({ arrays, epoch, at, steps }) {
    trainer.load(arrays, { epoch, at, steps });
    lastScore.steps = -1;
    await scoreNow();
  },
};

const place = () => ({ epoch: trainer.epoch, at: trainer.at, steps: trainer.steps, sums: { ...trainer.sums } });

// Steps for some milliseconds, at least one.
async function oneSlice(milliseconds) {
  const began = performance.now();
  const done = [];
  let examples = 0;
  let epochEnded = false;
  do {
    const before = trainer.epoch;
    const { loss, metrics, rate, examples: count } = await trainer.step();
    done.push({ loss, metrics, rate });
    examples += count;
    epochEnded ||= trainer.epoch > before;
  } while (performance.now() - began < milliseconds && !epochEnded);
  const took = performance.now() - began;
  postMessage({ event: "steps", done, examples, took, position: trainer.position, ...place() });
  return epochEnded;
}

async function scoreNow() {
  if (lastScore.steps === trainer.steps) return;
  const began = performance.now();
  const result = await trainer.score(shown);
  lastScore = { ended: performance.now(), took: performance.now() - began, steps: trainer.steps };
  postMessage({ event: "score", result });
}

async function loop() {
  let reason = "";
  try {
    while (running) {
      await queue.add(async () => {
        if (!running) return;
        const epochEnded = await oneSlice(SLICE);
        const since = performance.now() - lastScore.ended;
        const isDue = since > Math.max(epochEnded ? 0 : LEAST_PAUSE, SHARE * lastScore.took);
        const isOver = epochEnded && trainer.epoch === trainer.settings.epochs;
        if (isDue || isOver) await scoreNow();
        if (isOver) {
          running = false;
          reason = "over";
        }
      });
      await nextTask();
    }
    await queue.add(scoreNow);
  } catch (error) {
    running = false;
    reason = String(error?.message ?? error);
  }
  postMessage({ event: "paused", reason });
}

// Lets the worker read its messages.
const channel = new MessageChannel();
let resume = null;
channel.port1.onmessage = () => resume();
const nextTask = () => new Promise((resolve) => {
  resume = resolve;
  channel.port2.postMessage(null);
});

self.onmessage = ({ data: { id, action, value } }) => {
  if (action === "pause") running = false; // at once; the answer comes when the steps under way are done
  queue.add(() => actions[action](value)).then(
    (result) => postMessage({ id, result }),
    (error) => postMessage({ id, error: String(error?.message ?? error) }),
  );
};
