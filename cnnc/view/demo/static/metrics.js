// A metric from its sums over examples, as the step graph gives them.

function metricValue(name, sum, count) {
  if (name === "iou") return meanIou(sum);
  const mean = sum[0] / count;
  return name === "psnr" ? -10 * Math.log10(mean) : mean;
}

// Mean intersection over union of the classes that occur, from a confusion matrix.
function meanIou(matrix) {
  const classes = Math.sqrt(matrix.length);
  let total = 0;
  let occur = 0;
  for (let i = 0; i < classes; i++) {
    let union = -matrix[i * classes + i];
    for (let j = 0; j < classes; j++) union += matrix[i * classes + j] + matrix[j * classes + i];
    if (union > 0) {
      total += matrix[i * classes + i] / union;
      occur += 1;
    }
  }
  return occur ? total / occur : 0;
}

const isShare = (name) => ["accuracy", "top5", "iou"].includes(name);
const metricText = (name, value) => (!Number.isFinite(value) ? "–" : isShare(name) ? `${(100 * value).toFixed(1)} %` : name === "psnr" ? `${value.toFixed(1)} dB` : numberText(value));
const metricTick = (name, value) => (isShare(name) ? `${Number((100 * value).toPrecision(3))} %` : numberText(value));
const metricTitle = (name) => ({ accuracy: "Accuracy", top5: "Top-5 accuracy", iou: "Mean IoU", psnr: "PSNR in dB", mse: "Mean squared error", l1: "Mean absolute error" })[name] ?? name;
