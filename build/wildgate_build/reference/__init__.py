"""The reference detector's recipe: compose scenes, train, export, evaluate, write sample clips.

The material flows ``stamps -> products, lookalikes -> scenes -> clips``; the network ``network -> loss ->
train -> export``. What comes out demonstrates wildgate's pipeline; it is no model for real moderation.
"""
