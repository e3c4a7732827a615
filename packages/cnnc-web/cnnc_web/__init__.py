"""Files of onnxruntime-web, in the folder `files`; cnnc puts them into pages that run a model in the browser."""
