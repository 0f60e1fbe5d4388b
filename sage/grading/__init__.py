"""Whether a response is right: verifiers, the reading of answers, and a pool of processes for slow comparisons."""
