// Tasks that are done in a worker: the page's side of worker.js.

// [call, what the task `start` gives], where call(task, content) does a task: in a worker, if one starts, else here, by
// the object that `makeTasks(onevent)` gives. `onevent` receives what tasks tell meanwhile.
async function startTasks(content, makeTasks, onevent) {
  try {
    const call = workerCalls(await startWorker(byId("worker-code").textContent), onevent);
    return [call, await call("start", content)];
  } catch (error) {
    if (error.isOfTask) throw error;
    const tasks = makeTasks(onevent);
    return [(task, given) => tasks[task](given), await tasks.start(content)];
  }
}

function workerCalls(worker, onevent) {
  const open = new Map();
  let count = 0;
  const end = (number, name, what) => {
    open.get(number)?.[name](what);
    open.delete(number);
  };
  worker.onmessage = ({ data: { number, result, problem, event } }) => {
    if (event) onevent(event);
    else if (problem === undefined) end(number, "resolve", result);
    else end(number, "reject", Object.assign(new Error(problem), { isOfTask: true }));
  };
  worker.onerror = (event) => {
    event.preventDefault();
    for (const number of [...open.keys()]) end(number, "reject", new Error(event.message || "the worker failed"));
  };
  return (task, content) =>
    new Promise((resolve, reject) => {
      open.set(++count, { resolve, reject });
      worker.postMessage({ number: count, task, content });
    });
}
