"""The second embedded task, finding a plan: turn three wheels from one number to another under an unstated rule."""
