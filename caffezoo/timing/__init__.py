"""Forward and backward time of networks, whole and layer by layer; the wrapper of Caffe's own ``caffe time``."""
