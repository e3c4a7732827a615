// Starts onnxruntime-web from the elements that runtime.py writes.
//
//   const runtime = await startRuntime();
//     // {ort, version: "1.30.0", build: "wasm" or "webgpu", providers: ["webgpu", "wasm"], open}
//   const {session, provider, refused} = await runtime.open(model, check);
//
// `model` is a Uint8Array. `check(session, provider)` computes an example whose result is known, and returns "" if it agrees,
// else what is wrong. Providers are tried in order; `provider` is the first that starts and agrees, `refused` lists
// {provider, problem} of those before it. If none does, `open` throws an Error that names all problems. A third argument of
// `open` replaces the list of providers: ["wasm"].
//
//   const worker = await startWorker(code);
//
// starts a worker, so that long computations do not block the page. `code` is the text of a script; in the worker it may call
// startRuntime() and exchange messages with the page. Models have to be sent to it, as it has no document.
//
// Only the three functions are global, so that a page's own names do not collide with those here.
const { decodeData, startRuntime, startWorker } = (() => {
  "use strict";

  // The content of a data element: base64 of gzip.
  async function decodeData(id) {
    requireNewBrowser();
    const text = document.getElementById(id).textContent;
    const packed = Uint8Array.fromBase64
      ? Uint8Array.fromBase64(text)
      : Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  function requireNewBrowser() {
    if (typeof DecompressionStream === "undefined" || typeof WebAssembly === "undefined") {
      throw new Error("this page needs a newer browser: Chrome or Edge 91, Firefox 113, Safari 16.4, or later");
    }
  }

  // {module, wasm, build, version}; a worker gets them from `startWorker`, as its first message.
  const received = globalThis.document
    ? null
    : new Promise((resolve) => {
        const first = (event) => {
          event.stopImmediatePropagation(); // the code of the worker gets the messages after it
          resolve(event.data);
        };
        addEventListener("message", first, { once: true });
      });

  async function runtimeFiles() {
    if (received) return received;
    const { build, version } = document.getElementById("runtime-wasm").dataset;
    const [module, wasm] = await Promise.all([decodeData("runtime-module"), decodeData("runtime-wasm")]);
    return { module, wasm, build, version };
  }

  async function startRuntime() {
    const { module, wasm, build, version } = await runtimeFiles();
    ort.env.logLevel = "error";
    ort.env.wasm.numThreads = 1; // more need headers that a file does not have
    ort.env.wasm.proxy = false;
    ort.env.wasm.wasmBinary = wasm;
    ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(new Blob([module], { type: "text/javascript" })) };
    const providers = build === "webgpu" && (await hasGpu()) ? ["webgpu", "wasm"] : ["wasm"];
    const open = (model, check, tried = providers) => openModel(model, check, tried);
    return { ort, version, build, providers, open };
  }

  // Whether WebGPU computes on a GPU: its emulation on the CPU is far slower than WebAssembly.
  async function hasGpu() {
    try {
      const adapter = await navigator.gpu?.requestAdapter();
      return Boolean(adapter) && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter);
    } catch {
      return false;
    }
  }

  async function openModel(model, check, providers) {
    const refused = [];
    for (const provider of providers) {
      let session;
      let problem;
      try {
        const options = { executionProviders: [provider], logSeverityLevel: 3 }; // errors, no warnings
        session = await ort.InferenceSession.create(model, options);
        problem = check ? await check(session, provider) : "";
      } catch (error) {
        problem = String(error?.message ?? error);
      }
      if (!problem) return { session, provider, refused };
      refused.push({ provider, problem });
      await session?.release().catch(() => {}); // a lost device cannot release it
    }
    throw new Error(refused.map(({ provider, problem }) => `${provider}: ${problem}`).join("; "));
  }

  async function startWorker(code) {
    const files = await runtimeFiles();
    const scripts = ["runtime-script", "runtime-loader"].map((id) => document.getElementById(id).textContent);
    const address = URL.createObjectURL(new Blob([[...scripts, code].join("\n;")], { type: "text/javascript" }));
    const worker = new Worker(address);
    worker.postMessage(files, [files.module.buffer, files.wasm.buffer]);
    return worker;
  }

  return { decodeData, startRuntime, startWorker };
})();
