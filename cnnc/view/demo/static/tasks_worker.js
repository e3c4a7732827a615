// The worker of the page that runs a model.

serve(new ModelTasks());
