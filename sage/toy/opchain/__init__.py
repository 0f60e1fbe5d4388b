"""The first embedded task, a chain of steps: apply labelled operations whose right meaning is not stated.

`task` generates problems and references and checks answers, `corpus` writes the pre-training text, `verifier` grades.
"""
