"""Random histories of several stores: what the rule of the merge says becomes of them, and what does.

model.py     a store as plain dicts, and what MLflow does to it
rule.py      the rule of the merge, over such stores
records.py   a real SQLite store, written to by the statements that MLflow makes
world.py     a laptop and some servers: each step is done to the model and to the real thing
"""
