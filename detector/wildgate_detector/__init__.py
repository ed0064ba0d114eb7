"""The reference detector's recipe: compose scenes, train, export, evaluate, write sample clips.

    python -m wildgate_detector COMMAND

The material flows ``stamps -> products, lookalikes -> scenes -> clips``; the network ``network -> loss ->
train -> export``. What comes out demonstrates wildgate's pipeline; it is not a model for real moderation.
"""
