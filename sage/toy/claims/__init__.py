"""The paper's claims, one by one, judged on recorded runs of the embedded tasks (scripts/reproduce_claims.py)."""
