"""The world that learns on a CPU, and its verdicts: two embedded tasks, their recorded runs, the paper's claims."""
