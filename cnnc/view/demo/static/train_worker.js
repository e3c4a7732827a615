// The worker of the page that trains.

serve(new TrainingTasks((event) => postMessage({ event })));
