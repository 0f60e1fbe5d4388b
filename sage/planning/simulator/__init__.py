"""What a rollout phase costs: the same visits as the worker's, over a model of a continuous-batching engine.

`world` draws prompts, lengths and outcomes from a seed; `strategies` rolls them out in several ways through any engine,
the real one of ``benchmarks/rollout_schedule.py`` or the model in `engine`; `simulate` runs a strategy on a virtual
clock and says where the time went.
"""
