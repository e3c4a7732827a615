// Starts onnxruntime-web from the elements that runtime.py writes.
//
//   const runtime = await startRuntime();
//     // {ort, version: "1.30.0", build: "wasm" or "webgpu", providers: ["webgpu", "wasm"]}
//   const {session, provider, refused} = await runtime.open(model, check);
//
// `model` is a Uint8Array. `check(session, provider)` computes an example whose result is known, and returns "" if it agrees,
// else what is wrong. Providers are tried in order; `provider` is the first that starts and agrees, `refused` lists
// {provider, problem} of those before it. If none does, `open` throws an Error that names all problems.
"use strict";

// The content of a data element: base64 of gzip.
async function decodeData(id) {
  const text = document.getElementById(id).textContent;
  const packed = Uint8Array.fromBase64
    ? Uint8Array.fromBase64(text)
    : Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function startRuntime() {
  const { build, version } = document.getElementById("runtime-wasm").dataset;
  const [module, wasm] = await Promise.all([decodeData("runtime-module"), decodeData("runtime-wasm")]);
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = 1; // more need headers that a file does not have
  ort.env.wasm.proxy = false;
  ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(new Blob([module], { type: "text/javascript" })) };
  const providers = build === "webgpu" && (await hasGpu()) ? ["webgpu", "wasm"] : ["wasm"];
  const open = (model, check) => openModel(model, providers, check);
  return { ort, version, build, providers, open };
}

async function hasGpu() {
  try {
    return Boolean(navigator.gpu && (await navigator.gpu.requestAdapter()));
  } catch {
    return false;
  }
}

async function openModel(model, providers, check) {
  const refused = [];
  for (const provider of providers) {
    let problem;
    try {
      const session = await ort.InferenceSession.create(model, { executionProviders: [provider] });
      problem = check ? await check(session, provider) : "";
      if (!problem) return { session, provider, refused };
      await session.release();
    } catch (error) {
      problem = String(error.message || error);
    }
    refused.push({ provider, problem });
  }
  throw new Error(refused.map(({ provider, problem }) => `${provider}: ${problem}`).join("; "));
}
