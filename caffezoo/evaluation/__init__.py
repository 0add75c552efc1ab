"""From images to error rates: images, crops, batches through an engine, metrics.

The order of the data's way: ``dataset`` says which images and labels, ``images`` decodes, ``crops`` cuts the views of a
``protocol``, ``pipeline`` carries them through an engine, ``metrics`` counts, ``evaluator`` holds it together.
"""
