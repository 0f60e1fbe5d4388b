"""What a run costs before it is made: tokens, memory and GPU hours (`budget`), rollout phases (`simulator`)."""
