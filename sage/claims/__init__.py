"""The paper's claims, one by one, judged on recorded runs of the embedded world (scripts/reproduce_claims.py)."""
