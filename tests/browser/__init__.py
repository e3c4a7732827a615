"""Pages in Chromium and Firefox. Each test is skipped, with its reason, where the browser or onnxruntime-web is missing."""
