// The worker: { number, task, content } from the page is answered by { number, result } or { number, problem }; { event } tells
// what the page did not ask for.

function serve(tasks) {
  onmessage = async ({ data: { number, task, content } }) => {
    try {
      postMessage({ number, result: await tasks[task](content) });
    } catch (error) {
      postMessage({ number, problem: String(error?.message ?? error) });
    }
  };
}
