"""Caffe's files: `prototxt` (text nets), `caffemodel` and `hdf5` (weights), `phases` (what is there at TEST), `upgrade`
(old layer formats) and `signature` (what a file really is).
"""
