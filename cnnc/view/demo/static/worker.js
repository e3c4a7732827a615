// The worker: { number, task, content } from the page is answered by { number, result } or { number, problem }.

const tasks = new ModelTasks();

onmessage = async ({ data: { number, task, content } }) => {
  try {
    postMessage({ number, result: await tasks[task](content) });
  } catch (error) {
    postMessage({ number, problem: String(error?.message ?? error) });
  }
};
