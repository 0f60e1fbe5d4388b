"""Algorithm 1 and its memory: what SAGE decides and computes, free of any engine, file format of hints or verifier.

`records` are the words of it, `schedule` decides level by level, `visit` climbs one prompt, `calibration` forecasts,
`state` remembers between visits, `advantage` and `gate` hold the paper's equations, `metrics` counts.
"""
