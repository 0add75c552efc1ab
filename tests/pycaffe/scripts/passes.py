"""Passes: whole, partial, backward, with another batch; features, callbacks, in-place layers."""

import sys

import caffe
import numpy as np

NET = """
name: 'passes' force_backward: true
layer { name: 'data' type: 'Input' top: 'data' input_param { shape { dim: 2 dim: 3 dim: 9 dim: 8 } } }
layer { name: 'conv' type: 'Convolution' bottom: 'data' top: 'conv' convolution_param { num_output: 4 kernel_size: 3 pad: 1 } }
layer { name: 'bn' type: 'BatchNorm' bottom: 'conv' top: 'conv' }
layer { name: 'scale' type: 'Scale' bottom: 'conv' top: 'conv' scale_param { bias_term: true } }
layer { name: 'relu' type: 'ReLU' bottom: 'conv' top: 'conv' }
layer { name: 'pool' type: 'Pooling' bottom: 'conv' top: 'pool' pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: 'lrn' type: 'LRN' bottom: 'pool' top: 'lrn' lrn_param { local_size: 3 alpha: 0.5 } }
layer { name: 'side' type: 'Convolution' bottom: 'lrn' top: 'side' convolution_param { num_output: 4 kernel_size: 1 } }
layer { name: 'sum' type: 'Eltwise' bottom: 'lrn' bottom: 'side' top: 'sum' }
layer { name: 'fc' type: 'InnerProduct' bottom: 'sum' top: 'fc' inner_product_param { num_output: 5 } }
layer { name: 'prob' type: 'Softmax' bottom: 'fc' top: 'prob' }
"""
open("passes.prototxt", "w").write(NET)
draw = np.random.RandomState(1)
net = caffe.Net("passes.prototxt", caffe.TEST)
for name in net.params:
    for blob in net.params[name]:
        blob.data[...] = draw.uniform(-1, 1, blob.data.shape)
net.params["bn"][1].data[...] = draw.uniform(0.5, 2, 4)
net.params["bn"][2].data[...] = 2
out = {}
x = draw.uniform(-2, 2, (2, 3, 9, 8)).astype(np.float32)
for name, value in net.forward(data=x, blobs=["pool", "lrn"]).items():
    out["first " + name] = value.copy()
for name in ("conv", "pool", "sum", "fc"):
    out["blob " + name] = net.blobs[name].data.copy()
net.blobs["prob"].diff[...] = draw.uniform(-1, 1, (2, 5))
for name, value in net.backward(diffs=["pool", "conv"]).items():
    out["diff " + name] = value.copy()
for name in ("conv", "side", "fc", "scale"):
    for i, blob in enumerate(net.params[name]):
        out["gradient %s %d" % (name, i)] = blob.diff.copy()
net.backward()  # gradients of params add up until they are cleared
out["added"] = net.params["fc"][0].diff.copy()
net.clear_param_diffs()
out["cleared"] = net.params["fc"][0].diff.copy()
net.blobs["lrn"].data[...] = draw.uniform(-1, 1, net.blobs["lrn"].data.shape)
out["from side"] = net.forward(start="side")["prob"].copy()
out["to pool"] = net.forward(end="pool")["pool"].copy()
out["fc alone"] = net.forward(start="fc", end="fc")["fc"].copy()
net.params["fc"][1].data[...] += 3
out["changed"] = net.forward()["prob"].copy()
net.blobs["data"].reshape(4, 3, 9, 8)
net.blobs["data"].data[...] = draw.uniform(-1, 1, (4, 3, 9, 8))
out["reshaped"] = net.forward()["prob"].copy()
out["shapes"] = np.array([list(net.blobs[n].data.shape) for n in ("data", "conv", "pool", "sum")])
many = draw.uniform(-1, 1, (10, 3, 9, 8)).astype(np.float32)
net.blobs["data"].reshape(3, 3, 9, 8)
for name, value in net.forward_all(data=many, blobs=["fc"]).items():
    out["all " + name] = value
forth, back = net.forward_backward_all(data=many, prob=draw.uniform(-1, 1, (10, 5)).astype(np.float32), diffs=["data"])
out["all forth"], out["all back"] = forth["prob"], back["data"]
out["names"] = np.array([n for n in net.params] + list(net.inputs) + list(net.outputs))
net.save("passes.caffemodel")
again = caffe.Net("passes.prototxt", "passes.caffemodel", caffe.TEST)
out["saved"] = again.forward(data=x)["prob"].copy()
np.savez(sys.argv[1], **out)
