"""The second embedded task, finding a plan: wind four wheels down to zero under an unstated rule on the order."""
