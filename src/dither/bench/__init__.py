"""Fine-tuning runs and their comparison: tasks as data, one run, the grid of runs, executors."""
