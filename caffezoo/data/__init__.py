"""Where images come from: one file a kind of data set, all behind one small interface (:mod:`caffezoo.data.base`).

``opening`` finds out which kind a path is; ``lists`` and ``classes`` say which image belongs to which class;
``label_sets`` has the labels that packages hold; ``inspection`` tells what was found.
"""
