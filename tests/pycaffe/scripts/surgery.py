"""Net surgery: the inner products of a classifier become convolutions; features; params edited and saved."""

import sys

import caffe
import numpy as np

HEAD = """
name: 'small' input: 'data' input_shape { dim: 1 dim: 3 dim: %d dim: %d }
layer { name: 'conv1' type: 'Convolution' bottom: 'data' top: 'conv1' convolution_param { num_output: 6 kernel_size: 5 stride: 2 } }
layer { name: 'relu1' type: 'ReLU' bottom: 'conv1' top: 'conv1' }
layer { name: 'pool1' type: 'Pooling' bottom: 'conv1' top: 'pool1' pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
"""
FC = """
layer { name: 'fc6' type: 'InnerProduct' bottom: 'pool1' top: 'fc6' inner_product_param { num_output: 10 } }
layer { name: 'relu6' type: 'ReLU' bottom: 'fc6' top: 'fc6' }
layer { name: 'fc7' type: 'InnerProduct' bottom: 'fc6' top: 'fc7' inner_product_param { num_output: 4 } }
layer { name: 'prob' type: 'Softmax' bottom: 'fc7' top: 'prob' }
"""
CONV = """
layer { name: 'fc6-conv' type: 'Convolution' bottom: 'pool1' top: 'fc6-conv' convolution_param { num_output: 10 kernel_size: 5 } }
layer { name: 'relu6' type: 'ReLU' bottom: 'fc6-conv' top: 'fc6-conv' }
layer { name: 'fc7-conv' type: 'Convolution' bottom: 'fc6-conv' top: 'fc7-conv' convolution_param { num_output: 4 kernel_size: 1 } }
layer { name: 'prob' type: 'Softmax' bottom: 'fc7-conv' top: 'prob' }
"""
open("fc.prototxt", "w").write(HEAD % (24, 24) + FC)
open("conv.prototxt", "w").write(HEAD % (40, 32) + CONV)
draw = np.random.RandomState(2)
net = caffe.Net("fc.prototxt", caffe.TEST)
for name in net.params:
    for blob in net.params[name]:
        blob.data[...] = draw.uniform(-0.5, 0.5, blob.data.shape)
net.save("fc.caffemodel")
full = caffe.Net("conv.prototxt", "fc.caffemodel", caffe.TEST)
params = ["fc6", "fc7"]
fc_params = {pr: (net.params[pr][0].data, net.params[pr][1].data) for pr in params}
conv_params = {pr: (full.params[pr + "-conv"][0].data, full.params[pr + "-conv"][1].data) for pr in params}
for pr in params:
    conv_params[pr][0].flat = fc_params[pr][0].flat
    conv_params[pr][1][...] = fc_params[pr][1]
full.save("conv.caffemodel")
out = {}
image = draw.uniform(-1, 1, (1, 3, 40, 32)).astype(np.float32)
out["map"] = full.forward_all(data=image)["prob"]
out["one"] = net.forward(data=image[:, :, :24, :24])["prob"].copy()
out["features"] = net.blobs["fc6"].data.copy()
filters = net.params["conv1"][0].data
out["filters"] = filters.transpose(0, 2, 3, 1).copy()
again = caffe.Net("conv.prototxt", caffe.TEST, weights="conv.caffemodel")
out["again"] = again.forward(data=image)["prob"].copy()
again.copy_from("fc.caffemodel")
again.params["fc7-conv"][1].data[2] = 9
out["edited"] = again.forward(data=image)["prob"].copy()
np.savez(sys.argv[1], **out)
